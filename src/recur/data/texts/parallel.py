"""Two files whose lines belong together: texts, and what each is to become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recur.data.texts.examples import TextPairs
from recur.data.texts.files import DataFile, lines_in, part_named
from recur.data.texts.places import Places
from recur.data.texts.tables import TABLES
from recur.errors import DataError
from recur.wording import known_names, option

_OTHERS = (*TABLES, ".yml", ".yaml")


@dataclass(frozen=True, kw_only=True)
class ParallelFiles:
    """A file of sources and one of targets, line by line."""

    source: DataFile
    target: DataFile


def find_parallel(
    files: Sequence[DataFile], source: str | None = None, target: str | None = None
) -> list[ParallelFiles] | None:
    """Return which files go together; None where they are no parallel files.

    They are where their names, without what tells a part, are of two kinds, such as `.en` and `.ja` of train.en and
    train.ja, or src and tgt of src-train.txt and tgt-train.txt. Two files alone go together whatever they are called,
    unless they are tables.

    Args:
        files: The files; those of sources are the kind that comes first.
        source: How the names of the files of sources end, or begin; None for the first kind.
        target: That of targets, likewise.

    Raises:
        DataError: A name that was said is of none of them, or a part lacks one of the two.
    """
    if any(file.kind in _OTHERS for file in files) or len(files) < 2:
        return None
    sides = list(dict.fromkeys(file.side for file in files))
    if source is not None or target is not None:
        chosen = [_side_of(sides, role, name) for role, name in (("source", source), ("target", target))]
        known = [side for side in chosen if side is not None]
        rest = [side for side in sides if side not in known]
        if len(known) == 1 and len(rest) != 1:
            raise DataError(f"{files[0].path} and others: say both {option('source')} and {option('target')}.")
        sides = [side if side is not None else rest[0] for side in chosen]
    if len(sides) != 2:
        return None
    by_part: dict[str | None, dict[str, DataFile]] = {}
    for file in files:
        own = by_part.setdefault(file.part if len(files) > 2 else None, {})
        if file.side in own:
            raise DataError(f"{file.path} is of the same part and side as {own[file.side].path}; join the two files.")
        if file.side in sides:
            own[file.side] = file
    found = []
    for part, own in by_part.items():
        for side, other in (sides, sides[::-1]):
            if side not in own:
                raise DataError(
                    f"{own[other].path}: has no other file beside it whose lines belong to its lines; the part "
                    f"{part or 'to train on'} needs two, as the others have."
                )
        found.append(ParallelFiles(source=own[sides[0]], target=own[sides[1]]))
    return found


def _side_of(sides: Sequence[str], role: str, name: str | None) -> str | None:
    """Return the kind of name that ends, or begins, in a word."""
    if name is None:
        return None
    word = name.strip(".-_")
    found = [side for side in sides if side.strip(".-_").endswith(word)]
    found = found or [side for side in sides if side.strip(".-_").startswith(word)]
    if len(found) != 1:
        what = "none" if not found else "several"
        raise DataError(f"{role}: {name!r} is how {what} of the files are called; they are {known_names(sides)}.")
    return found[0]


def beside(found: Sequence[ParallelFiles]) -> list[str]:
    """Return the names of parallel files of other parts that lie beside two to train on, which alone were named.

    Args:
        found: As `find_parallel` returns them.
    """
    if len(found) != 1 or found[0].source.part != "train":
        return []
    sides = {found[0].source.side, found[0].target.side}
    by_part: dict[str | None, dict[str, str]] = {}
    try:
        near = sorted(found[0].source.path.parent.iterdir())
    except OSError:
        # Files can be read in a folder that cannot.
        return []
    for path in near:
        file = DataFile(path=path, part=part_named(path.name))
        if file.part in ("valid", "test") and file.side in sides and path.is_file():
            by_part.setdefault(file.part, {})[file.side] = path.name
    return [name for names in by_part.values() if len(names) == 2 for name in names.values()]


def read_parallel(found: Sequence[ParallelFiles], codec: str) -> TextPairs:
    """Return the pairs of lines of parallel files.

    Args:
        found: As `find_parallel` returns them.
        codec: Their encoding.

    Raises:
        DataError: A file is missing, empty, or in another encoding, or two differ in their number of lines.
    """
    sets = []
    for files in found:
        sources, targets = lines_in(files.source.path, codec), lines_in(files.target.path, codec)
        if len(sources) != len(targets):
            raise DataError(
                f"{files.source.path} has {len(sources):,} lines, but {files.target.path} has {len(targets):,}; each "
                "line of one must belong to the same line of the other."
            )
        sets.append(
            TextPairs(
                sources=tuple(map(str.strip, sources)),
                targets=tuple(map(str.strip, targets)),
                places=Places.of(str(files.source.path), np.arange(1, len(sources) + 1)),
                part=(files.source.part if len(found) > 1 else None,) * len(sources),
            )
        )
    first = found[0]
    note = f"the lines of {first.source.path.name} belong to those of {first.target.path.name}"
    others = f", and so on in {len(found) - 1} more" if len(found) > 1 else ""
    return TextPairs.joined(sets).noted(note + others)
