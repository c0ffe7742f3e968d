"""What each step and channel that was read contributes to what a model says, and whether that can be believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import SeriesBatch
from recur.gradients.attributions.attribution import attribute
from recur.gradients.attributions.completion import POINTS, complete_shares
from recur.gradients.attributions.deletion import Deletion, check_by_deletion
from recur.inspection_format import MOST_GAP
from recur.tasks.inspection.subject import Subject, rows_of, varied

_MOST_VALUES = 1 << 22
"""Values of hidden states that are kept for a gradient at once, at most."""

_MOST_ROWS = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """What S steps and G channels contribute to A answers, by integrated gradients (Sundararajan et al. 2017).

    Against a neutral input, in which every channel stands still at its mean over the steps that were read, the shares
    of an answer add up to the answer less what is said of the neutral input.

    Attributes:
        channels: G names; features that are two sides of one, such as sine and cosine of the hour, are one channel.
        shares: Of the steps that were read, (A, S, G) float64, in units of the answer.
        ahead: Of what is known of the steps to come, (A, G) float64; zeros where nothing is.
        answer: What is said, (A,) float64.
        neutral: What is said of the neutral input, (A,) float64.
        total: What all shares add up to, (A,) float64.
        gap: By how much of all of them, in size, that misses `answer - neutral`, (A,) float64.
        by_channel: What the shares of each channel add up to, (A, G) float64.
        check: Whether deleting what is called important changes the first answer more than deleting at random, at other
            places; None where there are none.
    """

    channels: tuple[str, ...]
    shares: NDArray[np.float64]
    ahead: NDArray[np.float64]
    answer: NDArray[np.float64]
    neutral: NDArray[np.float64]
    total: NDArray[np.float64]
    gap: NDArray[np.float64]
    by_channel: NDArray[np.float64]
    check: Deletion | None

    def to_json(self) -> list[dict[str, Any]]:
        """Return what stands in `inspect.json` of each answer."""
        return [
            {
                "answer": float(self.answer[one]),
                "neutral": float(self.neutral[one]),
                "sum": float(self.total[one]),
                "gap": float(self.gap[one]),
                "by_channel": self.by_channel[one].tolist(),
                "ahead": self.ahead[one].tolist(),
            }
            for one in range(len(self.answer))
        ]


def contributions(subject: Subject, *, units: int, seed: int = 0) -> Contributions:
    """Return what contributes to the answers of a subject.

    Args:
        subject: What is looked at; its network held still.
        units: Units of all layers, by which the memory is bounded.
        seed: Of the random deletions.
    """
    window, count = subject.window, len(subject.answers)
    inputs, base = _inputs(window), _neutral(window)
    num_steps = window.x.shape[1]
    size = _rows_at_once(inputs, units)

    def score(variants: Tensor, rows: Tensor) -> Tensor:
        several = varied(window, variants[:, :num_steps], _future(window, variants))
        return subject.outputs(several)[torch.arange(len(rows), device=rows.device), rows]

    # What is explained is the same for all answers.
    inputs, base = inputs.expand(count, -1, -1), base.expand(count, -1, -1)
    whole = complete_shares(score, inputs, base, most_gap=MOST_GAP, batch_size=size, per_feature=True)
    found = whole.shares.double().cpu().numpy()
    channels, grouped = _grouped(subject.channels, found)
    return Contributions(
        channels=channels,
        shares=grouped[:, :num_steps],
        ahead=grouped[:, num_steps:].sum(1),
        answer=whole.answer.double().cpu().numpy(),
        neutral=whole.neutral.double().cpu().numpy(),
        total=found.sum((1, 2)),
        gap=whole.gap.cpu().numpy(),
        by_channel=grouped.sum(1),
        check=_checked(subject, units, seed),
    )


def _checked(subject: Subject, units: int, seed: int) -> Deletion | None:
    """Return whether what is said to contribute to the first answer does so, at other places."""
    batch = subject.elsewhere
    if batch is None:
        return None
    inputs, num_steps = _inputs(batch), batch.x.shape[1]
    size = _rows_at_once(inputs, units)

    def score(variants: Tensor, rows: Tensor) -> Tensor:
        several = rows_of(batch, rows)
        future = _future(several, variants)
        return subject.outputs(replace(several, x=variants[:, :num_steps], future=future))[:, 0]

    base = _neutral(batch)
    shares = attribute(score, inputs, base, num_steps=POINTS[0], batch_size=size)
    mask = torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
    # What is known of the future is not a step that was.
    mask[:, num_steps:] = False
    return check_by_deletion(score, inputs, {"own": shares}, base, mask=mask, draws=5, seed=seed, batch_size=size)[
        "own"
    ]


def _inputs(batch: SeriesBatch) -> Tensor:
    """Return all numbers that are read, (R, T + P, F): those of the steps, and what is known of the steps to come."""
    if batch.future is None:
        return batch.x
    ahead = batch.x.new_zeros(len(batch.x), batch.future.shape[1], batch.x.shape[2])
    ahead[..., ahead.shape[2] - batch.future.shape[2] :] = batch.future
    return torch.cat([batch.x, ahead], 1)


def _neutral(batch: SeriesBatch) -> Tensor:
    """Return the same with each channel at its mean over the steps that are there; what is missing stays so."""
    is_there = batch.observed
    mean = batch.x.sum(1, keepdim=True) / is_there.sum(1, keepdim=True).clamp(min=1)
    past = torch.where(is_there, mean, batch.x)
    if batch.future is None:
        return past
    known = batch.future.shape[2]
    is_known = torch.ones_like(batch.future, dtype=torch.bool)
    if batch.future_observed is not None:
        is_known = batch.future_observed
    ahead = batch.x.new_zeros(len(batch.x), batch.future.shape[1], batch.x.shape[2])
    ahead[..., ahead.shape[2] - known :] = torch.where(is_known, mean[..., -known:], batch.future)
    return torch.cat([past, ahead], 1)


def _future(batch: SeriesBatch, variants: Tensor) -> Tensor | None:
    if batch.future is None:
        return None
    return variants[:, batch.x.shape[1] :, variants.shape[2] - batch.future.shape[2] :]


def _rows_at_once(inputs: Tensor, units: int) -> int:
    return min(max(_MOST_VALUES // (inputs.shape[1] * units), 1), _MOST_ROWS)


def _grouped(names: tuple[str, ...], shares: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the channels, sine and cosine of the same as one, and the shares (A, S, G) of each."""
    wanted = [
        name.removesuffix(end) if (name.endswith(end) and f"{name.removesuffix(end)}{other}" in names) else name
        for name in names
        for end, other in [("_sin", "_cos") if name.endswith("_sin") else ("_cos", "_sin")]
    ]
    channels = tuple(dict.fromkeys(wanted))
    found = np.zeros((*shares.shape[:2], len(channels)))
    for place, name in enumerate(wanted):
        found[..., channels.index(name)] += shares[..., place]
    return channels, found
