"""Tags of entities that begin with B-, I-, and so on: their scheme, whether they keep it, and what they write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recur.errors import DataError
from recur.wording import option, quantity

_TAG = re.compile(r"([BIESLU])-(.+)")
_OUTSIDE = "O"
_FEW_STRANGE = 0.05
"""Share of the tags that is taken for a slip where they are of no scheme and the others are."""

_BEGINS, _GOES_ON, _ENDS, _ALONE = "B", "I", "EL", "SU"
_LETTERS = {"BIO": "BI", "IOBES": "BIES", "BILOU": "BILU"}
_CODES = {letter: number for number, letter in enumerate("OBIESLU")}


class Entities(NamedTuple):
    """The entities that tags write, in the order of their places.

    Attributes:
        begins: (E,) int64, the token that each begins with, counted over all sentences.
        ends: (E,) int64, the token after its last one.
        kinds: (E,) objects, what each is, such as "PER".
    """

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    kinds: NDArray[np.object_]


class _Parsed(NamedTuple):
    """Tags as their letter, a number of `_CODES`, and the number of their kind, -1 outside."""

    letter: NDArray[np.int64]
    kind: NDArray[np.int64]
    kinds: tuple[str, ...]


def scheme_of(names: Iterable[str]) -> str | None:
    """Return the scheme that tags are of, as `recur.nn.bio_constraints` calls it: BIO, IOBES or BILOU.

    Args:
        names: Different tags.

    Returns:
        None where they are of none, such as parts of speech, or of two at once.

    Example:
        >>> scheme_of(["O", "B-PER", "I-PER"]), scheme_of(["O", "S-PER", "B-PER", "E-PER"]), scheme_of(["NOUN", "O"])
        ('BIO', 'IOBES', None)
    """
    parsed = [_TAG.fullmatch(name) for name in names if name != _OUTSIDE]
    letters = {found[1] for found in parsed if found}
    # Else what begins with S-, such as S-bar, would be an entity.
    if not parsed or not all(parsed) or not letters & set("BI"):
        return None
    return next((name for name, own in _LETTERS.items() if letters <= set(own)), None)


def find_entities(tags: NDArray[np.object_], starts: NDArray[np.int64]) -> Entities:
    """Return the entities that tags of a scheme write, as conlleval (Tjong Kim Sang and Buchholz 2000) reads them.

    Of tags that keep their scheme these are the entities that are meant. In others an entity also begins where the tag
    before is outside, has ended or is of another kind; `seqeval` counts so too where it is not told to be strict.

    Args:
        tags: (N,) those of all sentences, one after the other; what is of no scheme is outside.
        starts: (S,) the first tag of each sentence.

    Example:
        >>> tags = np.array(["B-PER", "I-PER", "O", "I-LOC"], object)
        >>> find_entities(tags, np.array([0]))
        Entities(begins=array([0, 3]), ends=array([2, 4]), kinds=array(['PER', 'LOC'], dtype=object))
    """
    letter, kind, kinds = _parsed(tags)
    is_start = _marked(starts, len(tags))
    begins = _begins(letter, kind, is_start)
    first = np.flatnonzero(begins)
    # An entity goes on to whatever is outside, or begins anew.
    stops = np.append(np.flatnonzero(begins | (letter == 0) | is_start), len(tags))
    ends = stops[np.searchsorted(stops, first, side="right")]
    return Entities(first, ends, np.array(kinds, object)[kind[first]] if len(first) else np.zeros(0, object))


def _parsed(tags: NDArray[np.object_]) -> _Parsed:
    names, code = np.unique(tags.astype(str), return_inverse=True)
    found = [_TAG.fullmatch(name) for name in names]
    kinds = sorted({one[2] for one in found if one})
    number = {kind: place for place, kind in enumerate(kinds)}
    letter = np.array([_CODES[one[1]] if one else 0 for one in found], np.int64)[code]
    kind = np.array([number[one[2]] if one else -1 for one in found], np.int64)[code]
    return _Parsed(letter, kind, tuple(kinds))


def _marked(places: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Return whether each of so many is one of these."""
    found = np.zeros(count, np.bool_)
    found[places] = True
    return found


