"""What the streams of a language model carry from window to window, in checkpoints of any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recur.gradients import TruncatedBPTT
from recur.train.checkpoint import Gather


@dataclass(frozen=True, kw_only=True, eq=False)
class CarriedStreams:
    """The `TruncatedBPTT` of a language task, saved as one batch of all streams (each state (1, B, H)).

    Args:
        truncation: With the streams of this process.
        batch_size: Streams of all processes.
    """

    truncation: TruncatedBPTT
    batch_size: int

    def saved(self, gather: Gather | None) -> dict[str, Any]:
        """Return it, with the streams of every process."""
        carried: dict[str, Any] = self.truncation.state_dict()
        if gather is None:
            return carried
        whole = _over_streams(carried, lambda part, dim: torch.cat(gather(part), dim))
        whole["rows"] = None if carried["rows"] is None else self.batch_size
        return whole

    def restore(self, saved: Mapping[str, Any], rank: int, count: int) -> None:
        """Take this process's streams."""
        own = _over_streams(saved, lambda part, dim: part.chunk(count, dim)[rank].contiguous())
        own["rows"] = None if own["rows"] is None else own["rows"] // count
        self.truncation.load_state_dict(own)

    def misfit(self, saved: Mapping[str, Any]) -> str:
        """Return what is of other streams, windows or another reach."""
        here = self.truncation.state_dict()
        if saved["rows"] not in (None, self.batch_size):
            return f"it has {saved['rows']} streams, expected {self.batch_size}"
        for name, key in (("window", "k1"), ("law of window lengths", "window_lengths"), ("reach", "k2")):
            if saved[key] != here[key]:
                return f"its {name} is {saved[key]}, expected {here[key]}"
        return ""

    def to(self, device: torch.device) -> None:
        """Move it to `device`."""
        self.truncation.to(device)


def _over_streams(carried: Mapping[str, Any], function: Callable[[Tensor, int], Tensor]) -> dict[str, Any]:
    """Return the `state_dict` of a task's `TruncatedBPTT` with a function of each tensor and its streams' dimension."""

    def of_layer(state: Tensor | tuple[Tensor, ...]) -> Any:
        return function(state, 1) if isinstance(state, Tensor) else tuple(function(part, 1) for part in state)

    def of_snapshot(snapshot: dict[str, Any]) -> dict[str, Any]:
        state = snapshot["state"]
        return {**snapshot, "state": None if state is None else tuple(of_layer(layer) for layer in state)}

    def of_piece(piece: dict[str, Any]) -> dict[str, Any]:
        reset = piece["reset"]
        return {**piece, "x": function(piece["x"], 0), "reset": None if reset is None else function(reset, 0)}

    snapshots = [of_snapshot(snapshot) for snapshot in carried["snapshots"]]
    return {**carried, "snapshots": snapshots, "pieces": [of_piece(piece) for piece in carried["pieces"]]}
