"""How good texts are beside what is right: exact match, error rates, BLEU and chrF by sacreBLEU, ROUGE.

Every score is of sums over texts, so that it can be had of any of them: of all, of long ones, of some that are drawn.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from recur.errors import DataError
from recur.tasks.translate.edits import common_length, edit_distance
from recur.tasks.translate.writing import Writing, cut_by, single_blanks

if TYPE_CHECKING:
    from sacrebleu import BLEU, CHRF

_NO_LETTER = re.compile(r"[\W_]")

Counts = NDArray[np.float64]
References = Sequence[Sequence[str]]


class Score(ABC):
    """One figure of texts beside what is right.

    Args:
        references: What is right of each of N texts: one text, or several, of which any is as good.

    Attributes:
        name: As files have it.
        title: As people read it.
        is_error: Whether less is better.
        is_share: Whether it is a share, of 1; else it is of 100.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    is_error: ClassVar[bool] = False
    is_share: ClassVar[bool] = True

    @abstractmethod
    def counts(self, outputs: Sequence[str]) -> Counts:
        """Return what is to be summed up of each text, (N, K).

        Args:
            outputs: N texts to be judged.
        """

    @abstractmethod
    def figure(self, sums: Counts) -> Counts:
        """Return the figure of sums, (..., K): (...); NaN or infinite of references without a token."""

    def signature(self) -> str | None:
        """Return the options in sacreBLEU's form; None of scores that are not its own."""
        return None


class _Ratio(Score):
    """The sum of one number over that of another."""

    def figure(self, sums: Counts) -> Counts:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Counts = sums[..., 0] / sums[..., 1]
        return ratio


class ExactMatch(_Ratio):
    """The share of texts that are right as a whole; how many blanks stand between words does not count."""

    name, title = "exact", "exact match"

    def __init__(self, references: References, cut: Callable[[str], Sequence[Hashable]]) -> None:
        self._cut, self._references = cut, [{tuple(cut(one)) for one in own} for own in references]

    def counts(self, outputs: Sequence[str]) -> Counts:
        """Return whether each text is right, and 1, (N, 2)."""
        right = [tuple(self._cut(output)) in own for output, own in zip(outputs, self._references, strict=True)]
        return np.stack([np.array(right, np.float64), np.ones(len(right))], 1)


class WrongShare(ExactMatch):
    """The share of texts that are not: of words' pronunciations, what benchmarks call the word error rate."""

    name, title, is_error = "wrong", "wrong texts (of pronunciations: WER)", True

    def counts(self, outputs: Sequence[str]) -> Counts:
        """Return whether each text is wrong, and 1, (N, 2)."""
        counts = super().counts(outputs)
        counts[:, 0] = 1 - counts[:, 0]
        return counts


class _Edits(_Ratio):
    """Edits over what they are measured by; of several references that which makes it least."""

    def __init__(self, references: References, cut: Callable[[str], Sequence[Hashable]]) -> None:
        self._cut, self._references = cut, [[cut(one) for one in own] for own in references]

    def counts(self, outputs: Sequence[str]) -> Counts:
        rows = []
        for output, own in zip(map(self._cut, outputs), self._references, strict=True):
            found = [self._of_one(output, one) for one in own]
            rows.append(min(found, key=lambda one: (one[0] / max(one[1], 0.5), one[0])))
        return np.array(rows, np.float64).reshape(-1, 2)

    def _of_one(self, output: Sequence[Hashable], reference: Sequence[Hashable]) -> tuple[int, int]:
        return edit_distance(output, reference), len(reference)


class WordErrorRate(_Edits):
    """Edits of words over the words of the reference, at least 0; above 1 where far too much was written."""

    name, title, is_error = "wer", "word error rate", True

    def __init__(self, references: References) -> None:
        super().__init__(references, str.split)


class SymbolErrorRate(_Edits):
    """Edits of symbols over the symbols of the reference: of phonemes, the phoneme error rate."""

    name, title, is_error = "ser", "symbol error rate (of phonemes: PER)", True

    def __init__(self, references: References) -> None:
        super().__init__(references, str.split)


class CharacterErrorRate(_Edits):
    """Edits of characters over the characters of the reference; a blank is one, if the script writes blanks."""

    name, title, is_error = "cer", "character error rate", True

    def __init__(self, references: References) -> None:
        super().__init__(references, single_blanks)


