"""How texts, and the labels and numbers that they are written from, become what a writer reads; kept in the run."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.batches import TextBatches
from recur.data.texts.examples import LabelledTexts
from recur.data.texts.options import LabelledTextOptions, WrittenTextOptions
from recur.data.texts.splitting import split_examples
from recur.data.texts.vocabulary import TextVocabulary
from recur.data.texts.written import WrittenTexts, read_contexts, read_written_texts
from recur.errors import OptionError
from recur.kinds import is_finite, is_whole
from recur.tasks.knowledge import fingerprint
from recur.tasks.text_source import again
from recur.tasks.texts.setup import TextLabelSetup
from recur.wording import enumerated

_USUAL = 0.99
"""Share of the training part's texts that are no longer than is usual."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WriterSetup(TextLabelSetup):
    """What a writer has to know of its data, beside what a `TextLabelSetup` says.

    Attributes:
        means: Mean of each column of numbers in the training part, (M,).
        scales: Standard deviation of each, likewise; 1 where all numbers are the same.
        longest: Tokens that a text of the training part has at most, but for one in a hundred that has more, so that
            one odd text does not make all that is written wait.
    """

    reading: WrittenTextOptions = field(default_factory=WrittenTextOptions)
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    longest: int = 1

    options_of_reading: ClassVar[type[LabelledTextOptions]] = WrittenTextOptions

    @classmethod
    def _check(cls, examples: LabelledTexts) -> None:
        # Numbers alone are enough.
        if examples.classes:
            super()._check(examples)

    @classmethod
    def _fitted(cls, train: WrittenTexts, vocabulary: TextVocabulary) -> dict[str, Any]:
        numbers = np.array(train.numbers, np.float64).reshape(len(train), -1)
        spread = numbers.std(0)
        return {
            "means": tuple(numbers.mean(0).tolist()),
            "scales": tuple(np.where(spread > 0, spread, 1.0).tolist()),
            "longest": max(1, math.ceil(np.quantile(vocabulary.encode_all(train.texts).lengths, _USUAL))),
        }

    # --- what texts are written from ---

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the M columns of numbers."""
        return self.reading.column_names

    @property
    def num_features(self) -> int:
        """D, numbers of a context: one for each class, and those of the columns."""
        return len(self.classes) + len(self.columns)

    def features(
        self, labels: Sequence[Sequence[str]], numbers: Sequence[Sequence[float]] | NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return contexts as the network reads them, (N, D).

        Args:
            labels: The classes of each text.
            numbers: Its numbers, (N, M), in the unit of the data.

        Raises:
            OptionError: There is no such class, or one too many; or numbers are too few, too many or not finite.
            TypeError: The classes of a text are one text.
        """
        values = self._checked_numbers(numbers, len(labels))
        number = {name: place for place, name in enumerate(self.classes)}
        found = np.zeros((len(labels), self.num_features), np.float32)
        for row, own in enumerate(labels):
            if isinstance(own, str):
                raise TypeError(f"labels: takes the classes of each text, not one text; give [{own!r}].")
            if self.classes and not self.is_multi and len(own) != 1:
                raise OptionError(f"label: a text is of one class, not {len(own)}; give one.")
            for label in own:
                if label not in number:
                    raise OptionError(f"label: {self._unknown(label)}")
                found[row, number[label]] = 1
        found[:, len(self.classes) :] = (values - np.array(self.means)) / np.array(self.scales)
        return found

    def _checked_numbers(
        self, numbers: Sequence[Sequence[float]] | NDArray[np.float64], num_texts: int
    ) -> NDArray[np.float64]:
        """Return numbers as an array, (N, M)."""
        of = f", of {enumerated(self.columns)}" if self.columns else ""
        expected = f"numbers: expected them in the shape ({num_texts}, {len(self.columns)}){of}"
        try:
            values = np.asarray(numbers, np.float64)
        except (TypeError, ValueError) as error:
            raise OptionError(f"{expected}: {error}") from error
        if not num_texts and not values.size:
            values = np.zeros((0, len(self.columns)))
        if values.shape != (num_texts, len(self.columns)):
            raise OptionError(f"{expected}, got {values.shape}.")
        if not np.isfinite(values).all():
            raise OptionError(f"{expected}, got {values[~np.isfinite(values)][0]}, which is not finite.")
        return values

    def _unknown(self, label: str) -> str:
        near = difflib.get_close_matches(label, self.classes, n=1)
        # A class that is only written otherwise is nearer than all others.
        near = [one for one in self.classes if one.casefold() == label.casefold()] or near
        others = f"did you mean {near[0]!r}?" if near else f"there are {enumerated(self.classes)}."
        return f"there is no class {label!r}; {others}"

    def asked(self, label: str | Sequence[str] | None, vector: Sequence[float] | None) -> tuple[list[str], list[float]]:
        """Return the classes and numbers that are asked for, checked.

        Args:
            label: A class, or several where a text is of any number of them.
            vector: The numbers, one of each column.

        Raises:
            OptionError: What is needed is missing, or what is given would be ignored or is of another size.
        """
        labels = [label] if isinstance(label, str) else list(label or ())
        if labels and not self.classes:
            raise OptionError(f"label: texts are written from numbers, of {enumerated(self.columns)}; leave it out.")
        if self.classes and not self.is_multi and len(labels) != 1:
            raise OptionError(f"label: a text is of one class, not {len(labels)}; give one.")
        for one in labels:
            if one not in self.classes:
                raise OptionError(f"label: {self._unknown(one)}")
        numbers = [] if vector is None else list(vector)
        if len(numbers) != len(self.columns) or not all(map(is_finite, numbers)):
            expected = "no numbers are read, only labels; leave it out"
            if self.columns:
                many = "a number" if len(self.columns) == 1 else f"{len(self.columns)} numbers"
                expected = f"expected {many}, of {enumerated(self.columns)}"
            raise OptionError(f"vector: {expected}, got {numbers if vector is not None else 'none'}.")
        return labels, [float(one) for one in numbers]

    # --- data ---

    def read(self, data: Any, *, has_labels: bool = True) -> WrittenTexts:
        """Return other texts, read as those of the run were; they have labels and numbers, too.

        Raises:
            DataError: They cannot be read, or have a class that the model does not know.
        """
        options = WrittenTextOptions(**self._reading_again())
        return read_written_texts(
            data,
            options,
            classes=self.classes or None,
            names=self.names,
            roles=self.roles,
            unit=self.unit,
            given=self.given,
        )

    def read_contexts(self, data: Any) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.float64]]:
        """Return the classes and the numbers, (N, M), of the rows of a table, which needs no texts.

        Raises:
            DataError: A column is missing, or a cell is not what it should be.
        """
        return read_contexts(
            data,
            WrittenTextOptions(**self._reading_again()),
            label=self.label if self.classes else None,
            classes=self.classes,
            names=self.names,
            separator=self.label_separator,
            given=self.given,
        )

    def _reading_again(self) -> dict[str, Any]:
        kept = ("text", "label", "columns", "encoding", "separator", "has_header")
        own = {name: getattr(self.reading, name) for name in kept}
        return {**own, "label_separator": self.label_separator}

    def own_examples(self, data: Any = None) -> WrittenTexts:
        """Return the run's own texts, read again, with their parts; as of `TextSetup.own_examples`."""
        return again(self.source, data, self._in_parts)

    def _in_parts(self, data: Any) -> WrittenTexts:
        return cut_written_texts(data, self.reading, self.names, seed=self.seed)

    def batches(  # type: ignore[override]
        self,
        examples: WrittenTexts,
        *,
        features: NDArray[np.float32] | None = None,
        batch_size: int,
        max_tokens: int,
        seed: int | None = None,
    ) -> TextBatches:
        """Return batches of texts, and what they are written from in place of what is to be told.

        Args:
            examples: The texts.
            features: What they are written from, (N, D); None for what theirs are.
            batch_size: As of `TextBatches`, as all others.
            max_tokens: Likewise.
            seed: Likewise.
        """
        if features is None:
            features = self.features([labels or () for labels in examples.labels], examples.numbers)
        return TextBatches(
            self.encoded(examples.texts), features, batch_size=batch_size, max_tokens=max_tokens, seed=seed
        )

    # --- files ---

    @property
    def fingerprint(self) -> str:
        """What tells whether weights were trained with this vocabulary, these classes and columns, SHA-256."""
        return fingerprint(super().fingerprint, self.columns, self.means, self.scales)

    def _own_entries(self) -> dict[str, Any]:
        more = {"means": list(self.means), "scales": list(self.scales), "longest": self.longest}
        return super()._own_entries() | more

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        found = super()._of_entries(content)
        means, scales = tuple(map(float, content["means"])), tuple(map(float, content["scales"]))
        if not all(map(math.isfinite, means)) or not all(0 < one < math.inf for one in scales):
            raise ValueError("means must be numbers, and scales numbers above 0")
        if not len(means) == len(scales) == len(WrittenTextOptions(**content["reading"]).column_names):
            raise ValueError("there must be a mean and a scale for each column of numbers")
        if not is_whole(content["longest"], 1):
            raise ValueError(f"longest is {content['longest']!r}, expected a whole number from 1 on")
        return found | {"means": means, "scales": scales, "longest": content["longest"]}


def cut_written_texts(
    data: Any, reading: WrittenTextOptions, names: Sequence[str] | None = None, *, seed: int
) -> WrittenTexts:
    """Return texts as a training reads them, each of a part; as of `recur.tasks.texts.setup.cut_examples`.

    Raises:
        DataError: They cannot be read, or are too few.
        OptionError: Options do not go with them.
    """
    return split_examples(read_written_texts(data, reading, names=names), reading, seed=seed)
