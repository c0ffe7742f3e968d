"""The rule beside a tagger: of each word the tag that it has most often in the training part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from recur.data.texts.examples import TaggedSentences
from recur.errors import RunError
from recur.run import RunFolder

LEXICON = "lexicon.json"
"""File of a run with the tag of each word."""


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """The tag that each word has most often, and that of all together for words that were not met.

    Attributes:
        tags: By word, as it is written; only those whose tag is another than `most_frequent`.
        most_frequent: The most frequent tag.

    Example:
        >>> from recur.data.texts import read_tagged_sentences
        >>> tags = [["B-PER", "O", "O", "O"], ["B-PER"]]
        >>> sentences = read_tagged_sentences(([["Ada", "wrote", "it", "."], ["Ada"]], tags))
        >>> Lexicon.of(sentences).told([["She", "wrote", "Ada"]])
        [('O', 'O', 'B-PER')]
    """

    tags: Mapping[str, str]
    most_frequent: str

    @classmethod
    def of(cls, train: TaggedSentences) -> Self:
        """Return what the training part says; of tags that are as frequent the one that comes first by its name."""
        counts: dict[str, Counter[str]] = {}
        for tokens, tags in zip(train.tokens, train.tags, strict=True):
            for token, tag in zip(tokens, tags, strict=True):
                counts.setdefault(token, Counter())[tag] += 1
        whole: Counter[str] = Counter()
        for one in counts.values():
            whole.update(one)
        most = _most_frequent(whole)
        own = {token: _most_frequent(one) for token, one in counts.items()}
        return cls(tags={token: tag for token, tag in own.items() if tag != most}, most_frequent=most)

    def told(self, tokens: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
        """Return the tag of each token of sentences."""
        return [tuple(self.tags.get(token, self.most_frequent) for token in own) for own in tokens]

    def save(self, folder: RunFolder) -> None:
        """Write `lexicon.json`.

        Raises:
            RunError: It cannot be written.
        """
        folder.write_json(LEXICON, {"most_frequent": self.most_frequent, "tags": dict(self.tags)})

    @classmethod
    def load(cls, folder: RunFolder) -> Self | None:
        """Return the lexicon of a run; None where there is none.

        Raises:
            RunError: It is damaged.
        """
        if not folder.has(LEXICON):
            return None
        content: Any = folder.read_json(LEXICON)
        tags, most = (content.get(name) for name in ("tags", "most_frequent"))
        if not isinstance(tags, dict) or not all(isinstance(one, str) for one in (most, *tags.values())):
            raise RunError(f"{folder.path / LEXICON}: damaged: expected the tag of each word; train again.")
        return cls(tags=tags, most_frequent=most)


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag))