class TokenAccuracy(_Edits):
    """1 less the edits over the tokens of the longer of both texts: how much is right, where it may have shifted."""

    name, title = "token_accuracy", "token accuracy"

    def _of_one(self, output: Sequence[Hashable], reference: Sequence[Hashable]) -> tuple[int, int]:
        return edit_distance(output, reference), max(len(output), len(reference))

    def figure(self, sums: Counts) -> Counts:
        """Return 1 less edits over tokens."""
        # Of two texts without a token nothing is wrong.
        return 1 - sums[..., 0] / np.maximum(sums[..., 1], 1)


class _SacreBleu(Score):
    """A score that sacreBLEU counts (Post 2018, "A call for clarity in reporting BLEU scores")."""

    is_share = False

    def __init__(self, metric: BLEU | CHRF) -> None:
        self._metric = metric

    def counts(self, outputs: Sequence[str]) -> Counts:
        # Its own way to count each text once and then judge many draws of them, though not one that it shows.
        return np.array(self._metric._extract_corpus_statistics(outputs, None), np.float64)

    def figure(self, sums: Counts) -> Counts:
        rows = sums.reshape(-1, sums.shape[-1]).astype(np.int64).tolist()
        found = np.array([self._metric._compute_score_from_stats(row).score for row in rows], np.float64)
        return found.reshape(sums.shape[:-1])

    def signature(self) -> str | None:
        return str(self._metric.get_signature())


class Bleu(_SacreBleu):
    """BLEU (Papineni et al. 2002), of 100."""

    name, title = "bleu", "BLEU"

    def __init__(self, references: References, writing: Writing, *, is_lowercase: bool = False) -> None:
        from sacrebleu import BLEU

        tokens = {"words": "13a", "symbols": "none", "characters": "char"}[writing]
        # Texts that end in " ." are not warned of: where tokens have blanks between them, so they were given.
        super().__init__(
            BLEU(tokenize=tokens, lowercase=is_lowercase, force=True, references=_columns(references)),
        )


class Chrf(_SacreBleu):
    """chrF (Popović 2015), the F2 of pieces of 1 to 6 characters, of 100."""

    name, title = "chrf", "chrF"

    def __init__(self, references: References, *, is_lowercase: bool = False) -> None:
        from sacrebleu import CHRF

        super().__init__(CHRF(lowercase=is_lowercase, references=_columns(references)))


class ChrfWords(_SacreBleu):
    """chrF++ (Popović 2017), which counts words and pairs of words too, of 100."""

    name, title = "chrf++", "chrF++"

    def __init__(self, references: References, *, is_lowercase: bool = False) -> None:
        from sacrebleu import CHRF

        super().__init__(CHRF(word_order=2, lowercase=is_lowercase, references=_columns(references)))


class _Rouge(_Ratio):
    """The mean of F1 over texts; of several references the one which makes it largest."""

    def __init__(self, references: References, writing: Writing) -> None:
        self._writing = writing
        self._references = [[_letters(one, writing) for one in own] for own in references]

    def counts(self, outputs: Sequence[str]) -> Counts:
        best = []
        for output, own in zip(outputs, self._references, strict=True):
            tokens = _letters(output, self._writing)
            best.append(max(self._of_one(tokens, one) for one in own))
        return np.stack([np.array(best, np.float64), np.ones(len(best))], 1)

    @abstractmethod
    def _of_one(self, output: list[str], reference: list[str]) -> float:
        """Return the F1 of one text."""


class _RougeN(_Rouge):
    size: ClassVar[int]

    def _of_one(self, output: list[str], reference: list[str]) -> float:
        own, right = (_ngrams(tokens, self.size) for tokens in (output, reference))
        return _f1((own & right).total(), own.total(), right.total())


class Rouge1(_RougeN):
    """ROUGE-1 (Lin 2004): F1 of words."""

    name, title, size = "rouge_1", "ROUGE-1", 1


class Rouge2(_RougeN):
    """ROUGE-2 (Lin 2004): F1 of pairs of words."""

    name, title, size = "rouge_2", "ROUGE-2", 2


