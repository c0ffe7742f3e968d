"""How likely labellings and labels are, by the faster of two ways where that is exact."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.nn.crf import recursion, scaled
from recur.nn.crf.recursion import Chain
from recur.ops._checks import is_plain_call


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
    if run is None:
        return (scores_T1B - recursion.partition_steps(chain)).sum(0)
    return scaled.log_probability(chain, run, scores_T1B)


def partition_steps(chain: Chain) -> Tensor:
    """Return what each step adds to the log-partition, as `recursion.partition_steps` does, without a gradient."""
    with torch.no_grad():
        run = _run(chain)
        return recursion.partition_steps(chain) if run is None else run.offsets


def marginals(chain: Chain) -> Tensor:
    """Return the probability of each label at each step, (T, B, K); zero past a row's end, NaN without a labelling."""
    is_learned = torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in chain)
    run = None if is_learned else _run(chain)
    return recursion.marginals(chain) if run is None else scaled.smoothed(run, None, chain.is_step)[0]


def filtered(chain: Chain) -> Tensor:
    """Return the log of the probability of each label given the emissions so far, (T, B, K), without a gradient.

    Up to a number for each step, which is not the same for all. Past a row's end anything may stand.
    """
    with torch.no_grad():
        run = _run(chain)
        return torch.stack(recursion.forward_scores(chain)[0]) if run is None else run.forward.log()


def _run(chain: Chain) -> scaled.Run | None:
    """Return the recursion on probabilities, where it can be looked at whether that is exact, and it is."""
    return scaled.run(chain) if is_plain_call(chain.emissions) else None