def mend_tags(
    tags: NDArray[np.object_], starts: NDArray[np.int64], place: Callable[[int], str], *, repair: bool
) -> tuple[NDArray[np.object_], list[str]]:
    """Return tags that keep their scheme, with a note of how many did not.

    Tags are of a scheme where each is O or begins with B- and I- (IOB2), and maybe E- and S- (IOBES) or L- and U-
    (BILOU); others, such as parts of speech, are returned as they are. In IOB2 what is inside an entity follows its
    beginning or its inside; in the other schemes each entity of several tokens has an end as well.

    Args:
        tags: (N,) those of all sentences, one after the other.
        starts: (S,) the first tag of each sentence.
        place: Returns where a tag stood.
        repair: Whether tags that break the scheme are mended as conlleval (Tjong Kim Sang and Buchholz 2000) reads
            them: an entity begins where the tag before is outside, has ended or is of another kind.

    Raises:
        DataError: Tags break the scheme and are not to be mended.
    """
    names = {str(tag) for tag in np.unique(tags.astype(str))}
    parsed = [_TAG.fullmatch(name) for name in names if name != _OUTSIDE]
    letters = {found[1] for found in parsed if found}
    # As in `scheme_of`, but of two schemes at once, too.
    if not all(parsed) or not letters & set("BI"):
        return tags, _nearly_of_a_scheme(tags, place) if letters & set("BI") else []
    letter, kind, _ = _parsed(tags)
    is_start = _marked(starts, len(tags))
    has_ends = bool(letters & set(_ENDS + _ALONE))
    begins = _begins(letter, kind, is_start)
    is_without_begin = begins & _is_one_of(letter, _GOES_ON + _ENDS)
    wrong = is_without_begin
    if has_ends:
        wrong = wrong | _is_unfinished(letter, kind, is_start)
    if not wrong.any():
        return tags, []
    first = int(wrong.argmax())
    if not repair:
        raise DataError(_broken(tags, first, is_start, bool(is_without_begin[first]), place))
    mended = _rewritten(tags, letter, kind, begins, is_start, _letters_of(letters))
    return mended, [f"{quantity(int(wrong.sum()), 'tag')} that broke the scheme mended, such as {place(first)}"]


def _nearly_of_a_scheme(tags: NDArray[np.object_], place: Callable[[int], str]) -> list[str]:
    """Return a note where a few tags keep the others from being read as entities."""
    inside = np.flatnonzero(tags != _OUTSIDE)
    strange = np.array([row for row in inside.tolist() if _TAG.fullmatch(str(tags[row])) is None], np.int64)
    if len(strange) > _FEW_STRANGE * len(inside):
        return []
    first = int(strange[0])
    return [
        f"tags are told one by one, and not as entities, for {quantity(len(strange), 'tag')} of {len(inside):,} "
        f"{'is' if len(strange) == 1 else 'are'} of no scheme, such as {tags[first]!r}, {place(first)}"
    ]


def _is_one_of(letter: NDArray[np.int64], letters: str) -> NDArray[np.bool_]:
    return np.isin(letter, [_CODES[one] for one in letters])


def _begins(letter: NDArray[np.int64], kind: NDArray[np.int64], is_start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where an entity begins, as conlleval has it."""
    before = np.roll(letter, 1)
    is_after_end = is_start | (np.roll(kind, 1) != kind) | ~_is_one_of(before, _BEGINS + _GOES_ON)
    begins: NDArray[np.bool_] = (letter != 0) & (is_after_end | _is_one_of(letter, _BEGINS + _ALONE))
    return begins


def _is_unfinished(
    letter: NDArray[np.int64], kind: NDArray[np.int64], is_start: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return where a tag asks for another of its entity, which does not follow."""
    is_last = np.roll(is_start, -1)
    is_last[-1] = True
    goes_on = ~is_last & (np.roll(kind, -1) == kind) & _is_one_of(np.roll(letter, -1), _GOES_ON + _ENDS)
    is_open: NDArray[np.bool_] = _is_one_of(letter, _BEGINS + _GOES_ON) & ~goes_on
    return is_open


def _letters_of(letters: set[str]) -> tuple[str, str, str, str]:
    """Return the letters of the first token of an entity, one inside, the last one, and of one that is alone."""
    if letters & set("LU"):
        return "B", "I", "L", "U"
    return ("B", "I", "E", "S") if letters & set("ES") else ("B", "I", "I", "B")


def _rewritten(
    tags: NDArray[np.object_],
    letter: NDArray[np.int64],
    kind: NDArray[np.int64],
    begins: NDArray[np.bool_],
    is_start: NDArray[np.bool_],
    letters: tuple[str, str, str, str],
) -> NDArray[np.object_]:
    """Return the tags of the same entities, each written as the scheme asks."""
    is_inside = letter != 0
    follows = np.roll(is_inside & ~begins & ~is_start, -1)
    follows[-1] = False
    ends = is_inside & ~follows
    first, inside, last, alone = letters
    mended = tags.copy()
    for wanted, where in (
        (first, begins & ~ends),
        (inside, is_inside & ~begins & ~ends),
        (last, ends & ~begins),
        (alone, begins & ends),
    ):
        for row in np.flatnonzero(where & (letter != _CODES[wanted])).tolist():
            mended[row] = f"{wanted}-{tags[row][2:]}"
    return mended


def _broken(
    tags: NDArray[np.object_],
    row: int,
    is_start: NDArray[np.bool_],
    is_without_begin: bool,
    place: Callable[[int], str],
) -> str:
    way = f"mend it, or say {option('repair', True)}, which reads entities as conlleval does"
    if is_without_begin:
        before = "begins a sentence" if is_start[row] else f"follows {tags[row - 1]!r}"
        return f"{place(row)}: the tag {tags[row]!r} {before}, but an entity begins with B-; {way}."
    return f"{place(row)}: the tag {tags[row]!r} asks for more of its entity, but none follows; {way}."
