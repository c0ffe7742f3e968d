"""What the recurrent layers of a network do while it runs: every state and gate of every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from recur.nn.gated import GatedLayer
from recur.nn.layer import Everything, RecurrentLayer

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LayerRecording:
    """What one layer does at each of N steps.

    Attributes:
        name: Its name in the network.
        kind: Its class.
        cell: The name of its op, or where it has none the class of recur.nn that it is, in lower case.
        options: What changes the equations of its cell, by name: JSON values; a function by its name.
        initial: What it begins with when it is given no state: "zero", "learned" or "computed".
        initial_state: The learned values, (H,) float32 for each of `states`; else empty.
        input_size: Features that it reads.
        hidden_size: Its units.
        states: Names of the parts of its state, h first.
        gates: Names of its gates, in the order in which the weights have them.
        weights: Shapes of its weights.
        parts: Each of `states` and `gates` after each step, (N, H) float32.
    """

    name: str
    kind: str
    cell: str
    options: Mapping[str, Any]
    initial: str
    initial_state: Mapping[str, Floats]
    input_size: int
    hidden_size: int
    states: tuple[str, ...]
    gates: tuple[str, ...]
    weights: Mapping[str, tuple[int, ...]]
    parts: Mapping[str, Floats]

    def quantised(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Return each part as int8 (N, H), and its scale: the value is q / 127 times that."""
        scales = {part: float(np.abs(values).max()) or 1.0 for part, values in self.parts.items()}
        return {
            part: torch.from_numpy(np.rint(values * (127 / scales[part])).astype(np.int8))
            for part, values in self.parts.items()
        }, scales

    def trajectory(self) -> tuple[Floats, list[float]]:
        """Return h in its two principal components, (N, 2), and the share of its variance that each explains.

        The sign of a component is such that its largest loading is positive. Where h has less than two directions, what
        is missing is zero.
        """
        values = torch.from_numpy(self.parts[self.states[0]]).double()
        h = values - values.mean(0)
        variances, directions = torch.linalg.eigh(h.T @ h)
        points, explained = torch.zeros(len(h), 2, dtype=torch.float64), [0.0, 0.0]
        total = float(h.square().sum())
        for component in range(min(2, len(variances)) if total > 0 else 0):
            direction = directions[:, -1 - component]
            direction = direction * direction[direction.abs().argmax()].sign()
            points[:, component] = h @ direction
            explained[component] = max(float(variances[-1 - component]), 0.0) / total
        return points.float().numpy(), explained


