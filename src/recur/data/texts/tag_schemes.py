"""Tags of entities that begin with B-, I-, and so on: whether they keep their scheme, and how they are mended."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recur.errors import DataError
from recur.wording import option, quantity

_TAG = re.compile(r"([BIESLU])-(.+)")
_OUTSIDE = "O"
_BEGINS, _GOES_ON, _ENDS, _ALONE = "B", "I", "EL", "SU"
_CODES = {letter: number for number, letter in enumerate("OBIESLU")}


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
    names, code = np.unique(tags.astype(str), return_inverse=True)
    parsed = [_TAG.fullmatch(name) for name in names]
    if not any(parsed) or not all(found or name == _OUTSIDE for found, name in zip(parsed, names, strict=True)):
        return tags, []
    letters = {found[1] for found in parsed if found}
    # Else what begins with S-, such as S-bar, would be an entity.
    if "B" not in letters and "I" not in letters:
        return tags, []
    kinds = {kind: number for number, kind in enumerate(sorted({found[2] for found in parsed if found}))}
    letter = np.array([_CODES[found[1]] if found else 0 for found in parsed], np.int64)[code]
    kind = np.array([kinds[found[2]] if found else -1 for found in parsed], np.int64)[code]
    is_start = np.zeros(len(tags), np.bool_)
    is_start[starts] = True
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
