"""What a network told of the series of a part, beside what was true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from recur.data.series import SeriesBatch
from recur.errors import DataError
from recur.models.series_ensemble import SeriesEnsemble
from recur.models.series_labels import SeriesLabelNetwork
from recur.tasks.noise import grouped_test, mean_test, sign_test


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesOutcomes:
    """N answers of a classifier or regressor, of series or of steps, and the labels.

    Attributes:
        output: Logits (N, K), or numbers (N,), floating.
        target: Classes (N,) int64, -1 where missing; or numbers (N,) of the dtype of `output`, NaN where missing.
        weight: How much each counts, (N,) of the dtype of `output`.
        is_bound: Where the label is only a lower bound of the true one, (N,) bool.
        series: Which series of the panel each is of, (N,) int64.
        row: Which row of the panel: of an answer about a step its own, of one about a whole series its first one, (N,)
            int64.
    """

    output: Tensor
    target: Tensor
    weight: Tensor
    is_bound: Tensor
    series: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def of(self, which: Tensor) -> SeriesOutcomes:
        """Return some of the answers.

        Args:
            which: (N,) bool, or the numbers of those, int64.
        """
        return SeriesOutcomes(**{one.name: getattr(self, one.name)[which] for one in fields(self)})


def p_of_gain(gain: Tensor, outcomes: SeriesOutcomes, *, window: int = 0) -> float | None:
    """Return how likely so large a mean gain over a rule is where there is none, or None where that cannot be told.

    Labels of one series hang together, so that series count. In a single one neighbours do: answers that are told from
    windows which share a step, and labels as long as they stay the same, or numbers on one side of their mean.

    Args:
        gain: Of each answer, (N,): by how much less it is off than the rule, or -1, 0 and 1 for classes.
        outcomes: The N answers, each with a label.
        window: Steps that an answer is told from; 0 where it is told from the whole series.
    """
    gains, numbers = gain.double().numpy(), outcomes.series.numpy()
    num_series = len(np.unique(numbers))
    if num_series == 1 and len(gains) > 1:
        order = outcomes.row.argsort(stable=True)
        test = mean_test(gains[order.numpy()], _overlap(outcomes.of(order), window))
    elif num_series == len(gains) and bool(np.isin(gains, (-1, 0, 1)).all()):
        return sign_test(int((gains > 0).sum()), int((gains < 0).sum()))
    else:
        test = grouped_test(gains, numbers)
    return None if test is None else test.p


def _overlap(outcomes: SeriesOutcomes, window: int) -> int:
    """Return how many neighbouring answers hang together, of one series in the order of its rows."""
    row, target = outcomes.row.numpy(), outcomes.target.numpy()
    state = target > target.mean() if target.dtype.kind == "f" else target
    num_runs = 1 + int((state[1:] != state[:-1]).sum())
    shared = np.arange(1, len(row) + 1) - np.searchsorted(row, row - max(window, 1), side="right")
    return max(-(-len(row) // num_runs), int(shared.max()))


@torch.no_grad()
def collect_outcomes(network: SeriesLabelNetwork | SeriesEnsemble, batches: Iterable[SeriesBatch]) -> SeriesOutcomes:
    """Return what a network says of all series, or of all their steps, in the order of the batches.

    The network is run as in evaluation, and left as it was.

    Args:
        network: The network, on any device.
        batches: `WholeSeries`, or `LabelWindows`.

    Raises:
        DataError: There is no batch.
        TypeError: The labels are numbers where the network tells classes, or the other way round.
        ValueError: The labels are of series where the network tells of steps, or the other way round.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        found = [_of_batch(network, batch.to(device)) for batch in batches]
    finally:
        network.train(was_training)
    if not found:
        raise DataError("there are no series to tell anything of.")
    return SeriesOutcomes(**{name: torch.cat([one[name] for one in found]) for name in found[0]})


def _of_batch(network: SeriesLabelNetwork | SeriesEnsemble, batch: SeriesBatch) -> dict[str, Tensor]:
    per_step = network.per_step
    # A batch without any label does not say what labels are like.
    if bool(batch.weight.any()):
        network.check_labels(batch)
    output, _ = network(batch)
    steps_T = torch.arange(batch.x.shape[1], device=output.device)
    is_told = steps_T < batch.lengths[:, None] if per_step else torch.ones_like(batch.lengths, dtype=torch.bool)

    def flat(value: Tensor) -> Tensor:
        """Return what (B, T), or (B,) for all steps alike, says of each answer, (N,)."""
        return (value if value.dim() == is_told.dim() else value[:, None].expand(is_told.shape))[is_told]

    target, weight = flat(batch.target), flat(batch.weight).to(output.dtype)
    if network.tells_classes:
        target = torch.where(weight > 0, target.long(), -1)
    else:
        target = torch.where(weight > 0, target.to(output.dtype), torch.nan)
    found = {
        "output": output[is_told],
        "target": target,
        "weight": weight,
        "is_bound": torch.zeros_like(weight, dtype=torch.bool) if batch.censored is None else flat(batch.censored),
        "series": flat(batch.index),
        "row": flat(batch.row[:, None] + steps_T if per_step else batch.row),
    }
    return {name: value.cpu() for name, value in found.items()}
