"""How texts become what a network reads, and labels what it is to tell; kept in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.batches import TextBatches
from recur.data.texts.examples import LabelledTexts, Unit
from recur.data.texts.labelled import read_labelled_texts
from recur.data.texts.options import LabelledTextOptions
from recur.data.texts.places import Places
from recur.data.texts.splitting import split_examples
from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.errors import DataError
from recur.tasks.knowledge import fingerprint
from recur.tasks.text_setup import TextSetup
from recur.tasks.text_source import TextSource
from recur.token_ids import Ragged

Target = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextLabelSetup(TextSetup[LabelledTexts]):
    """What a classifier of texts has to know of its data, beside what a `TextSetup` says.

    It is the base of what others of texts with classes have to know.

    Attributes:
        vocabulary: Of the training part.
        classes: Names of the K classes.
        is_multi: Whether a text is of any number of them.
        counts: Texts of the training part that are of each class.
        num_texts: Texts of the training part.
        label_separator: What stood between several classes of a text.
        unit: What one text was, of files that hold nothing else; None where the data were others.
    """

    vocabulary: TextVocabulary
    classes: tuple[str, ...]
    is_multi: bool
    counts: tuple[int, ...]
    num_texts: int
    reading: LabelledTextOptions = field(default_factory=LabelledTextOptions)
    label_separator: str | None = None
    unit: Unit | None = None

    options_of_reading: ClassVar[type[LabelledTextOptions]] = LabelledTextOptions

    @classmethod
    def fit(
        cls,
        examples: LabelledTexts,
        tokens: TokenOptions,
        *,
        vocabulary: TextVocabulary | None = None,
        reading: LabelledTextOptions | None = None,
        seed: int = 0,
        source: TextSource | None = None,
    ) -> Self:
        """Return the setup of texts that are cut into parts.

        Args:
            examples: With parts.
            tokens: With every value chosen.
            vocabulary: Of the training part, where it is known already.
            reading: How they were read.
            seed: As of the attributes.
            source: Likewise.

        Raises:
            DataError: There is nothing to learn from, or nothing to tell apart.
        """
        train = examples.of_part("train")
        classes = examples.classes
        cls._check(examples)
        vocabulary = vocabulary or TextVocabulary.fit(train.texts, tokens)
        number = {name: place for place, name in enumerate(classes)}
        counts = np.zeros(len(classes), np.int64)
        for labels in train.labels:
            for label in labels or ():
                counts[number[label]] += 1
        return cls(
            vocabulary=vocabulary,
            classes=classes,
            is_multi=examples.is_multi,
            counts=tuple(counts.tolist()),
            num_texts=len(train),
            reading=reading or cls.options_of_reading(),
            label_separator=examples.label_separator,
            unit=examples.unit,
            roles=examples.roles,
            seed=seed,
            source=source,
            **cls._fitted(train, vocabulary),
        )

    @classmethod
    def _check(cls, examples: LabelledTexts) -> None:
        classes = examples.classes
        if len(classes) < (1 if examples.is_multi else 2):
            has = f"all are of the class {classes[0]!r}" if classes else "none has a class"
            raise DataError(f"there is nothing to tell apart: of {len(examples):,} texts {has}.")

    @classmethod
    def _fitted(cls, train: Any, vocabulary: TextVocabulary) -> dict[str, Any]:
        """Return what else is to be known, by the examples of the training part."""
        return {}

    @property
    def label(self) -> str:
        """What the classes are called: the column they stood in."""
        return "label" if self.roles is None else self.roles.columns.get("label", "label")

    @property
    def names(self) -> tuple[str, ...] | None:
        """What classes that are given by number are called, in their order; None where they come by name."""
        return None if self.reading.label_names is None else self.classes

    # --- data ---

    def read(self, data: Any, *, has_labels: bool = True) -> LabelledTexts:
        """Return other texts, read as those of the run were.

        Args:
            data: What `read_labelled_texts` takes; without labels also texts themselves, as `texts_themselves` takes
                them. What it returns is returned as it is.
            has_labels: Whether there must be labels, all of which the model knows.

        Raises:
            DataError: They cannot be read, or have a class that the model does not know.
            TypeError: One of a list is no text.
        """
        if isinstance(data, LabelledTexts):
            return data
        text = self.reading.text
        texts = None if has_labels else self.themselves(data)
        if texts is not None:
            if not texts:
                return LabelledTexts(texts=(), labels=(), places=Places.of("the data", (), "row"), part=())
            # Whatever they look like, they are the texts.
            text = text or "text"
            data = {text: texts}
        options = LabelledTextOptions(
            text=text,
            label=self.reading.label,
            encoding=self.reading.encoding,
            separator=self.reading.separator,
            has_header=self.reading.has_header,
            label_separator=self.label_separator,
        )
        classes = self.classes if has_labels else None
        return read_labelled_texts(
            data,
            options,
            classes=classes,
            names=self.names,
            roles=self.roles,
            unit=self.unit,
            has_labels=has_labels,
            given=self.given,
        )

    def _in_parts(self, data: Any) -> LabelledTexts:
        return cut_examples(data, self.reading, self.names, seed=self.seed)

    def encoded(self, texts: Sequence[str]) -> Ragged:
        """Return the token ids of texts."""
        return self.vocabulary.encode_all(texts)

    def targets(self, examples: LabelledTexts) -> tuple[Target, NDArray[np.float32]]:
        """Return what is told of texts, (N,) int64 or (N, K) float32, and how much each counts, (N,): 0 without labels.

        Raises:
            DataError: A class is not known.
        """
        number = {name: place for place, name in enumerate(self.classes)}
        weight = np.array([labels is not None for labels in examples.labels], np.float32)
        for row, labels in enumerate(examples.labels):
            for label in labels or ():
                if label not in number:
                    raise DataError(f"{examples.places[row]}: the class {label!r} is not known to the model.")
        if not self.is_multi:
            weight *= np.array([bool(labels) for labels in examples.labels], np.float32)
            return np.array([number[labels[0]] if labels else 0 for labels in examples.labels], np.int64), weight
        rows = np.zeros((len(examples), len(self.classes)), np.float32)
        for row, labels in enumerate(examples.labels):
            rows[row, [number[label] for label in labels or ()]] = 1
        return rows, weight

    def batches(
        self, examples: LabelledTexts, *, batch_size: int, max_tokens: int, seed: int | None = None
    ) -> TextBatches:
        """Return batches of texts with what is to be told of them."""
        target, weight = self.targets(examples)
        return TextBatches(
            self.encoded(examples.texts), target, weight, batch_size=batch_size, max_tokens=max_tokens, seed=seed
        )

    # --- files ---

    @property
    def fingerprint(self) -> str:
        """What tells whether weights were trained with this vocabulary and these classes, SHA-256."""
        return fingerprint(self.vocabulary.to_json(), self.classes, self.is_multi)

    def _own_entries(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary.to_json(),
            "classes": list(self.classes),
            "is_multi": self.is_multi,
            "counts": list(self.counts),
            "num_texts": self.num_texts,
            "label_separator": self.label_separator,
            "unit": self.unit,
        }

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        classes, counts = tuple(content["classes"]), tuple(content["counts"])
        if len(set(classes)) != len(classes) or not all(isinstance(name, str) for name in classes):
            raise ValueError("classes must be texts, each once")
        if len(counts) != len(classes):
            raise ValueError("there must be a count for each class")
        unit = content.get("unit", content["reading"].get("unit"))
        if unit not in (None, "file", "line"):
            raise ValueError(f"unit is {unit!r}, expected file or line")
        return {
            "vocabulary": TextVocabulary.from_json(content["vocabulary"]),
            "classes": classes,
            "is_multi": bool(content["is_multi"]),
            "counts": counts,
            "num_texts": int(content["num_texts"]),
            "label_separator": content["label_separator"],
            "unit": unit,
        }


def cut_examples(
    data: Any, reading: LabelledTextOptions, names: Sequence[str] | None = None, *, seed: int
) -> LabelledTexts:
    """Return texts as a training reads them, each of a part.

    Args:
        data: As of `read_labelled_texts`.
        reading: How they are read.
        names: As of `read_labelled_texts`.
        seed: Of what is drawn for the parts.

    Raises:
        DataError: They cannot be read, or are too few.
        OptionError: Options do not go with them.
    """
    return split_examples(read_labelled_texts(data, reading, names=names), reading, seed=seed)
