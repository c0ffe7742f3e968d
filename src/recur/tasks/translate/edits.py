"""How far two sequences of tokens are apart: edits from one to the other, and what they have in common."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(own: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the least number of tokens to insert, delete or replace to get from one sequence to the other.

    Levenshtein's distance, a whole column of its table at once as the bits of two numbers (Myers 1999, "A fast
    bit-vector algorithm for approximate string matching based on dynamic programming", as put by Hyyrö 2003).

    Args:
        own: A text, or a list of tokens.
        other: Likewise.

    Example:
        >>> edit_distance("kitten", "sitting"), edit_distance(["a", "b"], [])
        (3, 2)
    """
    if not own:
        return len(other)
    places = _places(own)
    full, last = (1 << len(own)) - 1, 1 << (len(own) - 1)
    # Where the column rises by one, and where it falls.
    rises, falls, distance = full, 0, len(own)
    for token in other:
        same = places.get(token, 0)
        across = (((same & rises) + rises) ^ rises) | same
        up, down = falls | ~(across | rises), rises & across
        if up & last:
            distance += 1
        elif down & last:
            distance -= 1
        # The first row of the table grows by one with each token.
        up, down = (up << 1) | 1, down << 1
        diagonal = same | falls
        rises, falls = (down | ~(diagonal | up)) & full, up & diagonal & full
    return distance


def common_length(own: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the length of the longest sequence that both have, not necessarily in one piece.

    By the bits of one number (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").

    Args:
        own: A text, or a list of tokens.
        other: Likewise.

    Example:
        >>> common_length("the cat sat".split(), "the black cat".split())
        2
    """
    places = _places(own)
    full = (1 << len(own)) - 1
    rest = full
    for token in other:
        same = rest & places.get(token, 0)
        rest = ((rest + same) | (rest - same)) & full
    return len(own) - rest.bit_count()


def _places(tokens: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return where each token stands, as the bits of a number."""
    found: dict[Hashable, int] = {}
    for number, token in enumerate(tokens):
        found[token] = found.get(token, 0) | 1 << number
    return found
