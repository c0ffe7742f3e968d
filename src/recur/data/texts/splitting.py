"""Which examples are learned from, chosen by and judged on, where the data do not say: drawn, of each class alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recur.data.texts.examples import PARTS, Examples, LabelledTexts, PartName, TaggedSentences, TextPairs
from recur.data.texts.options import HELD_OUT, TextOptions
from recur.errors import DataError, OptionError
from recur.wording import option, quantity

E = TypeVar("E", bound=Examples)


def split_examples(examples: E, options: TextOptions | None = None, *, seed: int = 0) -> E:
    """Return examples each of which is of the part train, valid or test.

    What the data say is kept. A part that they lack is drawn from what is not of another: of each class alike, where
    each text has one, and so that each class stays among what is learned from. Examples with the same text (of pairs,
    the same source), or of one group, are drawn together. What is of no part otherwise is learned from. Texts without a
    class teach nothing and are left out.

    Args:
        examples: As they were read.
        options: How many examples are drawn.
        seed: Of what is drawn.

    Returns:
        The examples, with notes of what stands in two parts, and of classes that cannot be learned.

    Raises:
        DataError: There are too few examples, or none to learn from.
        OptionError: Examples are to be drawn for a part that the data name themselves.

    Example:
        >>> from recur.data.texts import read_labelled_texts
        >>> found = read_labelled_texts(([f"text {n}" for n in range(20)], ["a", "b"] * 10))
        >>> parts = split_examples(found)
        >>> len(parts.of_part("train")), len(parts.of_part("valid")), len(parts.of_part("test"))
        (16, 2, 2)
    """
    options = options or TextOptions()
    examples = with_labels_only(examples)
    _check_shares(examples, options)
    part = np.array([PARTS.index(one) if one is not None else -1 for one in examples.part], np.int64)
    code = _codes(examples.keys)
    rows = np.flatnonzero((part == -1) | (part == 0))
    wanted: dict[PartName, int] = {}
    names: tuple[PartName, ...] = ("valid", "test")
    for name in names:
        share = getattr(options, name)
        if name not in examples.part and share:
            wanted[name] = max(1, round(share * len(rows))) if share < 1 else int(share)
    part[rows] = 0
    if wanted:
        _check_enough(examples, wanted, len(rows))
        group = None if examples.group is None else examples.group[rows]
        drawn = _drawn(_units(code[rows], group), _strata(examples)[rows], wanted, seed)
        if drawn is None:
            raise DataError(
                f"{examples.places.names[0]}: its {quantity(len(rows), examples.noun)} are too alike to be parted, as "
                "what has one text, or is of one conversation, stays together; give more, or name data for a part."
            )
        part[rows] = drawn
    found = replace(examples, part=tuple([PARTS[number] for number in part.tolist()]))
    if "train" not in found.part:
        raise DataError(f"{examples.places[0]}: no {examples.noun} is left to learn from; give some of the part train.")
    return found.noted(*_notes_of_repeats(found, code, part), *_notes_of_classes(found, part))


def with_labels_only(examples: E) -> E:
    """Return examples without those that should have a class and have none, which a note says.

    Raises:
        DataError: None has a class.
    """
    if not isinstance(examples, LabelledTexts) or None not in examples.labels:
        return examples
    has_label = np.array([labels is not None for labels in examples.labels])
    where = examples.places[int((~has_label).argmax())]
    if not has_label.any():
        raise DataError(f"{where}: has no class, nor has any other text; name the column with {option('label')}.")
    without = f"{quantity(int((~has_label).sum()), 'text')} without a class"
    kept = examples.take(np.flatnonzero(has_label))
    # What was noted when they were read says less.
    notes = [note for note in kept.notes if note != f"{without}, such as {where}"]
    return replace(kept, notes=(*notes, f"{without} left out, such as {where}"))


def _check_shares(examples: Examples, options: TextOptions) -> None:
    names: tuple[PartName, ...] = ("valid", "test")
    for name in names:
        is_said = getattr(options, name) not in (HELD_OUT, 0)
        if is_said and name in examples.part:
            where = examples.places[examples.part.index(name)]
            raise OptionError(
                f"{name}: is {getattr(options, name):g}, but the data say themselves what is of the part {name}, "
                f"such as {where}; leave it out."
            )


def _check_enough(examples: Examples, wanted: dict[PartName, int], count: int) -> None:
    if sum(wanted.values()) < count:
        return
    asked = " and ".join(f"{number:,} for {name}" for name, number in wanted.items())
    raise DataError(
        f"{examples.places.names[0]}: has {quantity(count, examples.noun)} to draw from, of which {asked} would leave "
        "none to learn from; give more, or name other data for a part."
    )


def _drawn(
    unit: NDArray[np.int64], stratum_of_each: NDArray[np.int64], wanted: dict[PartName, int], seed: int
) -> NDArray[np.int64] | None:
    """Return the part of each of N examples; None where they are too alike for so many parts.

    Args:
        unit: (N,) examples of one number stay together; these are counted from 0.
        stratum_of_each: (N,) the class of each.
        wanted: How many examples go to each part.
        seed: Of what is drawn.
    """
    random = np.random.default_rng(seed)
    num_units = int(unit.max()) + 1
    size = np.bincount(unit, minlength=num_units)
    stratum = np.zeros(num_units, np.int64)
    # What is written last stays: the class of the unit's first example.
    stratum[unit[::-1]] = stratum_of_each[::-1]
    order = random.permutation(num_units)
    # Of each class the large units first, so that each part has its share of these too.
    order = order[np.lexsort((-size[order], stratum[order]))]
    is_first = np.diff(stratum[order], prepend=-1) != 0
    # The first of each class is learned from where that goes, so that none is met in judging alone.
    pool = order[~is_first] if (~is_first).sum() >= len(wanted) else order[1:]
    part = np.zeros(num_units, np.int64)
    total = sum(wanted.values())
    held = _spread(pool, size, total, random, least=len(wanted))
    if len(held) < len(wanted):
        return None
    # Of what is held out, each part again takes its share throughout.
    first, *others = wanted
    part[held] = PARTS.index(first)
    for name in others:
        part[_spread(held, size, wanted[name], random, most=len(held) - 1)] = PARTS.index(name)
    drawn: NDArray[np.int64] = part[unit]
    return drawn


def _spread(
    pool: NDArray[np.int64],
    size: NDArray[np.int64],
    count: int,
    random: np.random.Generator,
    *,
    least: int = 1,
    most: int | None = None,
) -> NDArray[Any]:
    """Return units with about `count` examples in all, taken at equal distances, so that each class has its share."""
    # What comes very often would be all that a part has.
    small = pool[size[pool] <= count]
    pool = small if len(small) >= least else pool
    if not len(pool):
        return pool
    num_units = min(max(least, round(count / float(size[pool].mean()))), len(pool), len(pool) if most is None else most)
    points = (np.arange(num_units) + random.random()) * (len(pool) / num_units)
    return pool[points.astype(np.int64)]


def _units(code: NDArray[np.int64], group: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return a number for each example; those of one number have a text or a group in common, or a chain of them."""
    if group is None:
        return _counted(code)
    frame = pl.DataFrame({"code": code, "group": group}).with_columns(unit=pl.col("group"))
    while True:
        joined = frame.with_columns(pl.col("unit").min().over("code")).with_columns(pl.col("unit").min().over("group"))
        if joined["unit"].equals(frame["unit"]):
            return _counted(joined["unit"].to_numpy())
        frame = joined


