"""The probe: what the gradient through time, the state and the gates of a network do on a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recur.gradients.probes.layer_probe import LayerProbe, probed_layers, rounded
from recur.gradients.probes.reach import Reach, gradient_reach, joined
from recur.gradients.probes.sample import Sample, sample_of
from recur.gradients.probes.sequence_model import Reading, held_still, readings_of
from recur.gradients.probes.state_vector import StateVector
from recur.gradients.probes.truncated_share import truncated_share
from recur.kinds import is_whole

_MOST_STEPS = 64
"""Steps whose loss, and whose state, are asked unless others are given."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found.

    Attributes:
        num_steps: Steps of the longest row of the batch.
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
            "reach": [[rounded(value) for value in row] for row in self.reach.norms.tolist()],
            "lags": list(lags),
            "by_lag": [rounded(value) for value in by_lag.tolist()],
            "memory_length": self.reach.memory_length(),
            "truncated": rounded(self.truncated),
            "layers": [layer.to_json() for layer in self.layers],
        }


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
    **along: Tensor | None,
) -> Probe:
    """Return what the gradient through time, the state and the gates of a model do on a batch.

    Gradients and Jacobians are exact: vector-Jacobian products through the pieces of the sequence, computed by whatever
    back end runs the model. The Lyapunov exponents are those of these steps, an estimate of what they would be over
    endlessly many. The model is in evaluation mode meanwhile, so that no random number is drawn and none of its states
    is disturbed, and as it was afterwards.

    What lies past a row's end counts nowhere and may hold anything: the model is given the row's last step again in its
    place. Where a row is reset, no gradient is expected to pass, and such pairs of steps are left out.

    Args:
        model: `(x, state, ...) -> (output, state)`: a network or a layer, of this library or of torch, that reads in
            one direction.
        batch: A `Batch`; or any object with x, target and, if it has them, lengths, reset and weight; or a pair
            (x, target). x is (B, T, ...) or (T, B, ...) as `batch_first` says.
        loss: Output and target to the loss of each step, (B, T) or (T, B) as x, or of the last step alone, (B,). It is
            called for pieces of the sequence; a target without steps, only for the piece with which its rows end, and
            rows of other lengths in other calls. By default the cross-entropy for targets of whole numbers, else the
            squared error; for a target without steps that of the last output.
        state: State before the first step.
        batch_first: Whether x is (B, T, ...). None for the model's own `batch_first`; where it has none, for that of
            all recurrent layers inside; and else True. A network that turns x around for its layers must say it.
        rows: How many rows are looked at, the longest ones.
        targets: Steps t whose loss is asked; by default up to 64, evenly spread, the last one among them. A target
            without steps is asked at its rows' last steps, and none else.
        sources: Steps s whose state is asked; by default up to 64, evenly spread, and those at lags of powers of two
            before the last.
        exponents: Number of leading Lyapunov exponents of each layer.
        lags: For which lags the singular values of each layer are computed; those longer than the batch are left out.
            That takes as many rows as a layer has state.
        truncation: Steps of a window k1, or (k1, k2), see `TruncatedBPTT`: to ask what share of the parameters'
            gradient that removes. The batch must be longer than k1.
        seed: Of the vectors from which the exponents are found.
        along: What else the model takes with the rows and steps of x, such as `times`; `reset`, where the batch has
            none.

    Raises:
        TypeError: The model returns no state, the batch is none, or something is of the wrong kind.
        ValueError: A layer reads in both directions, a loss without a gradient, no loss for this target, lengths that
            do not fit, inputs that are not finite, or a number that makes no sense.

    Example:
        >>> layer = torch.nn.RNN(3, 8)
        >>> found = probe(layer, (torch.randn(30, 2, 3), torch.randn(30, 2, 8)))
        >>> found.reach.norms.shape, found.layers[0].kind
        (torch.Size([30, 30]), 'RNN')
    """
    for name, value, least in (("rows", rows, 1), ("exponents", exponents, 0), ("seed", seed, 0)):
        if not is_whole(value, least):
            raise ValueError(f"probe: {name} must be a whole number from {least} on, not {value!r}.")
    if not all(is_whole(lag, 1) for lag in lags):
        raise ValueError(f"probe: lags must be whole numbers from 1 on, but are {list(lags)}.")
    # Autograd records nothing in inference mode, and cannot use what was made there but as copies, which a sample is.
    with torch.inference_mode(mode=False), held_still(model):
        whole = sample_of(model, batch, loss=loss, batch_first=batch_first, along=along)
        sample, vector = whole.longest(rows, state)
        samples = sample.by_end(vector)
        k1_k2 = None if truncation is None else _windows(truncation, sample.num_steps)
        with torch.no_grad(), readings_of(model) as readings:
            sample.model.run(sample.x, 0, sample.num_steps, sample.state)
        # A model may leave out what is missing, before its layers or by their lengths.
        if not bool(sample.x.isfinite().all()) and not (readings and all(reading.is_finite for reading in readings)):
            raise ValueError(
                "probe: x holds NaN or infinite values within the rows that are probed. Mend the data, or let "
                "recur.gradients.find_nonfinite say where they come from."
            )
        found = _reach(samples, vector, targets, sources)
        layers = [
            each
            for reading in readings
            for each in probed_layers(
                _with_lengths(reading, sample), exponents, lags, torch.Generator().manual_seed(seed)
            )
        ]
    share = None
    if k1_k2 is not None:
        with torch.inference_mode(mode=False), held_still(model, keeps_gradients=True):
            share = truncated_share(samples, k1=k1_k2[0], k2=k1_k2[1])
    return Probe(num_steps=sample.num_steps, reach=found, layers=tuple(layers), truncated=share)


