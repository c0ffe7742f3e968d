"""What is wrong with a network that learns badly, in words: the finding, the evidence, the option to change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recur.gradients.probes.layer_probe import LayerProbe
from recur.gradients.probes.probing import Probe
from recur.kinds import is_whole
from recur.wording import quantity

# A trained character LSTM has 7e-2 at half its window of 64, a GRU 2e-1, a tanh RNN 1e-5; each anew 1e-7 and less.
_VANISHED = 1e-4
_EXPLODED = 10.0
_STILL_THERE = 0.1
_MOST_TRUNCATED = 0.2
_MOST_SATURATED = 0.3
_MOST_SHUT = 0.9
_MOST_DEAD = 0.25
_ALWAYS_CLIPPED, _MUCH_REMOVED = 0.95, 0.2
# A step of AdamW at a healthy rate moves the weights by 1e-4 to 1e-1 of their norm.
_LARGEST_UPDATE, _SMALLEST_UPDATE = 0.3, 1e-5
_RISEN = 1.2

_AGAINST_EXPLODING = {
    "gradient_clip": "gradient_clip bounds it at each step back",
    "init='orthogonal'": "init='orthogonal' draws recurrent weights that keep its length",
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """What else is known of the training; None for what is not.

    Attributes:
        window: Steps that the gradient may go back, k2 of truncated back-propagation.
        lag: Steps between what the task needs and where it needs it, as far as the user knows.
        clipped: Share of the steps whose gradient was clipped.
        removed: Mean share of the gradient's norm that clipping removed.
        update: Norm of one step's change of the weights, by the norm of the weights.
        loss: Mean loss of late.
        best_loss: Lowest mean loss over as many steps so far.

    Raises:
        ValueError: `window` or `lag` is no such number of steps.
    """

    window: int | None = None
    lag: int | None = None
    clipped: float | None = None
    removed: float | None = None
    update: float | None = None
    loss: float | None = None
    best_loss: float | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("window", self.window, 1), ("lag", self.lag, 0)):
            if value is not None and not is_whole(value, least):
                raise ValueError(f"Training: {name} must be a whole number from {least} on, not {value!r}.")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        name: A short name: vanishing gradient, exploding gradient, memory shorter than the task's lag, truncation too
            short, saturated units, shut gates, dead units, clipping always active, learning rate too high or low.
        what: What is wrong, a sentence.
        evidence: What was measured.
        advice: The option to change.
    """

    name: str
    what: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what} {self.evidence} {self.advice}"


def diagnose(probe: Probe, training: Training | None = None) -> tuple[Finding, ...]:
    """Return what is wrong, the gravest first; nothing where all is well.

    The thresholds are those that tell networks built to be ill from healthy ones in the tests; they are meant to stay
    quiet in doubt. Pairs of steps with a reset between them say nothing, and where `lag` is known, a gradient that
    vanishes beyond it is no fault. Options of a layer are those of `recur.nn`, and named only where one of the
    network's layers, or the one that is advised, takes them.

    Args:
        probe: What was found on a batch that is as long as the training's windows, or longer.
        training: What else is known.

    Example:
        >>> import torch
        >>> from recur.gradients import diagnose, probe
        >>> layer = torch.nn.RNN(2, 32)
        >>> batch = torch.randn(100, 4, 2), torch.randn(4, 32)
        >>> for finding in diagnose(probe(layer, batch), Training(lag=90)):
        ...     print(finding.name)
        vanishing gradient
        memory shorter than the task's lag
    """
    known = training or Training()
    found = [_exploding(probe), _vanishing(probe, known), _short_memory(probe, known), _truncation(probe, known)]
    for layer in probe.layers:
        found += [_saturated(layer), _shut(layer), _dead(layer)]
    found += [_clipping(known), _learning_rate(known)]
    return tuple(finding for finding in found if finding is not None)


def _relative(probe: Probe) -> dict[int, float]:
    """Return the norm by lag, as a share of that at the smallest lag; nothing where that is zero or not finite."""
    lags, norms = probe.reach.by_lag()
    first = float(norms[0]) if len(lags) else 0.0
    if not (math.isfinite(first) and first > 0):
        return {}
    return {lag: float(norm) / first for lag, norm in zip(lags, norms.tolist(), strict=True)}


