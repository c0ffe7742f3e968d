"""Which labels may follow each other, and the schemes that write spans as a tag for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class LabelConstraints(NamedTuple):
    """Which labellings are allowed.

    Attributes:
        transitions: (K, K) bool, true where the second label may follow the first.
        starts: (K,) bool, true where a labelling may begin with the label.
        ends: (K,) bool, true where it may end with it.
    """

    transitions: Tensor
    starts: Tensor
    ends: Tensor


class _Scheme(NamedTuple):
    """The rules of a scheme, each a string of prefixes.

    Attributes:
        prefixes: All but O.
        continuing: Those that need a token of the same span before them.
        before: Those that may stand before such a one.
        unfinished: Those that need one after them.
    """

    prefixes: str
    continuing: str
    before: str
    unfinished: str


_SCHEMES = {
    "BIO": _Scheme("BI", "I", "BI", ""),
    "IOB1": _Scheme("BI", "B", "BI", ""),
    "IOBES": _Scheme("BIES", "IE", "BI", "BI"),
    "BILOU": _Scheme("BILU", "IL", "BI", "BI"),
}
_OTHER_NAMES = {"IOB2": "BIO", "BIOES": "IOBES"}


def bio_constraints(labels: Sequence[str], scheme: str = "BIO") -> LabelConstraints:
    """Return which tags may follow each other where they write spans, such as the names in a sentence.

    | scheme | first token of a span | inside | last | span of one | source |
    | --- | --- | --- | --- | --- | --- |
    | BIO, or IOB2 | B | I | I | B | Tjong Kim Sang & Veenstra 1999 |
    | IOB1 | I, or B right after a span of the same type | I | I | as the first | Ramshaw & Marcus 1995 |
    | IOBES, or BIOES | B | I | E | S | Uchimoto et al. 2000 |
    | BILOU | B | I | L | U | Ratinov & Roth 2009 |

    Args:
        labels: The tags in the order of their numbers: O, and a prefix with the type of the span, such as "B-PER". A
            prefix alone stands for the only type.
        scheme: "BIO", "IOB2", "IOB1", "IOBES", "BIOES" or "BILOU".

    Returns:
        What `LinearChainCRF` takes, for K labels.

    Raises:
        ValueError: There is no such scheme or no label, a label comes twice, or one is none of the scheme.

    Example:
        >>> allowed = bio_constraints(["O", "B-PER", "I-PER"])
        >>> allowed.transitions.tolist()
        [[True, True, False], [True, True, True], [True, True, True]]
        >>> allowed.starts.tolist(), allowed.ends.tolist()
        ([True, True, False], [True, True, True])
    """
    name = _OTHER_NAMES.get(scheme, scheme)
    if name not in _SCHEMES:
        known = ", ".join(sorted({*_SCHEMES, *_OTHER_NAMES}))
        raise ValueError(f"bio_constraints: there is no scheme {scheme!r}. Choose one of {known}.")
    rules = _SCHEMES[name]
    if isinstance(labels, str) or not labels:
        raise ValueError(f"bio_constraints: labels must be a list of at least one tag, but is {labels!r}.")
    tags = [_parts(label, scheme, rules) for label in labels]
    if len(set(tags)) < len(tags):
        twice = next(label for label, tag in zip(labels, tags, strict=True) if tags.count(tag) > 1)
        raise ValueError(f"bio_constraints: the label {twice!r} comes twice. Give each once.")
    return LabelConstraints(
        torch.tensor([[_may_follow(first, second, rules) for second in tags] for first in tags]),
        torch.tensor([prefix not in rules.continuing for prefix, _ in tags]),
        torch.tensor([prefix not in rules.unfinished for prefix, _ in tags]),
    )


def _parts(label: str, scheme: str, rules: _Scheme) -> tuple[str, str]:
    """Return the prefix and the type of a tag."""
    prefix, _, kind = str(label).partition("-")
    if label != "O" and (len(prefix) != 1 or prefix not in rules.prefixes):
        raise ValueError(
            f"bio_constraints: {label!r} is no tag of {scheme}. Its tags are O, and "
            f"{', '.join(rules.prefixes)} with a type, such as {rules.prefixes[0] + '-PER'!r}."
        )
    return prefix, kind


def _may_follow(first: tuple[str, str], second: tuple[str, str], rules: _Scheme) -> bool:
    """Return whether the second tag may stand right after the first."""
    (before, kind), (prefix, other) = first, second
    if prefix in rules.continuing:
        return before in rules.before and kind == other
    return before not in rules.unfinished
