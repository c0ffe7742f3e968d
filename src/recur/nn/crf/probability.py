"""How likely labellings and labels are, by the faster of two ways where that is exact."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur.nn.crf import recursion, scaled
from recur.nn.crf.recursion import Chain, partition_steps
from recur.ops._checks import is_looked_into


def log_probability(chain: Chain, scores_T1B: Tensor) -> Tensor:
    """Return the log-probability of one labelling of each row.

    Args:
        chain: The scores of all labellings.
        scores_T1B: What each step adds to the score of this one, zero past a row's end; and what its end adds, zero for
            rows without steps. With zeros the result is minus the log-partition.

    Returns:
        (B,); zero for rows without steps, infinite where a row has no labelling at all.
    """
    run = _run(chain)
    return (
        (scores_T1B - partition_steps(chain)).sum(0) if run is None else scaled.log_probability(chain, run, scores_T1B)
    )


def marginals(chain: Chain) -> Tensor:
    """Return the probability of each label at each step, (T, B, K); zero past a row's end, NaN without a labelling."""
    is_learned = torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in chain)
    run = None if is_learned else _run(chain)
    return recursion.marginals(chain) if run is None else scaled.smoothed(run, None, chain.is_step)[0]


def _run(chain: Chain) -> scaled.Scaled | None:
    """Return the recursion on probabilities, where it can be looked at whether that is exact, and it is."""
    if (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or is_looked_into()
        or forward_ad._current_level >= 0
        or chain.emissions.is_meta
    ):
        return None
    return scaled.scaled(chain)
