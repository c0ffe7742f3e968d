"""How sentences become what a tagger reads, and tags what it is to tell; kept in the run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.examples import TaggedSentences
from recur.data.texts.options import TaggedTextOptions
from recur.data.texts.places import Places
from recur.data.texts.raw_sentences import cut_into_words
from recur.data.texts.splitting import split_examples
from recur.data.texts.tag_schemes import scheme_of
from recur.data.texts.tagged import read_tagged_sentences, untagged
from recur.data.texts.tagged_batches import TaggedBatches, Words
from recur.data.texts.token_options import TokenOptions, WordOptions
from recur.data.texts.vocabulary import Piece, TextVocabulary
from recur.errors import DataError
from recur.tasks.knowledge import fingerprint
from recur.tasks.text_setup import TextSetup
from recur.tasks.text_source import TextSource, check_is_no_text, entries_of, texts_among
from recur.token_ids import Ragged

OUTSIDE = "O"
"""The tag of a token that is of no entity."""

_LEAST_OF_CHARACTERS = 2
"""Times that a character must stand in the training part to be known, so that what is unknown is learnt too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TagSetup(TextSetup[TaggedSentences]):
    """What a tagger has to know of its data, beside what a `TextSetup` says.

    Attributes:
        words: The vocabulary of words of the training part.
        characters: That of their characters.
        tags: Names of the K tags of the training part.
        scheme: Of the tags, as `recur.nn.bio_constraints` calls it; None where they write no entities.
        counts: Tokens of the training part that have each tag.
        num_sentences: Sentences of the training part.
        num_columns: Columns that the files had; None where these were none in columns.
    """

    words: TextVocabulary
    characters: TextVocabulary
    tags: tuple[str, ...]
    scheme: str | None
    counts: tuple[int, ...]
    num_sentences: int
    reading: TaggedTextOptions = field(default_factory=TaggedTextOptions)
    num_columns: int | None = None

    options_of_reading: ClassVar[type[TaggedTextOptions]] = TaggedTextOptions

    @classmethod
    def fit(
        cls,
        examples: TaggedSentences,
        words: WordOptions,
        *,
        vocabulary: TextVocabulary | None = None,
        reading: TaggedTextOptions | None = None,
        seed: int = 0,
        source: TextSource | None = None,
    ) -> Self:
        """Return the setup of sentences that are cut into parts.

        Args:
            examples: With parts.
            words: Which words are known.
            vocabulary: These words, where they are known beforehand.
            reading: How they were read.
            seed: As of the attributes.
            source: Likewise.

        Raises:
            DataError: There is nothing to tell apart.
        """
        train = examples.of_part("train")
        counts = Counter(tag for tags in train.tags for tag in tags)
        if len(counts) < 2:
            tag = next(iter(counts))
            raise DataError(
                f"there is nothing to tell apart: all {counts[tag]:,} tokens that are learned from have the tag "
                f"{tag!r}; choose the column of the tags, or give sentences with others."
            )
        scheme = scheme_of(counts)
        # Every sentence can be told without an entity, whatever the scheme asks of those.
        names = tuple(sorted({*counts, *([] if scheme is None else [OUTSIDE])}))
        tokens = [token for sentence in train.tokens for token in sentence]
        letters = TokenOptions(
            tokens="character", lowercase=False, unicode=words.unicode, min_count=_LEAST_OF_CHARACTERS
        )
        return cls(
            words=vocabulary or TextVocabulary.fit_tokens(tokens, words),
            characters=TextVocabulary.fit(tokens, letters),
            tags=names,
            scheme=scheme,
            counts=tuple(counts[name] for name in names),
            num_sentences=len(train),
            reading=reading or TaggedTextOptions(),
            roles=examples.roles,
            num_columns=examples.num_columns,
            seed=seed,
            source=source,
        )

    # --- data ---

    def read(self, data: Any, *, has_tags: bool = True) -> TaggedSentences:
        """Return other sentences, read as those of the run were.

        Args:
            data: What `read_tagged_sentences` takes; without tags also sentences as `themselves` takes them.
            has_tags: Whether there must be tags.

        Raises:
            DataError: They cannot be read.
            TypeError: As of `tokens_of`.
        """
        sentences = None if has_tags else self.themselves(data)
        if sentences is None:
            return self._read(data, self.cut, has_tags=has_tags)
        tokens, _ = self.tokens_of(sentences)
        places = Places.of("the data", range(1, len(tokens) + 1), "row")
        return untagged([tuple(own) for own in tokens], places, (None,) * len(tokens))

    def themselves(self, data: Any) -> list[Any] | None:
        """Return texts, or the tokens of sentences, that are given as such; None where data are something else.

        A list is such, also where one of it is neither, which `tokens_of` then says, unless it holds paths. So is an
        array, or a column of a dataframe. A tuple may also be the tokens and the tags of sentences, two lists of such.

        Raises:
            DataError: They are a text by itself, which would be the name of a file.
        """
        check_is_no_text(data)
        data = texts_among(data)
        if isinstance(data, list):
            return None if any(isinstance(one, os.PathLike) for one in data) else data
        if not isinstance(data, tuple) or not all(isinstance(one, str | list | tuple) for one in data):
            return None
        return list(data) if all(isinstance(token, str) for one in data for token in one) else None

    def tokens_of(self, sentences: Sequence[Any]) -> tuple[list[list[str]], list[list[Piece]]]:
        """Return the tokens of each sentence, and what pieces of its text they are; none where tokens are given.

        Args:
            sentences: Texts, which are cut into words, numbers and marks; or the tokens of each sentence.

        Raises:
            TypeError: They are neither.
        """
        pieces, tokens = [], []
        for number, given in enumerate(sentences, start=1):
            row = given if isinstance(given, str | list | tuple) else entries_of(given)
            if isinstance(row, str):
                pieces.append(cut_into_words(row, self.words))
                tokens.append([piece.text for piece in pieces[-1]])
            elif isinstance(row, list | tuple) and all(isinstance(token, str) for token in row):
                tokens.append(list(row))
            else:
                raise TypeError(
                    f"sentences: sentence {number} is {type(row).__name__}; give a text, or a list of tokens, each a "
                    "text."
                )
        if pieces and len(pieces) < len(tokens):
            raise TypeError("sentences: some are texts and some lists of tokens; give all as one of these.")
        return tokens, pieces

    def sentences(self, data: Any) -> tuple[list[Any], tuple[str, ...]]:
        """Return sentences without tags, also empty ones, and notes of what was taken for what.

        They are those that are given as such, the lines of a file of text without columns, or else the tokens of each.

        Args:
            data: As of `read` without tags.

        Raises:
            DataError: They cannot be read.
        """
        sentences = self.themselves(data)
        if sentences is not None:
            return sentences, ()
        lines: list[str] = []

        def cut(line: str) -> list[str]:
            lines.append(line)
            return self.cut(line)

        examples = self._read(data, cut, has_tags=False)
        return lines or list(examples.tokens), examples.notes

    def _read(self, data: Any, cut: Callable[[str], list[str]], *, has_tags: bool) -> TaggedSentences:
        options = TaggedTextOptions(
            tokens=self.reading.tokens,
            tags=self.reading.tags,
            repair=self.reading.repair,
            encoding=self.reading.encoding,
            separator=self.reading.separator,
            has_header=self.reading.has_header,
        )
        return read_tagged_sentences(
            data,
            options,
            roles=self.roles,
            has_tags=has_tags,
            tags=self.tags,
            num_columns=self.num_columns,
            cut=cut,
            given=self.given,
        )

    def cut(self, text: str) -> list[str]:
        """Return the words, numbers and marks of a text, as they stand there."""
        return [piece.text for piece in cut_into_words(text, self.words)]

    def _in_parts(self, data: Any) -> TaggedSentences:
        return cut_examples(data, self.reading, seed=self.seed)

    def numbers(self, tags: Sequence[Sequence[str]]) -> Ragged:
        """Return the numbers of tags; -1 for one that the model does not know."""
        number = {name: place for place, name in enumerate(self.tags)}
        return Ragged.of([number.get(tag, -1) for tag in own] for own in tags)

    def batches(
        self,
        tokens: Sequence[Sequence[str]],
        tags: Sequence[Sequence[str]] | None = None,
        *,
        batch_size: int,
        max_tokens: int,
        seed: int | None = None,
    ) -> TaggedBatches:
        """Return batches of sentences, with the tags that are to be told where they are given."""
        words = Words.of(tokens, self.words, self.characters)
        numbers = None if tags is None else self.numbers(tags)
        return TaggedBatches(words, numbers, batch_size=batch_size, max_tokens=max_tokens, seed=seed)

    # --- files ---

    @property
    def fingerprint(self) -> str:
        """What tells whether weights were trained with these vocabularies and tags, SHA-256."""
        return fingerprint(self.words.to_json(), self.characters.to_json(), self.tags)

    def _own_entries(self) -> dict[str, Any]:
        return {
            "vocabulary": self.words.to_json(),
            "characters": self.characters.to_json(),
            "tags": list(self.tags),
            "scheme": self.scheme,
            "counts": list(self.counts),
            "num_sentences": self.num_sentences,
            "num_columns": self.num_columns,
        }

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        tags, counts = tuple(content["tags"]), tuple(content["counts"])
        if len(set(tags)) != len(tags) or not all(isinstance(name, str) for name in tags):
            raise ValueError("tags must be texts, each once")
        if len(counts) != len(tags):
            raise ValueError("there must be a count for each tag")
        if content["scheme"] is not None and content["scheme"] != scheme_of(tags):
            raise ValueError(f"the tags are not of the scheme {content['scheme']!r}")
        return {
            "words": TextVocabulary.from_json(content["vocabulary"]),
            "characters": TextVocabulary.from_json(content["characters"]),
            "tags": tags,
            "scheme": content["scheme"],
            "counts": counts,
            "num_sentences": int(content["num_sentences"]),
            "num_columns": content.get("num_columns"),
        }


def cut_examples(data: Any, reading: TaggedTextOptions, *, seed: int) -> TaggedSentences:
    """Return sentences as a training reads them, each of a part.

    Raises:
        DataError: They cannot be read, or are too few.
        OptionError: Options do not go with them.
    """
    return split_examples(read_tagged_sentences(data, reading), reading, seed=seed)


def flat_tags(tags: Sequence[Sequence[str]]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the tags of sentences one after the other, and where each sentence that has any begins."""
    lengths = np.array([len(own) for own in tags], np.int64)
    flat = np.empty(int(lengths.sum()), object)
    flat[:] = [tag for own in tags for tag in own]
    return flat, (np.cumsum(lengths) - lengths)[lengths > 0]
