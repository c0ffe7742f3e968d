"""What the user may choose about vectors of words that others have trained. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recur.data.texts.named_files import NamesFiles
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.wording import option


@dataclass(frozen=True, kw_only=True)
class VectorOptions(NamesFiles):
    """Vectors that words begin with, and which further words they make known.

    Known are the words that would be without vectors, every word of the training part that has one, however rare it
    is, and the first `vector_words` words of the file, which has the most frequent ones first. All together are bounded
    by `vocabulary_size`.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> VectorOptions(vectors="glove.6B.100d.txt").vector_words
        10000
    """

    file_options: ClassVar[tuple[str, ...]] = ("vectors",)

    vectors: str | None = None
    """File of vectors that words begin with, in the text form of GloVe or word2vec: on each line a word and its
    numbers, with blanks between. They set embedding_size."""

    vector_words: int = 10_000
    """How many of the first words of the file are known even where the training part does not have them."""

    freeze_vectors: bool = False
    """Whether the vectors of all tokens stay as they are, also those drawn for tokens that the file lacks; else they
    are trained on."""

    def __post_init__(self) -> None:
        if self.vectors is not None and not (isinstance(self.vectors, str) and self.vectors):
            raise OptionError(f"vectors must name a file, not {self.vectors!r}.")
        if not is_whole(self.vector_words, 0):
            raise OptionError(f"vector_words must be a whole number from 0 on, not {self.vector_words!r}.")
        if not isinstance(self.freeze_vectors, bool):
            raise OptionError(f"freeze_vectors must be true or false, not {self.freeze_vectors!r}.")
        if self.vectors is None:
            for name, default in (("vector_words", 10_000), ("freeze_vectors", False)):
                if getattr(self, name) != default:
                    raise OptionError(
                        f"{name}: would be ignored without vectors; leave {option(name)} out, or name a file."
                    )


@dataclass(frozen=True, kw_only=True)
class PairVectorOptions(VectorOptions):
    """Vectors that words of sources, and of targets, begin with.

    Of sources known are the words that `VectorOptions` tells. Of targets known are those that would be without vectors,
    and every word of the training part that has one: others could never be learned to be written.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> PairVectorOptions(target_vectors="wiki.ja.vec").of_targets.vector_words
        0
    """

    file_options: ClassVar[tuple[str, ...]] = ("vectors", "target_vectors")

    target_vectors: str | None = None
    """Likewise of the words of targets, with as many numbers."""

    def __post_init__(self) -> None:
        target = self.target_vectors
        if target is not None and not (isinstance(target, str) and target):
            raise OptionError(f"target_vectors must name a file, not {target!r}.")
        if self.vectors is not None or target is None:
            super().__post_init__()
        else:
            # What there is to say of words that are known beforehand is said of those of sources alone.
            VectorOptions(vectors=target, freeze_vectors=self.freeze_vectors)
            VectorOptions(vector_words=self.vector_words)

    @property
    def of_sources(self) -> VectorOptions:
        """Those of sources."""
        return VectorOptions() if self.vectors is None else self._of(self.vectors, self.vector_words)

    @property
    def of_targets(self) -> VectorOptions:
        """Those of targets."""
        return VectorOptions() if self.target_vectors is None else self._of(self.target_vectors, 0)

    def _of(self, path: str, words: int) -> VectorOptions:
        return VectorOptions(vectors=path, vector_words=words, freeze_vectors=self.freeze_vectors)