def _counted(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers from 0 on without gaps, the same where the given ones are."""
    is_met = np.zeros(int(numbers.max()) + 1, np.int64)
    is_met[numbers] = 1
    return (np.cumsum(is_met) - 1)[numbers]


def _strata(examples: Examples) -> NDArray[np.int64]:
    """Return the class of each text that has one; of other examples the same for all."""
    if not isinstance(examples, LabelledTexts) or examples.is_multi:
        return np.zeros(len(examples), np.int64)
    code = {name: number for number, name in enumerate(examples.classes)}
    return np.array([code[labels[0]] if labels else 0 for labels in examples.labels], np.int64)


def _codes(keys: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the same number for the same text: that of the first example that has it."""
    frame = pl.DataFrame({"key": keys}, schema={"key": pl.String})
    firsts = frame.with_row_index().select(pl.col("index").first().over("key")).to_series()
    return firsts.to_numpy().astype(np.int64)


# --- what is odd about the parts ---


def _notes_of_repeats(examples: Examples, code: NDArray[np.int64], part: NDArray[np.int64]) -> list[str]:
    """Return a note for each two parts that have texts in common."""
    notes = []
    for one, other in ((0, 2), (1, 2), (0, 1)):
        is_in_one = np.zeros(len(code), np.bool_)
        is_in_one[code[part == one]] = True
        rows = np.flatnonzero((part == other) & is_in_one[code])
        if not len(rows):
            continue
        first = int(np.flatnonzero((part == one) & (code == code[rows[0]]))[0])
        count = quantity(int((part == other).sum()), examples.noun)
        stand = "stands" if len(rows) == 1 else "stand"
        by_source = " by their source," if isinstance(examples, TextPairs) else ""
        notes.append(
            f"{len(rows):,} of the {count} of {PARTS[other]} {stand} in {PARTS[one]} too,{by_source} such as "
            f"{examples.places[int(rows[0])]} and {examples.places[first]}: {_shown(examples.keys[first])}"
        )
    return notes


def _notes_of_classes(examples: Examples, part: NDArray[np.int64]) -> list[str]:
    """Return a note of the classes, or tags, that are judged on but not learned."""
    if isinstance(examples, LabelledTexts):
        noun, entries = "class", [labels or () for labels in examples.labels]
    elif isinstance(examples, TaggedSentences):
        noun, entries = "tag", list(examples.tags)
    else:
        return []
    is_learned = (part == 0).tolist()
    learned = {one for labels, is_own in zip(entries, is_learned, strict=True) if is_own for one in labels}
    met: dict[str, int] = {}
    rows = set()
    for row, labels in enumerate(entries):
        if not learned.issuperset(labels):
            rows.add(row)
            for one in set(labels) - learned:
                met.setdefault(one, row)
    if not met:
        return []
    name, first = next(iter(met.items()))
    others = f" (and {len(met) - 1:,} more)" if len(met) > 1 else ""
    return [
        f"the {noun} {name!r}{others} does not occur in train, so that it cannot be told: "
        f"{quantity(len(rows), examples.noun)} elsewhere, such as {examples.places[first]}"
    ]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
