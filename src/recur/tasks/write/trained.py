"""Using a trained writer: load a run, write texts from labels or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.texts.batches import MAX_TOKENS
from recur.data.texts.written import WrittenTexts
from recur.decode import Constraints, DecodingOptions, Hypothesis, Sampling, decode
from recur.errors import DataError, OptionError
from recur.kinds import is_whole
from recur.models.texts.writer import WriterNetwork, WriterSteps
from recur.models.texts.writer_options import WriterOptions
from recur.tasks.text_task import TrainedOnTexts
from recur.tasks.write.setup import WriterSetup
from recur.token_ids import END, UNKNOWN

if TYPE_CHECKING:
    import polars as pl

_MARGIN = 10
_AT_ONCE = 256
"""Texts that are written side by side."""


@dataclass(frozen=True, kw_only=True)
class WrittenText:
    """A text that was written."""

    text: str
    """The text."""

    labels: tuple[str, ...]
    """The classes that it was to be of."""

    log_prob: float
    """Natural logarithm of its probability, given these, the numbers and the prompt, which is not counted."""

    is_whole: bool
    """Whether it came to its end, and was not broken off."""


class TrainedWriter(TrainedOnTexts[WriterNetwork, WriterSetup, WriterOptions]):
    """A writer of texts from labels or numbers, with all that it needs to read these and to write.

    Args:
        network: Put in evaluation mode.
        setup: How labels and numbers become what it reads, and what it writes becomes texts.
        options: What it was built with.

    Attributes:
        longest: Tokens of a text at most where nothing else is said: twice as many as 99 in a hundred texts of the
            training part have at most, and ten more.
    """

    task = "write"
    setup_type, options_type, knows = WriterSetup, WriterOptions, "vocabulary, classes or columns"

    def __init__(self, network: WriterNetwork, setup: WriterSetup, options: WriterOptions) -> None:
        super().__init__(network, setup, options)
        self.longest = 2 * setup.longest + _MARGIN

    @staticmethod
    def build(options: WriterOptions, setup: WriterSetup) -> WriterNetwork:
        """Return the network that recur trains with these options on such texts, its weights freshly drawn.

        Raises:
            OptionError: A value that is needed is missing.
        """
        if not options.is_complete:
            raise OptionError("a value that is needed is missing.")
        return WriterNetwork(options, setup.vocabulary.size, setup.num_features)

    # --- writing ---

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that texts can be written from."""
        return self.setup.classes

    def generate(
        self,
        prompt: str = "",
        length: int | None = None,
        *,
        label: str | Sequence[str] | None = None,
        vector: Sequence[float] | None = None,
        samples: int = 1,
        sampling: Sampling | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """Return texts written from a label, or from numbers, each from its beginning to its end; none is empty.

        Args:
            prompt: What each begins with; it may be all of it.
            length: Tokens of each text after that, at most; None for `longest`.
            label: A class; several where a text is of any number of them, and none is one of these numbers. Where a
                text is of one class, None draws it for each text, as often as they are in the training part.
            vector: The numbers, one of each column of the training data, in its unit.
            samples: How many texts.
            sampling: How tokens are drawn; by default from the model's own distribution.
            seed: The same seed gives the same texts; None draws one.

        Raises:
            OptionError: There is no such class, or it is missing, or a number or the seed is out of range.
            DataError: The prompt has characters that the model does not know.

        Example:
            ```python
            writer = recur.load("runs/names")
            print(writer.generate(label="Russian", samples=10, seed=1))
            ```
        """
        found = self.write(prompt, length, label=label, vector=vector, samples=samples, sampling=sampling, seed=seed)
        return [one.text for one in found]

    def write(
        self,
        prompt: str = "",
        length: int | None = None,
        *,
        label: str | Sequence[str] | None = None,
        vector: Sequence[float] | None = None,
        samples: int = 1,
        sampling: Sampling | None = None,
        seed: int | None = None,
    ) -> list[WrittenText]:
        """Return what `generate` does, with the class and the probability of each text; the arguments are the same."""
        if not is_whole(samples, 1):
            raise OptionError(f"samples must be a whole number from 1 on, not {samples!r}.")
        generator = self._generator(seed)
        if label is None and self.classes and not self.setup.is_multi:
            _, numbers = self.setup.asked(self.classes[0], vector)
            # As often as in the training part.
            counts = torch.tensor(self.setup.counts, dtype=torch.float64, device=generator.device)
            drawn = torch.multinomial(counts, samples, replacement=True, generator=generator)
            labels: list[tuple[str, ...]] = [(self.classes[number],) for number in drawn.tolist()]
        else:
            own, numbers = self.setup.asked(label, vector)
            labels = [tuple(own)] * samples
        return self._written(
            labels, np.tile(np.array(numbers), (samples, 1)), prompt, length, sampling or Sampling(), generator
        )

    def write_each(
        self,
        labels: Sequence[Sequence[str]],
        numbers: Sequence[Sequence[float]] | NDArray[np.float64] | None = None,
        *,
        length: int | None = None,
        sampling: Sampling | None = None,
        seed: int | None = None,
    ) -> list[WrittenText]:
        """Return a text for each of several contexts.

        Args:
            labels: The classes of each, (N,) sequences; empty ones where only numbers are read.
            numbers: The numbers of each, (N, M); None where none are read.
            length: As of `generate`, as all others.
            sampling: Likewise.
            seed: Likewise.

        Raises:
            OptionError: There is no such class, or one too many; numbers are too few, too many or not finite; or the
                seed is out of range.
            TypeError: `labels` are one text, or those of a text are.
        """
        if isinstance(labels, str):
            raise TypeError("labels: takes the classes of each text, not one text; give [[label]].")
        given: Any = np.zeros((len(labels), 0)) if numbers is None else numbers
        return self._written(labels, given, "", length, sampling or Sampling(), self._generator(seed))

    def predict(self, data: Any, *, sampling: Sampling | None = None, samples: int = 1, seed: int = 0) -> pl.DataFrame:
        """Return texts written from the labels and numbers of each row of a table, as a table.

        Args:
            data: A file or dataframe with the columns of the training data, of which that of the texts is not needed.
            sampling: As of `generate`.
            samples: Texts of each row.
            seed: The same seed gives the same texts.

        Returns:
            A row for each text: the `label`, called as in training, and the columns of numbers; the `text`, likewise;
            and its `log_prob`.

        Raises:
            DataError: The data cannot be read, or have a class that the model does not know.
            OptionError: A number or the seed is out of range.
        """
        import polars as pl

        if not is_whole(samples, 1):
            raise OptionError(f"samples must be a whole number from 1 on, not {samples!r}.")
        labels, numbers = self.setup.read_contexts(data)
        rows = np.repeat(np.arange(len(labels)), samples)
        found = self.write_each([labels[row] for row in rows], numbers[rows], sampling=sampling, seed=seed)
        cells: dict[str, Any] = {}
        if self.classes:
            is_multi = self.setup.is_multi
            own = [list(labels[row]) if is_multi else labels[row][0] for row in rows]
            cells[self.setup.label] = pl.Series(own, dtype=pl.List(pl.String) if is_multi else pl.String)
        cells |= {name: numbers[rows, place] for place, name in enumerate(self.setup.columns)}
        text = "text" if self.setup.roles is None else self.setup.roles.columns.get("text", "text")
        cells[text] = [one.text for one in found]
        cells["log_prob" if "log_prob" not in cells else "log_prob_"] = [one.log_prob for one in found]
        return pl.DataFrame(cells)

    def log_probs(
        self,
        texts: Sequence[str],
        *,
        label: str | Sequence[str] | None = None,
        vector: Sequence[float] | None = None,
    ) -> NDArray[np.float64]:
        """Return the natural logarithm of the probability of texts, their ends included, if written from this, (N,).

        Args:
            texts: Whole texts.
            label: As of `generate`; it must be given.
            vector: As of `generate`.

        Raises:
            OptionError: As of `generate`.
            TypeError: `texts` is one text.
        """
        if isinstance(texts, str):
            raise TypeError("texts: takes a list of texts, not one; give [text].")
        labels, numbers = self.setup.asked(label, vector)
        features = self.setup.features([labels] * len(texts), np.tile(np.array(numbers), (len(texts), 1)))
        return -self.nats(_bare(texts), features)

    @torch.no_grad()
    def nats(self, examples: WrittenTexts, features: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """Return -ln p of each text, its end included, (N,).

        Args:
            examples: The texts.
            features: What they are taken to be written from, (N, D); None for what they are.
        """
        found = np.zeros(len(examples))
        device = next(self.network.parameters()).device
        batches = self.setup.batches(examples, features=features, batch_size=_AT_ONCE, max_tokens=4 * MAX_TOKENS)
        for batch in batches:
            found[batch.index.numpy()] = self.network.text_nats(batch.to(device)).cpu().numpy()
        return found

    def _generator(self, seed: int | None) -> torch.Generator:
        if seed is not None and not (is_whole(seed, 0) and seed < 1 << 63):
            raise OptionError(f"seed must be a whole number from 0 to {(1 << 63) - 1}, not {seed!r}.")
        generator = torch.Generator(next(self.network.parameters()).device)
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        return generator

    @torch.no_grad()
    def _written(
        self,
        labels: Sequence[Sequence[str]],
        numbers: Sequence[Sequence[float]] | NDArray[np.float64],
        prompt: str,
        length: int | None,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> list[WrittenText]:
        if length is not None and not is_whole(length, 1):
            raise OptionError(f"length must be a whole number from 1 on, not {length!r}.")
        vocabulary = self.setup.vocabulary
        ids = vocabulary.encode(prompt)
        if UNKNOWN in ids:
            named = [piece.text for piece, token in zip(vocabulary.cut(prompt), ids, strict=True) if token == UNKNOWN]
            raise DataError(f"the prompt has {named[0]!r}, which the model does not know; leave it out.")
        features = torch.from_numpy(self.setup.features(labels, numbers)).to(next(self.network.parameters()))
        # Empty texts are left out of training; a prompt may be the whole text.
        least = 0 if len(ids) else 1
        options = DecodingOptions(min_length=least, max_length=length or self.longest, sampling=sampling)
        banned = Constraints(forbidden=[[UNKNOWN]])
        steps = WriterSteps(self.network)
        found: list[WrittenText] = []
        for first in range(0, len(labels), _AT_ONCE):
            own = features[first : first + _AT_ONCE]
            start = torch.tensor([END, *ids.tolist()], device=own.device).expand(len(own), -1)
            state = self.network.begin(own)
            if len(ids):
                _, state = self.network.read(start[:, :-1], state)
            answers = decode(
                steps, state, start[:, -1], end=END, options=options, constraints=banned, generator=generator
            )
            found += [
                self._told(tuple(of), ids.tolist(), one)
                for of, (one,) in zip(labels[first : first + _AT_ONCE], answers, strict=True)
            ]
        return found

    def _told(self, labels: tuple[str, ...], begun: list[int], hypothesis: Hypothesis) -> WrittenText:
        return WrittenText(
            text=self.setup.vocabulary.text_of([*begun, *hypothesis.tokens]),
            labels=labels,
            log_prob=hypothesis.log_prob if math.isfinite(hypothesis.log_prob) else -math.inf,
            is_whole=hypothesis.ended == "end",
        )


def _bare(texts: Sequence[str]) -> WrittenTexts:
    """Return texts alone."""
    from recur.data.texts.places import Places

    count = len(texts)
    return WrittenTexts(
        texts=tuple(texts),
        labels=((),) * count,
        numbers=((),) * count,
        places=Places.of("the texts", list(range(1, count + 1))),
        part=(None,) * count,
    )