def _reach(
    samples: Sequence[Sample], vector: StateVector, targets: Sequence[int] | None, sources: Sequence[int] | None
) -> Reach:
    num_steps = max(sample.num_steps for sample in samples)
    for name, steps in (("targets", targets), ("sources", sources)):
        if steps is not None and not (len(steps) and all(is_whole(k, 0) and k < num_steps for k in steps)):
            raise ValueError(
                f"probe: {name} must be steps from 0 to {num_steps - 1}, at least one, but are {list(steps)}."
            )
    if samples[0].is_for_last and targets is not None:
        ends = [sample.num_steps - 1 for sample in samples]
        if sorted(set(targets)) != ends:
            raise ValueError(
                f"probe: there is a target for each row, which is asked at its last step, {ends} here, but targets are "
                f"{list(targets)}. Leave them out."
            )
    found = []
    for sample in samples:
        last = sample.num_steps - 1
        spread = [last] if sample.is_for_last else _spread(sample.num_steps)
        asked = _sources(sample.num_steps) if sources is None else [step for step in sources if step <= last]
        if asked:
            found.append(gradient_reach(sample, vector, targets=spread if targets is None else targets, sources=asked))
    return joined(found)


def _windows(truncation: Any, num_steps: int) -> tuple[int, int | None]:
    """Return k1 and k2 of a truncation, checked as far as `TruncatedBPTT` does not."""
    k1, k2 = truncation if isinstance(truncation, tuple) and len(truncation) == 2 else (truncation, None)
    if not is_whole(k1, 1):
        raise ValueError(
            f"probe: truncation must be k1, a whole number from 1 on, or the pair (k1, k2), not {truncation!r}."
        )
    if k1 >= num_steps:
        raise ValueError(
            f"probe: truncation is into windows of {k1} steps, but the longest row has {num_steps}, so that nothing is "
            "cut off. Give a longer batch, or leave truncation out."
        )
    return k1, k2


def _with_lengths(reading: Reading, sample: Sample) -> Reading:
    """Return what a layer read with the batch's lengths, where its rows and steps are the batch's."""
    if reading.lengths is not None or sample.lengths is None:
        return reading
    shape = reading.x.shape[:2] if reading.layer.batch_first else reading.x.shape[1::-1]
    wanted = (len(sample.lengths), sample.num_steps)
    return reading._replace(lengths=sample.lengths) if tuple(shape) == wanted else reading


def _spread(num_steps: int) -> list[int]:
    """Return steps evenly spread, the last one among them."""
    count = min(num_steps, _MOST_STEPS)
    return sorted({num_steps - 1 - (k * num_steps) // count for k in range(count)})


def _sources(num_steps: int) -> list[int]:
    near = {num_steps - 1 - (1 << k) for k in range(num_steps.bit_length())}
    return sorted({step for step in near if step >= 0} | set(_spread(num_steps)))