class RougeL(_Rouge):
    """ROUGE-L (Lin 2004): F1 by the longest sequence of words that both texts have."""

    name, title = "rouge_l", "ROUGE-L"

    def _of_one(self, output: list[str], reference: list[str]) -> float:
        return _f1(common_length(output, reference), len(output), len(reference))


def scores_for(references: References, writing: Writing, *, is_lowercase: bool = False) -> dict[str, Score]:
    """Return the scores that go with how texts are written, by name.

    | name | of | is |
    | --- | --- | --- |
    | `exact` | all | share of texts that are right as a whole |
    | `token_accuracy` | all | 1 less edits over the tokens of the longer text: words, symbols or characters |
    | `wer`, `cer` | words | edits over what the reference has, of words and of characters |
    | `ser` | symbols | likewise of symbols; of phonemes the phoneme error rate |
    | `wrong` | symbols | 1 less `exact`; of pronunciations what benchmarks call the word error rate |
    | `cer` | characters | likewise of characters |
    | `bleu`, `chrf` | all | by sacreBLEU, whose tokens are `13a` of words, `none` of symbols, `char` of characters |
    | `chrf++` | words | by sacreBLEU |
    | `rouge_1`, `rouge_2`, `rouge_l` | words, characters | mean F1, of letters and digits in small letters |

    The scores by edits and by ROUGE take, of several references, the one that is nearest to the output.

    Args:
        references: What is right of each of N texts: one text, or several.
        writing: As `recur.tasks.translate.writing.writing_of` tells.
        is_lowercase: Whether the texts were brought to small letters, for the signatures.

    Example:
        >>> import numpy as np
        >>> score = scores_for([["the cat"], ["a dog", "the big dog"]], "words")["wer"]
        >>> counts = score.counts(["a cat", "a big dog"])
        >>> counts.tolist(), score.figure(counts.sum(0)).item()
        ([[1.0, 2.0], [1.0, 3.0]], 0.4)
    """
    cut = cut_by(writing)
    found: list[Score] = [ExactMatch(references, cut), TokenAccuracy(references, cut)]
    if writing == "symbols":
        found += [WrongShare(references, cut), SymbolErrorRate(references)]
    else:
        found += [WordErrorRate(references)] if writing == "words" else []
        found.append(CharacterErrorRate(references))
    found += [Bleu(references, writing, is_lowercase=is_lowercase), Chrf(references, is_lowercase=is_lowercase)]
    if writing == "words":
        found.append(ChrfWords(references, is_lowercase=is_lowercase))
    if writing != "symbols":
        found += [kind(references, writing) for kind in (Rouge1, Rouge2, RougeL)]
    return {score.name: score for score in found}


def check_references(outputs: Sequence[str], references: References) -> None:
    """Raise an error where outputs and what is right do not go together.

    Raises:
        DataError: There are none, not as many of the one as of the other, or an output has nothing to be compared with.
    """
    if len(outputs) != len(references):
        raise DataError(f"there are {len(outputs):,} outputs, but references for {len(references):,}; give as many.")
    if not outputs:
        raise DataError("there is no output, so that there is nothing to judge.")
    missing = next((row for row, own in enumerate(references) if not own), None)
    if missing is not None:
        raise DataError(f"output {missing + 1} has no reference; give one at least.")


def _columns(references: References) -> list[list[str]]:
    """Return the first reference of all texts, then the second one, as sacreBLEU wants them."""
    # It takes None where a text has no further one, though its annotations do not say so.
    return [list(column) for column in zip_longest(*references, fillvalue=cast(str, None))]


def _letters(text: str, writing: Writing) -> list[str]:
    """Return what ROUGE counts: words of letters and digits, or these one by one where there are no blanks."""
    words = _NO_LETTER.sub(_blank, text.lower()).split()
    return words if writing != "characters" else list("".join(words))


def _blank(match: re.Match[str]) -> str:
    # Accents and signs of vowels belong to the letter before them.
    return match[0] if unicodedata.category(match[0]).startswith("M") else " "


def _ngrams(tokens: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[first:] for first in range(size)), strict=False))


def _f1(hits: int, own: int, right: int) -> float:
    """Return the harmonic mean of hits over either; 0 where there are none."""
    return 2 * hits / (own + right) if hits else 0.0
