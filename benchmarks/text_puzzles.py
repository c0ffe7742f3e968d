"""Pairs of texts by a rule, to see whether a network finds it: copies, reversals, sorted letters, dates, sums."""

from __future__ import annotations

import datetime
import string
from collections.abc import Callable

import numpy as np

LONGEST = 20
"""Letters that a text has at most; at least one."""

MOST_DIGITS = 4
"""Of each number of a sum."""

SIZES = {"train": 50_000, "valid": 1_000, "test": 1_000}
"""Pairs of each part, no source of which stands in another."""

Pairs = tuple[list[str], list[str]]
Draw = Callable[[np.random.Generator], tuple[str, str]]


def parts(name: str, seed: int) -> dict[str, Pairs]:
    """Return sources and targets of each part, drawn by a seed."""
    random = np.random.default_rng(seed)
    draw, found = PUZZLES[name], dict[str, str]()
    while len(found) < sum(SIZES.values()):
        source, target = draw(random)
        found.setdefault(source, target)
    rows, begin = list(found.items()), 0
    cut: dict[str, Pairs] = {}
    for part, size in SIZES.items():
        own = rows[begin : begin + size]
        cut[part] = [source for source, _ in own], [target for _, target in own]
        begin += size
    return cut


def _letters(random: np.random.Generator) -> str:
    # A single letter, or two, would soon be used up.
    return "".join(random.choice(list(string.ascii_lowercase), random.integers(3, LONGEST + 1)))


def _copied(random: np.random.Generator) -> tuple[str, str]:
    text = _letters(random)
    return text, text


def _reversed(random: np.random.Generator) -> tuple[str, str]:
    text = _letters(random)
    return text, text[::-1]


def _sorted(random: np.random.Generator) -> tuple[str, str]:
    text = _letters(random)
    return text, "".join(sorted(text))


def _date(random: np.random.Generator) -> tuple[str, str]:
    first, last = datetime.date(1800, 1, 1), datetime.date(2200, 1, 1)
    day = first + datetime.timedelta(int(random.integers((last - first).days)))
    form = str(random.choice(["%A, {d} %B %Y", "{d} %B %Y", "%B {d}, %Y", "%b {d} %Y", "{d} %b %y", "%m/%d/%Y"]))
    # Of years of two digits, those of this century are meant.
    if "%y" in form:
        day = day.replace(year=2000 + day.year % 100, day=min(day.day, 28))
    return day.strftime(form.replace("{d}", str(day.day))), day.isoformat()


def _sum(random: np.random.Generator) -> tuple[str, str]:
    one, two = (int(random.integers(10 ** int(random.integers(1, MOST_DIGITS + 1)))) for _ in range(2))
    return f"{one}+{two}", str(one + two)


PUZZLES: dict[str, Draw] = {
    "copy": _copied,
    "reverse": _reversed,
    "sort": _sorted,
    "dates": _date,
    "addition": _sum,
}
