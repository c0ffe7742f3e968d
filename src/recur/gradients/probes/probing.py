"""The probe: what the gradient through time, the state and the gates of a network do on a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recur.gradients.probes.activity import Activity, activity
from recur.gradients.probes.jacobian import Trajectory
from recur.gradients.probes.reach import Losses, Reach, gradient_reach
from recur.gradients.probes.sequence_model import Reading, SequenceModel, held_still, readings_of
from recur.gradients.probes.state_vector import vector_of
from recur.gradients.probes.truncated_share import truncated_share
from recur.nn import Everything, nest

_MOST_STEPS = 64
"""Steps whose loss, and whose state, are asked unless others are given."""


@dataclass(frozen=True, kw_only=True)
class LayerProbe:
    """What one recurrent layer did.

    Attributes:
        name: Of the layer in the model; empty when it is the model itself. The directions of a layer, and the layers of
            a stack, follow after it, as in "rnn.l1" or "rnn.reverse".
        kind: Its class.
        units: Its number of units H.
        exponents: The leading Lyapunov exponents of its state, nats per step, the mean over the rows; of a stack those
            of all its layers together are in its first entry. Empty where they were not asked, or for two directions.
        singular_values: For some lags the singular values of dh_t/dh_{t-lag} at the last step of the first row, the
            largest first.
        activity: Its gates and units.
    """

    name: str
    kind: str
    units: int
    exponents: tuple[float, ...]
    singular_values: dict[int, tuple[float, ...]]
    activity: Activity


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found.

    Attributes:
        num_steps: Steps of the batch, T.
        reach: The norms of dE_t/dh_s.
        layers: What each recurrent layer did, in the order in which they run.
        truncated: What share of the parameters' gradient a truncation removed, ||full - truncated|| / ||full||; None
            where none was given.
    """

    num_steps: int
    reach: Reach
    layers: tuple[LayerProbe, ...]
    truncated: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them, for a run folder; what is not finite is None."""
        lags, by_lag = self.reach.by_lag()
        return {
            "num_steps": self.num_steps,
            "targets": list(self.reach.targets),
            "sources": list(self.reach.sources),
            "reach": [[_figure(value) for value in row] for row in self.reach.norms.tolist()],
            "lags": list(lags),
            "by_lag": [_figure(value) for value in by_lag.tolist()],
            "memory_length": self.reach.memory_length(),
            "truncated": _figure(self.truncated),
            "layers": [_layer_json(layer) for layer in self.layers],
        }


def _layer_json(layer: LayerProbe) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "units": layer.units,
        "lyapunov": [_figure(value) for value in layer.exponents],
        "jacobian": {
            "lags": list(layer.singular_values),
            "singular_values": [[_figure(value) for value in values] for values in layer.singular_values.values()],
        },
        "gates": {
            name: {
                "histogram": [_figure(share) for share in gate.histogram],
                "low": _figure(gate.low),
                "high": _figure(gate.high),
                "mean": _figure(gate.mean),
            }
            for name, gate in layer.activity.gates.items()
        },
        "time_constants": [_figure(value) for value in layer.activity.time_constants],
        "saturated": _figure(layer.activity.saturated),
        "dead": _figure(layer.activity.dead),
    }


def _figure(value: float | None) -> float | None:
    """Return a number with the digits that mean something."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def probe(
    model: Callable[..., Any],
    batch: Any,
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    state: Any = None,
    batch_first: bool | None = None,
    rows: int = 4,
    targets: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    exponents: int = 4,
    lags: Sequence[int] = (1, 4, 16, 64),
    truncation: int | tuple[int, int] | None = None,
    seed: int = 0,
) -> Probe:
    """Return what the gradient through time, the state and the gates of a model do on a batch.

    All is exact: gradients and Jacobians are vector-Jacobian products through the pieces of the sequence, computed by
    whatever back end runs the model. The model is in evaluation mode meanwhile, so that no random number is drawn and
    none of its states is disturbed, and as it was afterwards.

    Args:
        model: `(x, state, ...) -> (output, state)`: a network or a layer, of this library or of torch.
        batch: A `Batch`; or any object with x, target and, if it has them, lengths, reset and weight; or a pair
            (x, target). x is (B, T, ...) or (T, B, ...) as `batch_first` says.
        loss: Output and target to the loss of each step, (B, T) or (T, B) as x, or of the last step alone, (B,). It is
            called for pieces of the sequence; a target without steps, only for the last piece. By default the
            cross-entropy for targets of whole numbers, else the squared error; for a target without steps that of the
            last output.
        state: State before the first step.
        batch_first: Whether x is (B, T, ...); None for the model's own `batch_first`, and else True.
        rows: How many rows are looked at, the longest ones.
        targets: Steps t whose loss is asked; by default up to 64, evenly spread, the last one among them.
        sources: Steps s whose state is asked; by default up to 64, evenly spread, and those at lags of powers of two
            before the last.
        exponents: Number of leading Lyapunov exponents of each layer.
        lags: For which lags the singular values of each layer are computed; those longer than the batch are left out.
            That takes as many rows as a layer has state.
        truncation: Steps of a window k1, or (k1, k2), see `TruncatedBPTT`: to ask what share of the parameters'
            gradient that removes. The batch must be longer than k1 for it to be seen.
        seed: Of the vectors from which the exponents are found.

    Raises:
        TypeError: The model returns no state, or the batch is none.
        ValueError: A loss without a gradient, no loss for this target, or a number that makes no sense.

    Example:
        >>> layer = torch.nn.RNN(3, 8)
        >>> found = probe(layer, (torch.randn(30, 2, 3), torch.randn(30, 2, 8)))
        >>> found.reach.norms.shape, found.layers[0].kind
        (torch.Size([30, 30]), 'RNN')
    """
    for name, value, least in (("rows", rows, 1), ("exponents", exponents, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"probe: {name} must be a whole number from {least} on, not {value!r}.")
    given = _Given(model, batch, batch_first)
    with held_still(model):
        sequence, x, target, lengths, state = given.of_rows(rows, state)
        num_steps = x.shape[sequence.axis]
        losses = _losses(sequence, loss, target, not given.is_for_last, given.weight_of_rows, num_steps)
        found = gradient_reach(
            sequence,
            x,
            losses,
            targets=_spread(num_steps, is_only_last=given.is_for_last) if targets is None else targets,
            sources=_sources(num_steps) if sources is None else sources,
            state=state,
            lengths=lengths,
        )
        with torch.no_grad(), readings_of(model) as readings:
            sequence.run(x, 0, num_steps, state)
        layers = [
            each
            for reading in readings
            for each in _layers(reading, exponents, lags, torch.Generator().manual_seed(seed))
        ]
    share = None
    if truncation is not None:
        k1, k2 = truncation if isinstance(truncation, tuple) else (truncation, None)
        with held_still(model, keeps_gradients=True):
            share = truncated_share(sequence, x, losses, k1=k1, k2=k2, state=state)
    return Probe(num_steps=num_steps, reach=found, layers=tuple(layers), truncated=share)


class _Given:
    """A batch in whatever form it came."""

    def __init__(self, model: Any, batch: Any, batch_first: bool | None) -> None:
        if isinstance(batch, tuple) and len(batch) == 2:
            x, target = batch
            lengths = reset = weight = None
        else:
            x, target = getattr(batch, "x", None), getattr(batch, "target", None)
            lengths, reset, weight = (getattr(batch, name, None) for name in ("lengths", "reset", "weight"))
        if not isinstance(x, Tensor) or not isinstance(target, Tensor):
            raise TypeError(
                "probe: batch must be a Batch, an object with tensors x and target, or a pair (x, target), but is "
                f"{type(batch).__name__}."
            )
        self._model, self._batch_first = model, batch_first
        self._x, self._target, self._weight, self._reset = x.detach(), target, weight, reset
        axis = SequenceModel("probe", model, batch_first=batch_first).axis
        self._rows = 1 - axis
        if x.dim() < 2 or 0 in x.shape[:2]:
            raise ValueError(f"probe: x must have rows and steps, but has shape {tuple(x.shape)}.")
        self.is_for_last = target.shape[:2] != x.shape[:2]
        if self.is_for_last and target.shape[:1] != (x.shape[self._rows],):
            raise ValueError(
                f"probe: target has shape {tuple(target.shape)}, but x {tuple(x.shape)}; give a target for each step, "
                "or one for each row."
            )
        is_full = lengths is None or bool((torch.as_tensor(lengths) == x.shape[axis]).all())
        self._lengths = None if is_full else torch.as_tensor(lengths)
        self.weight_of_rows: Tensor | None = None

    def of_rows(self, rows: int, state: Any) -> tuple[SequenceModel, Tensor, Tensor, Tensor | None, Any]:
        """Return model, x, target, lengths and state of the longest rows."""
        lengths = self._lengths
        count = min(rows, self._x.shape[self._rows])
        # Rows of the same length in their order.
        chosen = torch.arange(count) if lengths is None else lengths.argsort(descending=True, stable=True)[:count].cpu()

        def of(value: Tensor | None, axis: int) -> Tensor | None:
            return None if value is None else value.index_select(axis, chosen.to(value.device))

        self.weight_of_rows = of(self._weight, self._rows)
        along = {"reset": of(self._reset, self._rows)}
        sequence = SequenceModel("probe", self._model, batch_first=self._batch_first, along=along)
        x, target = of(self._x, self._rows), of(self._target, 0 if self.is_for_last else self._rows)
        assert x is not None
        assert target is not None
        if state is not None:
            vector = vector_of(sequence, x, state)
            state = vector.state(vector.of(nest.mapped(Tensor.detach, state))[chosen])
        return sequence, x, target, None if lengths is None else lengths[chosen], state


def _losses(
    model: SequenceModel,
    loss: Callable[[Any, Any], Tensor] | None,
    target: Tensor,
    has_steps: bool,
    weight: Tensor | None,
    num_steps: int,
) -> Losses:
    """Return the loss of each step of a piece."""

    def losses(output: Any, begin: int, end: int) -> Tensor | None:
        if not has_steps and end < num_steps:
            return None
        own = model.piece(target, begin, end) if has_steps else target
        found = _default_loss(model, output, own, has_steps) if loss is None else loss(output, own)
        if not isinstance(found, Tensor) or found.dim() not in (1, 2):
            raise ValueError(
                "probe: loss must return the loss of each step, (B, T) or (T, B) as x, or of the last one, (B,), but "
                f"returned {tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__}. Leave its mean "
                "or sum out."
            )
        if found.dim() == 2 and found.shape[model.axis] != end - begin:
            raise ValueError(
                f"probe: loss returned {tuple(found.shape)} for a piece of {end - begin} steps; it must have the steps "
                "of the output that it is given."
            )
        return found if weight is None or found.dim() == 1 else found * model.piece(weight, begin, end)

    return losses


def _default_loss(model: SequenceModel, output: Any, target: Tensor, has_steps: bool) -> Tensor:
    if isinstance(output, Tensor):
        if not has_steps and output.dim() > 2:
            output = output.select(model.axis, -1)
        if not target.is_floating_point() and output.shape[:-1] == target.shape:
            found = functional.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none")
            return found.view_as(target)
        if target.is_floating_point() and output.shape == target.shape:
            squares: Tensor = (output - target).square()
            features = 2 if has_steps else 1
            return squares.flatten(features).sum(-1) if squares.dim() > features else squares
        if target.is_floating_point() and output.shape == (*target.shape, 1):
            return functional.mse_loss(output.squeeze(-1), target, reduction="none")
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(
        f"probe: there is no loss for an output {shape} and a target {tuple(target.shape)} {target.dtype}. Pass "
        "loss=, a function of output and target that returns the loss of each step."
    )


def _spread(num_steps: int, *, is_only_last: bool) -> list[int]:
    """Return steps evenly spread, the last one among them."""
    if is_only_last:
        return [num_steps - 1]
    count = min(num_steps, _MOST_STEPS)
    return sorted({num_steps - 1 - (k * num_steps) // count for k in range(count)})


def _sources(num_steps: int) -> list[int]:
    near = {num_steps - 1 - (1 << k) for k in range(num_steps.bit_length())}
    return sorted({step for step in near if step >= 0} | set(_spread(num_steps, is_only_last=False)))


def _layers(reading: Reading, exponents: int, lags: Sequence[int], generator: torch.Generator) -> list[LayerProbe]:
    """Return what one module did, an entry for each of its layers and directions."""
    layer, x = reading.layer, reading.x
    with torch.no_grad():
        given = reading.along | ({} if reading.lengths is None else {"lengths": reading.lengths})
        everything = layer(x, reading.state, return_all=True, **given)
    assert isinstance(everything, Everything)
    alive = None
    if reading.lengths is not None:
        steps_T = torch.arange(x.shape[1 if layer.batch_first else 0], device=x.device)
        lengths_B = torch.as_tensor(reading.lengths).to(x.device)
        alive = steps_T < lengths_B[:, None] if layer.batch_first else steps_T[:, None] < lengths_B
    leading: tuple[float, ...] = ()
    values: dict[int, tuple[float, ...]] = {}
    if not layer.bidirectional and x.dim() > 2:
        leading, values = _dynamics(reading, exponents, lags, generator)
    found = []
    for number, steps in enumerate(everything.steps):
        place = f"l{steps.layer}" if layer.num_layers > 1 else ""
        place += ("." if place else "") + "reverse" if steps.direction == "backward" else ""
        done = activity(layer, steps, alive)
        found.append(
            LayerProbe(
                name=".".join(part for part in (reading.name, place) if part),
                kind=type(layer).__name__,
                units=int(layer.hidden_sizes[steps.layer]),
                exponents=leading if number == 0 else (),
                singular_values=values if number == 0 else {},
                activity=done,
            )
        )
    return found


def _dynamics(
    reading: Reading, exponents: int, lags: Sequence[int], generator: torch.Generator
) -> tuple[tuple[float, ...], dict[int, tuple[float, ...]]]:
    """Return the leading Lyapunov exponents, and the singular values for each lag that fits into the sequence."""
    layer = reading.layer
    sequence = SequenceModel("probe", layer, batch_first=layer.batch_first, along=reading.along)
    rows, x, state = 1 - sequence.axis, reading.x, reading.state
    num_steps = x.shape[sequence.axis]
    if reading.lengths is not None:
        # The steps that the shortest of the rows has; the state of one that has ended stays as it is.
        num_steps = int(torch.as_tensor(reading.lengths).min())
        x = sequence.piece(x, 0, num_steps)
        sequence.along = {name: sequence.piece(value, 0, num_steps) for name, value in sequence.along.items()}
    if num_steps < 2:
        return (), {}
    along = Trajectory(sequence, x, state)
    count = min(exponents, along.size)
    leading: tuple[float, ...] = ()
    if count and num_steps >= 4:
        found = along.lyapunov_exponents(count, every=max(16 // count, 1), generator=generator)
        leading = tuple(found.mean(0).tolist())
    fitting = [lag for lag in lags if lag <= num_steps - along.first]
    if not fitting:
        return leading, {}
    vector = vector_of(sequence, x, state)
    first = None if state is None else vector.state(vector.of(state)[:1])
    sequence.along = {name: value.narrow(rows, 0, 1) for name, value in sequence.along.items()}
    one = Trajectory(sequence, x.narrow(rows, 0, 1), first)
    one.advance(sorted(num_steps - lag for lag in fitting))
    values = {lag: tuple(one.singular_values(num_steps - lag, num_steps)[0].tolist()) for lag in fitting}
    return leading, values
