"""What is carried from window to window: states before some steps, and the steps that they are run over again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from recur.gradients.truncation.history import Piece, Snapshot
from recur.kinds import is_whole

_OWNER = "TruncatedBPTT"


@dataclass(frozen=True, eq=False)
class Carried:
    """What is carried; it is never changed, a window makes another.

    Attributes:
        end: Steps of all windows so far.
        rows: Of each window, B; None before the first.
        snapshots: States before some steps, in their order, at least one.
        pieces: What the model was given from the first of them to `end`; none where nothing is run again.
    """

    end: int
    rows: int | None
    snapshots: tuple[Snapshot, ...]
    pieces: tuple[Piece, ...] = ()

    @classmethod
    def at_the_beginning(cls, state: Any) -> Carried:
        """Return what there is before the first window."""
        return cls(0, None, (Snapshot(0, state),))

    def saved(self) -> dict[str, Any]:
        """Return it as plain values and copies of tensors; named tuples become plain ones."""
        return {
            "end": self.end,
            "rows": self.rows,
            "snapshots": [snapshot.saved() for snapshot in self.snapshots],
            "pieces": [piece.saved() for piece in self.pieces],
        }

    @classmethod
    def restored(cls, saved: Mapping[str, Any], like: Any, *, time: int) -> Carried:
        """Return what was saved.

        Args:
            saved: As `saved` returned it; more in it does not matter.
            like: A state of the model, where it has named tuples.
            time: Dimension of the steps.

        Raises:
            ValueError: It is damaged, or needs `like`.
        """
        end, rows, snapshots, pieces = (saved[field.name] for field in fields(cls))
        _check("end", is_whole(end, 0))
        _check("rows", is_whole(rows, 1) or (rows is None and end == 0))
        _check("snapshots", isinstance(snapshots, list | tuple) and all(map(_is_snapshot, snapshots)))
        steps = [snapshot["at"] for snapshot in snapshots]
        _check("snapshots", len(steps) > 0 and steps == sorted({*steps}) and 0 <= steps[0] <= steps[-1] <= end)
        _check("pieces", isinstance(pieces, list | tuple) and all(_is_piece(piece, rows, time) for piece in pieces))
        restored = tuple([Piece(**piece) for piece in pieces])
        # From the first state on, all steps are there.
        bounds = [*[piece.begin for piece in restored], end]
        _check("pieces", bounds[0] == steps[0] and bounds[1:] == [piece.end for piece in restored])
        return cls(end, rows, tuple([Snapshot.restored(snapshot, like) for snapshot in snapshots]), restored)

    def check_goes_on(self, x: Tensor, sequences: Mapping[str, Tensor], time: int) -> None:
        """Raise unless a window can follow the ones before it.

        Args:
            x: Its inputs.
            sequences: What else the model is given step by step, by name.
            time: Dimension of the steps.

        Raises:
            ValueError: It has other rows, or a step of something is of another shape, dtype or device.
        """
        rows = x.shape[1 - time]
        if self.rows not in (None, rows):
            raise ValueError(
                f"{_OWNER}: x has {rows} rows, but the window before had {self.rows}. Call forget() where other "
                "sequences begin."
            )
        if not self.pieces:
            return
        newest = self.pieces[-1]
        before = {"x": newest.x, **newest.sequences}
        given = {"x": x, **sequences}
        if given.keys() != before.keys():
            raise ValueError(f"{_OWNER}: given are {sorted(given)}, but for the window before {sorted(before)}.")
        for name, value in given.items():
            mine, other = value.narrow(time, 0, 1), before[name].narrow(time, 0, 1)
            if (mine.shape, mine.dtype, mine.device) != (other.shape, other.dtype, other.device):
                raise ValueError(
                    f"{_OWNER}: a step of {name} is {tuple(mine.shape)} {mine.dtype} on {mine.device}, but in the "
                    f"window before it was {tuple(other.shape)} {other.dtype} on {other.device}."
                )

    def to(self, device: torch.device | str) -> Carried:
        """Return the same on `device`."""
        return replace(
            self,
            snapshots=tuple([snapshot.to(device) for snapshot in self.snapshots]),
            pieces=tuple([piece.to(device) for piece in self.pieces]),
        )


def _check(name: str, is_right: bool) -> None:
    if not is_right:
        raise ValueError(f"{_OWNER}: the saved state is damaged: its {name} cannot be right. Begin anew, by forget().")


def _is_snapshot(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {*Snapshot._fields, "structure"}
        and is_whole(value["at"], 0)
        and isinstance(value["structure"], str)
    )


def _is_piece(value: Any, rows: int | None, time: int) -> bool:
    if not isinstance(value, dict) or value.keys() != {field.name for field in fields(Piece)}:
        return False
    x, reset, sequences, lengths = (value[name] for name in ("x", "reset", "sequences", "lengths"))
    if not isinstance(x, Tensor) or x.dim() < 2 or x.shape[1 - time] != rows or not isinstance(sequences, dict):
        return False
    along = [*sequences.values(), *([] if reset is None else [reset])]
    return (
        is_whole(value["begin"], 0)
        and value["time"] == time
        and isinstance(value["goes_on"], bool)
        and all(isinstance(each, Tensor) and each.shape[:2] == x.shape[:2] for each in along)
        and (lengths is None or (isinstance(lengths, Tensor) and lengths.shape == (rows,)))
    )
