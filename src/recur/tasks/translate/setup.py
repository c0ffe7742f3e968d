"""How texts become what a translator reads and writes; kept in the run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.examples import TextPairs
from recur.data.texts.options import PairOptions
from recur.data.texts.pair_batches import MAX_ATTENTION, PairBatches
from recur.data.texts.pair_tokens import PairVocabularies, fit_pair_vocabularies
from recur.data.texts.pairs import read_pairs
from recur.data.texts.places import Places
from recur.data.texts.splitting import split_examples
from recur.data.texts.token_options import PairTokenOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.kinds import is_finite, is_whole
from recur.tasks.knowledge import fingerprint
from recur.tasks.text_setup import TextSetup
from recur.tasks.text_source import TextSource
from recur.token_ids import UNKNOWN, Ragged
from recur.wording import quantity

_MARGIN = 10
"""Tokens that an answer may have more than twice what is usual."""

_USUAL = 0.99
"""Share of the targets that say what is usual, so that a few odd ones do not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TranslationSetup(TextSetup[TextPairs]):
    """What a translator has to know of its data, beside what a `TextSetup` says.

    Attributes:
        source_vocabulary: Of the training part.
        target_vocabulary: Likewise; the same one where sources and targets have one.
        longest_target: Tokens that a target of the training part has at most.
        growth: Tokens of a target over those of its source and ten more, which one in a hundred of the training part
            exceeds.
        num_pairs: Pairs of the training part.
        num_unknown: Tokens of its targets that are not known, so that the network learns where one stands.
        has_conversations: Whether the data were conversations.
    """

    source_vocabulary: TextVocabulary
    target_vocabulary: TextVocabulary
    longest_target: int
    growth: float
    num_pairs: int
    num_unknown: int
    reading: PairOptions = field(default_factory=PairOptions)
    has_conversations: bool = False

    options_of_reading: ClassVar[type[PairOptions]] = PairOptions

    @classmethod
    def fit(
        cls,
        examples: TextPairs,
        tokens: PairTokenOptions,
        *,
        vocabularies: PairVocabularies | None = None,
        reading: PairOptions | None = None,
        seed: int = 0,
        source: TextSource | None = None,
    ) -> Self:
        """Return the setup of pairs that are cut into parts.

        Args:
            examples: With parts.
            tokens: With every value chosen.
            vocabularies: Those of the training part, where they are known beforehand.
            reading: How they were read.
            seed: As of the attributes.
            source: Likewise.

        Raises:
            DataError: There is nothing to learn from.
        """
        train = examples.of_part("train")
        if vocabularies is None:
            vocabularies = fit_pair_vocabularies(tokens, train.sources, train.targets)
        of_sources, of_targets = vocabularies.sources, vocabularies.targets
        targets = of_targets.encode_all(train.targets)
        return cls(
            source_vocabulary=of_sources,
            target_vocabulary=of_targets,
            longest_target=int(targets.lengths.max()),
            growth=float(
                np.quantile(targets.lengths / (of_sources.encode_all(train.sources).lengths + _MARGIN), _USUAL)
            ),
            num_pairs=len(train),
            num_unknown=int((targets.ids == UNKNOWN).sum()),
            reading=reading or PairOptions(),
            roles=examples.roles,
            # Nothing else comes in groups.
            has_conversations=examples.group is not None,
            seed=seed,
            source=source,
        )

    @property
    def has_one_vocabulary(self) -> bool:
        """Whether sources and targets have the same tokens."""
        return self.source_vocabulary is self.target_vocabulary

    @property
    def names(self) -> tuple[str, str]:
        """What sources and targets are called: the columns that they stood in."""
        columns = {} if self.roles is None else self.roles.columns
        return columns.get("source", "source"), columns.get("target", "target")

    @property
    def can_copy(self) -> bool:
        """Whether a token of a source can be one of a target: pieces of different BPEs cannot, letters seldom be words.

        Of letters and words it is only what both have, such as numerals of one digit.
        """
        of_sources, of_targets = self.source_vocabulary, self.target_vocabulary
        kinds = {of_sources.kind, of_targets.kind}
        if self.has_one_vocabulary or "bpe" in kinds:
            return self.has_one_vocabulary
        are_alike = kinds == {"character"} or "character" not in kinds
        return are_alike or not set(of_sources.symbols).isdisjoint(of_targets.symbols)

    def limits(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many tokens answers to sources have at most, (N,): twice what is usual of such, and ten more.

        It is no more than twice the longest target of the training part and ten more.

        Args:
            lengths: Tokens of the sources, (N,).
        """
        most = np.full(len(lengths), 2 * self.longest_target + _MARGIN, np.int64)
        usual: NDArray[np.int64] = np.ceil(2 * self.growth * (lengths + _MARGIN)).astype(np.int64)
        return np.minimum(usual + _MARGIN, most)

    # --- data ---

    def read(self, data: Any, *, has_targets: bool = True) -> TextPairs:
        """Return other pairs, read as those of the run were.

        Args:
            data: What `read_pairs` takes; without targets also texts themselves, as `texts_themselves` takes them.
                Pairs are returned as they are.
            has_targets: Whether targets are read.

        Raises:
            DataError: They cannot be read.
            TypeError: One of a list is no text.
        """
        if isinstance(data, TextPairs):
            return data
        reading = self.reading
        texts = None if has_targets else self.themselves(data)
        if texts is not None:
            if not texts:
                return TextPairs(sources=(), targets=(), places=Places.of("the data", (), "row"), part=())
            # Whatever they look like, they are the sources.
            name = self.names[0]
            data, reading = {name: texts}, replace(reading, source=name)
        options = PairOptions(
            source=reading.source,
            target=reading.target,
            history=reading.history,
            encoding=reading.encoding,
            separator=reading.separator,
            has_header=reading.has_header,
        )
        return read_pairs(data, options, roles=self.roles, has_targets=has_targets, given=self.given)

    def _in_parts(self, data: Any) -> TextPairs:
        return cut_pairs(data, self.reading, seed=self.seed)

    def within(self, pairs: TextPairs, max_attention: int = MAX_ATTENTION) -> TextPairs:
        """Return the pairs that are short enough to be learned from, with a note of the others.

        Args:
            pairs: Any.
            max_attention: Tokens of a source times those of its target and its end, at most.
        """

        def tokens(vocabulary: TextVocabulary, text: str, enough: int) -> int:
            # A token has a letter at least, or of a BPE a byte, so that short texts need not be cut.
            most = 4 * len(text) if vocabulary.bpe is not None else len(text)
            return len(vocabulary.encode(text)) if most >= enough else most

        numbers, found = [], ""
        for number, (source, target) in enumerate(zip(pairs.sources, pairs.targets, strict=True)):
            of_target = tokens(self.target_vocabulary, target, max_attention // (4 * len(source) + 1)) + 1
            of_source = tokens(self.source_vocabulary, source, max_attention // of_target)
            if of_source * of_target <= max_attention:
                numbers.append(number)
            elif not found:
                found = f"{pairs.places[number]}, with {of_source:,} and {of_target:,}"
        if not found:
            return pairs
        count = quantity(len(pairs) - len(numbers), "pair")
        return pairs.take(numbers).noted(
            f"{count} left out, whose source tokens times target tokens are above {max_attention:,}, such as {found}"
        )

    def batches(
        self,
        sources: Sequence[str],
        targets: Sequence[str] | None = None,
        *,
        batch_size: int,
        max_tokens: int,
        max_attention: int = MAX_ATTENTION,
        copying: bool = False,
        seed: int | None = None,
    ) -> PairBatches:
        """Return batches of texts and what they become.

        Args:
            sources: The texts.
            targets: What they become; None where that is not known.
            batch_size: As of `PairBatches`, as all others.
            max_tokens: Likewise.
            max_attention: Likewise.
            copying: Whether tokens of sources can be copied.
            seed: Likewise.
        """
        return PairBatches(
            self.source_vocabulary.encode_all(sources),
            None if targets is None else self._targets(sources, targets, copying),
            self._copies(sources) if copying else None,
            batch_size=batch_size,
            max_tokens=max_tokens,
            max_attention=max_attention,
            seed=seed,
        )

    def unknown_symbols(self, source: str) -> list[str]:
        """Return the tokens of a source that no target has, each once: what the ids behind the last one stand for."""
        if self.target_vocabulary.bpe is not None:
            return []
        symbols = dict.fromkeys(piece.text for piece in self.source_vocabulary.cut(source))
        return [symbol for symbol in symbols if self.target_vocabulary.id_of(symbol) == UNKNOWN]

    def words_at(self, source: str) -> list[str]:
        """Return for each token of a source the text that stands there, as a target has it: of a BPE the whole word.

        Of targets of characters it is the piece itself, without blanks.
        """
        pieces = self.source_vocabulary.cut(source)
        if self.source_vocabulary.bpe is None:
            return [piece.text for piece in pieces]
        text = self.source_vocabulary.normalised(source)
        text = text.lower() if self.source_vocabulary.lowercase and len(text.lower()) == len(text) else text
        if self.target_vocabulary.kind == "character":
            return [text[piece.begin : max(piece.end, piece.begin + 1)].strip() for piece in pieces]
        words = self.target_vocabulary.cut(text)
        ends, found = [word.end for word in words], []
        for piece in pieces:
            # A piece begins with the blank before its word.
            begin = piece.begin + len(text[piece.begin : piece.end]) - len(text[piece.begin : piece.end].lstrip())
            found.append(words[min(bisect_right(ends, begin), len(words) - 1)].text if words else "")
        return found

    def _copies(self, sources: Sequence[str]) -> Ragged:
        """Return what each token of the sources is as a target."""
        vocabulary = self.target_vocabulary
        if vocabulary.bpe is not None:
            return vocabulary.encode_all(sources)
        return Ragged.of(self._ids_with_unknown(source, self.source_vocabulary, source) for source in sources)

    def target_ids(self, text: str, source: str, *, copying: bool) -> list[int]:
        """Return the ids of a text that becomes of a source; those that can be copied alone have their own."""
        if not copying or self.target_vocabulary.bpe is not None:
            ids: list[int] = self.target_vocabulary.encode(text).tolist()
            return ids
        return self._ids_with_unknown(text, self.target_vocabulary, source)

    def _targets(self, sources: Sequence[str], targets: Sequence[str], copying: bool) -> Ragged:
        if not copying or self.target_vocabulary.bpe is not None:
            return self.target_vocabulary.encode_all(targets)
        return Ragged.of(
            self.target_ids(target, source, copying=True) for source, target in zip(sources, targets, strict=True)
        )

    def _ids_with_unknown(self, text: str, cutter: TextVocabulary, source: str) -> list[int]:
        """Return the ids of a text as a target, where what is unknown, but in the source, has one of its own."""
        own = {symbol: self.target_vocabulary.size + n for n, symbol in enumerate(self.unknown_symbols(source))}
        found = []
        for piece in cutter.cut(text):
            token = self.target_vocabulary.id_of(piece.text)
            found.append(own.get(piece.text, token) if token == UNKNOWN else token)
        return found

    # --- files ---

    @property
    def fingerprint(self) -> str:
        """What tells whether weights were trained with these vocabularies, SHA-256."""
        return fingerprint(self.source_vocabulary.to_json(), self.target_vocabulary.to_json())

    def _own_entries(self) -> dict[str, Any]:
        return {
            "source_vocabulary": self.source_vocabulary.to_json(),
            "target_vocabulary": None if self.has_one_vocabulary else self.target_vocabulary.to_json(),
            "longest_target": self.longest_target,
            "growth": self.growth,
            "num_pairs": self.num_pairs,
            "num_unknown": self.num_unknown,
            "has_conversations": self.has_conversations,
        }

    @classmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        growth, target = content["growth"], content["target_vocabulary"]
        of_sources = TextVocabulary.from_json(content["source_vocabulary"])
        if not is_whole(content["longest_target"], 1):
            raise ValueError(f"longest_target is {content['longest_target']!r}, expected a whole number from 1 on")
        if not (is_finite(growth) and growth >= 0):
            raise ValueError(f"growth is {growth!r}, expected a number from 0 on")
        return {
            "source_vocabulary": of_sources,
            "target_vocabulary": of_sources if target is None else TextVocabulary.from_json(target),
            "longest_target": content["longest_target"],
            "growth": growth,
            "num_pairs": int(content["num_pairs"]),
            "num_unknown": int(content["num_unknown"]),
            "has_conversations": bool(content.get("has_conversations")),
        }


def cut_pairs(data: Any, reading: PairOptions, *, seed: int) -> TextPairs:
    """Return pairs as a training reads them, each of a part.

    Raises:
        DataError: They cannot be read, or are too few.
        OptionError: Options do not go with them.
    """
    return split_examples(read_pairs(data, reading), reading, seed=seed)