class LayerRecorder:
    """Records what the layers of `recur.nn` in a network do, as long as it is entered.

    A layer that has run is run once more, for its states and gates. The network is to read one sequence, in windows one
    after the other, outside of training.

    Args:
        network: The network.

    Example:
        >>> from recur.nn import GRU
        >>> layer = GRU(3, 4, num_layers=2).eval()
        >>> with torch.no_grad(), LayerRecorder(layer) as recorder:
        ...     _, state = layer(torch.zeros(5, 1, 3))
        ...     _ = layer(torch.zeros(2, 1, 3), state)
        >>> [(one.name, one.states, one.gates, one.parts["h"].shape) for one in recorder.recordings()]
        [('l0', ('h',), ('r', 'z', 'n'), (7, 4)), ('l1', ('h',), ('r', 'z', 'n'), (7, 4))]
    """

    def __init__(self, network: nn.Module) -> None:
        named = network.named_modules()
        self._layers = {name: module for name, module in named if isinstance(module, RecurrentLayer)}
        self._runs: dict[str, list[Everything]] = {name: [] for name in self._layers}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> LayerRecorder:
        for name, layer in self._layers.items():
            self._handles.append(layer.register_forward_hook(self._hook(name), with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _hook(self, name: str) -> Any:
        def record(layer: RecurrentLayer, args: tuple[Any, ...], given: dict[str, Any], _: Any) -> None:
            # Not through __call__, which would record this too.
            everything = layer.forward(*args, **(given | {"return_all": True}))
            self._runs[name].append(everything)

        return record

    def recordings(self) -> list[LayerRecording]:
        """Return what each layer and direction did, all runs one after the other.

        A layer whose states are images, which ran on several rows at once, or which did not run is left out.
        """
        return [one for name, layer in self._layers.items() for one in self._of(name, layer)]

    def _of(self, name: str, layer: RecurrentLayer) -> list[LayerRecording]:
        runs = self._runs[name]
        directions = ("", "_reverse") if layer.bidirectional else ("",)
        places = [(number, direction) for number in range(layer.num_layers) for direction in directions]
        found = []
        for place, (number, direction) in enumerate(places if runs else []):
            values = [run.steps[place].values for run in runs]
            parts = {part: [_alone(one[part], layer.batch_first) for one in values] for part in values[0]}
            whole = {part: [one for one in own if one is not None] for part, own in parts.items()}
            if any(len(own) < len(runs) for own in whole.values()):
                continue
            suffix = "" if len(places) == 1 else f"l{number}{direction}"
            ending = f"_l{number}{direction}" if suffix else ""
            found.append(
                LayerRecording(
                    name=".".join(filter(None, [name, suffix])),
                    kind=type(layer).__name__,
                    cell=_cell(layer),
                    options=_options(layer, number),
                    initial={"zeros": "zero", "learned": "learned"}.get(layer.initial_state, "computed"),
                    initial_state=_learned(layer, place) if layer.initial_state == "learned" else {},
                    input_size=layer._in_size(number),
                    hidden_size=layer.hidden_sizes[number],
                    states=tuple(part for part in whole if part in layer._state_names),
                    gates=tuple(part for part in whole if part not in layer._state_names),
                    weights={
                        key: tuple(value.shape) for key, value in layer.named_parameters() if key.endswith(ending)
                    },
                    parts={part: torch.cat(own).to("cpu", torch.float32).numpy() for part, own in whole.items()},
                )
            )
        return found


def _cell(layer: RecurrentLayer) -> str:
    # A subclass computes what its base does, as far as anyone can tell.
    own = next(base for base in type(layer).__mro__ if base.__module__.startswith("recur.nn"))
    return layer._op if isinstance(layer, GatedLayer) else own.__name__.lower()


def _options(layer: RecurrentLayer, number: int) -> dict[str, Any]:
    """Return what changes the equations of layer `number` of a stack."""
    found = {"dilation": layer.dilations[number], "skip": layer.skip, "zoneout": list(layer.zoneout)}
    if isinstance(layer, GatedLayer):
        found |= {"bias": layer.bias, **layer.cell_options}
    return {name: _named(value) for name, value in found.items()}


def _named(value: Any) -> Any:
    """Return a JSON value: of a function its name, of a module its class."""
    if not callable(value):
        return value
    return getattr(value, "__name__", type(value).__name__)


def _learned(layer: RecurrentLayer, place: int) -> dict[str, Floats]:
    """Return the learned initial state of one layer and direction of a stack."""
    found = {}
    for name in layer._state_names:
        start = getattr(layer, layer._learned_name(name), None)
        if start is None:
            start = getattr(layer, f"{layer._learned_name(name)}_{layer._suffix(place)}", None)
        elif layer._state_form.is_stacked:
            start = start[place]
        # Clocks and the like begin with zeros.
        if start is not None and start.dim() == 1:
            found[name] = start.detach().to("cpu", torch.float32).numpy()
    return found


def _alone(values: Tensor, batch_first: bool) -> Tensor | None:
    """Return the values of the only row, (T, H); None where there are several, or they are images."""
    if values.dim() == 3:
        values = values.transpose(0, 1) if batch_first else values
        values = values[:, 0] if values.shape[1] == 1 else values
    return values.detach() if values.dim() == 2 else None