def _exploding(probe: Probe) -> Finding | None:
    lags, norms = probe.reach.by_lag()
    bad = [lag for lag, norm in zip(lags, norms.tolist(), strict=True) if not math.isfinite(norm)]
    relative = _relative(probe)
    lag = max(relative, key=lambda key: relative[key], default=0)
    if not bad and relative.get(lag, 0.0) <= _EXPLODED:
        return None
    evidence = (
        f"At a lag of {quantity(bad[0], 'step')} it is not finite."
        if bad
        else f"At a lag of {quantity(lag, 'step')} its norm is {relative[lag]:,.0f} times that at the output."
    )
    growing = max((layer.exponents[0] for layer in probe.layers if layer.exponents), default=0.0)
    if growing > 0:
        evidence += f" The state's leading Lyapunov exponent is +{growing:.2g} a step: small differences grow."
    return Finding(
        name="exploding gradient",
        what="the gradient grows on its way back in time.",
        evidence=evidence,
        advice="Clip it (clip_norm=1) or lower the learning rate." + _options(probe.layers, _AGAINST_EXPLODING),
    )


def _vanishing(probe: Probe, known: Training) -> Finding | None:
    length = probe.reach.memory_length()
    if known.lag is not None and length is not None and length >= known.lag:
        return None
    relative = _relative(probe)
    window = known.window or probe.num_steps
    lags = [lag for lag in relative if lag <= window // 2]
    if not lags or lags[-1] < 4 or not relative[lags[-1]] < _VANISHED:
        return None
    evidence = f"At a lag of {lags[-1]} of {window} steps its norm is {relative[lags[-1]]:.1g} of that at the output"
    evidence += "" if length is None else f", and below a tenth from {quantity(length, 'step')} on"
    evidence += "."
    slowest = [layer.exponents[0] for layer in probe.layers if layer.exponents and math.isfinite(layer.exponents[0])]
    if slowest and max(slowest) < 0:
        evidence += f" What the state holds fades to 1/e within {-1 / max(slowest):.1f} steps at the slowest."
    return Finding(
        name="vanishing gradient",
        what="what lies further back than a few steps hardly teaches the network.",
        evidence=evidence,
        advice=_cure(probe, known),
    )


def _cure(probe: Probe, known: Training) -> str:
    """Return what helps a cell of this kind to remember."""
    steps = known.lag or known.window or probe.num_steps
    chrono = f"init='chrono' and chrono_steps={max(steps, 2)}"
    if any("init='chrono'" in layer.takes for layer in probe.layers):
        patience = "Train on: new networks grow out of it where the task needs it. " if known.lag is None else ""
        return f"{patience}In Python, let a layer of recur.nn start with open gates: {chrono} (or forget_bias=1 to 5)."
    begin = "A plain recurrent cell cannot hold on to it: use" if _has_kind(probe, "RNN") else "Use"
    other = "; or an RNN with nonlinearity='relu' and init='identity', if it is none"
    return f"{begin} an LSTM or a GRU, in Python with {chrono}{other}."


def _has_kind(probe: Probe, kind: str) -> bool:
    return any(layer.kind == kind for layer in probe.layers)


def _options(layers: Sequence[LayerProbe], helpful: Mapping[str, str]) -> str:
    """Return a sentence about those of some options, each with what it does, that one of the layers takes."""
    found = [what for name, what in helpful.items() if any(name in layer.takes for layer in layers)]
    return f" In Python, of the layer: {'; '.join(found)}." if found else ""


def _short_memory(probe: Probe, known: Training) -> Finding | None:
    length = probe.reach.memory_length()
    if known.lag is None or (length is not None and length >= known.lag):
        return None
    if length is None:
        if probe.num_steps >= known.lag:
            return None
        return Finding(
            name="batch too short to tell",
            what=f"the task needs what was {quantity(known.lag, 'step')} ago, and the probed batch is shorter.",
            evidence=f"It has {quantity(probe.num_steps, 'step')}, over which the gradient stays above a tenth.",
            advice="Probe a batch of longer sequences.",
        )
    return Finding(
        name="memory shorter than the task's lag",
        what=f"the task needs what was {quantity(known.lag, 'step')} ago, and the gradient does not get there.",
        evidence=f"Its norm is below a tenth from a lag of {quantity(length, 'step')} on.",
        advice=_cure(probe, known),
    )


def _truncation(probe: Probe, known: Training) -> Finding | None:
    relative = _relative(probe)
    evidence = ""
    if known.window is not None:
        edge = max((lag for lag in relative if known.window - 1 <= lag <= known.window), default=None)
        if edge is not None and relative[edge] >= _STILL_THERE:
            evidence = (
                f"At the window's far end, {quantity(edge, 'step')} back, the gradient is still "
                f"{relative[edge]:.0%} of what it is at the output."
            )
    if not evidence and probe.truncated is not None and probe.truncated > _MOST_TRUNCATED:
        evidence = f"Truncation removes {probe.truncated:.0%} of the gradient of the weights."
    if not evidence:
        return None
    return Finding(
        name="truncation too short",
        what="the gradient is cut off where it still has something to say.",
        evidence=evidence,
        advice=f"Use longer windows (window={2 * known.window if known.window else 'twice as many steps'}), or let the "
        "gradient go back over several of them (reach).",
    )


def _saturated(layer: LayerProbe) -> Finding | None:
    share = layer.activity.saturated
    if share <= _MOST_SATURATED:
        return None
    return Finding(
        name="saturated units",
        what=f"units of {layer.name or layer.kind} are stuck at one of their ends, where they let no gradient through.",
        evidence=f"In {share:.0%} of its {quantity(layer.units, 'unit')} |h| is above 0.95 in nine of ten steps.",
        advice="Scale the inputs or lower the learning rate."
        + _options([layer], {"layer_norm": "layer_norm=True keeps units in between"}),
    )


def _shut(layer: LayerProbe) -> Finding | None:
    """Return whether the gate that keeps the state never does."""
    kept = layer.activity.kept
    if kept is None or kept.low <= _MOST_SHUT:
        return None
    return Finding(
        name="shut gates",
        what=f"the gates of {layer.name or layer.kind} throw its state away at each step.",
        evidence=f"In {kept.low:.0%} of all steps a unit keeps less than a tenth of it; the mean is {kept.mean:.2g}.",
        advice="Lower the learning rate, and begin with other weights."
        + _options([layer], {"forget_bias": "forget_bias=1 or init='chrono' begins with open gates"}),
    )


def _dead(layer: LayerProbe) -> Finding | None:
    share = layer.activity.dead
    if share < _MOST_DEAD:
        return None
    return Finding(
        name="dead units",
        what=f"units of {layer.name or layer.kind} never change, whatever they read.",
        evidence=f"In {share:.0%} of its {quantity(layer.units, 'unit')} h moves by less than 0.001 over the batch.",
        advice="Lower the learning rate, or use fewer units (hidden_size)."
        + _options([layer], {"nonlinearity": "nonlinearity='tanh' instead of a rectifier"}),
    )


def _clipping(known: Training) -> Finding | None:
    if known.clipped is None or known.clipped < _ALWAYS_CLIPPED:
        return None
    if known.removed is not None and known.removed < _MUCH_REMOVED:
        return None
    removed = "" if known.removed is None else f", and loses {known.removed:.0%} of its norm"
    return Finding(
        name="clipping always active",
        what="every gradient is cut to the length that the bound allows, so that large and small ones count alike.",
        evidence=f"The gradient is clipped in {known.clipped:.0%} of the steps{removed}.",
        advice="Raise the bound (clip_norm) until only outliers are clipped. With plain SGD the bound is part of the "
        "learning rate: lower that if the loss gets restless.",
    )


def _learning_rate(known: Training) -> Finding | None:
    has_risen = (
        known.loss is not None
        and known.best_loss is not None
        and (not math.isfinite(known.loss) or known.loss > _RISEN * max(known.best_loss, 0.0) > 0)
    )
    if has_risen or (known.update is not None and known.update > _LARGEST_UPDATE):
        parts = []
        if has_risen:
            parts.append(f"The loss is {known.loss:.3g}, after {known.best_loss:.3g} before.")
        if known.update is not None and known.update > _LARGEST_UPDATE:
            parts.append(f"One step changes the weights by {known.update:.0%} of their norm.")
        return Finding(
            name="learning rate too high",
            what="steps are too long for what the gradient knows.",
            evidence=" ".join(parts),
            advice="Divide learning_rate by 3 to 10, or warm up for longer.",
        )
    if known.update is not None and known.update < _SMALLEST_UPDATE:
        return Finding(
            name="learning rate too low",
            what="steps are so short that nothing changes.",
            evidence=f"One step changes the weights by {known.update:.1g} of their norm.",
            advice="Multiply learning_rate by 10.",
        )
    return None
