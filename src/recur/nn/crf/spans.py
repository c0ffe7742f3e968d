"""How likely some steps of a chain have given labels, whatever stands elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recur.nn.crf.recursion import Chain


class LabelledSpan(NamedTuple):
    """Labels of some steps in a row, one after the other.

    Attributes:
        row: Number of the row in its batch.
        begin: The first of the steps.
        labels: One number for each step, at least one.
    """

    row: int
    begin: int
    labels: Sequence[int]


def span_log_probability(
    chain: Chain, filtered_TBK: Tensor, marginals_TBK: Tensor, spans: Sequence[LabelledSpan]
) -> Tensor:
    """Return the log-probability of the labels of each span, (S,).

    Read from its end a chain of labels is a Markov chain: the label before depends, given the one after it, on nothing
    further on. So p(y_i, ..., y_j) = p(y_j) Π_{t<j} p(y_t | y_{t+1}), and p(y_t | y_{t+1}) is in proportion to what
    leads to y_t times its transition.

    Args:
        chain: The scores of all labellings.
        filtered_TBK: The log of the probability of each label given the emissions so far, up to a number for each step.
        marginals_TBK: The probability of each label at each step.
        spans: Within their rows.
    """
    counts = torch.tensor([len(one.labels) for one in spans])
    number_N = torch.repeat_interleave(torch.arange(len(spans)), counts)
    label_N = torch.tensor([label for one in spans for label in one.labels])
    step_N = torch.tensor([one.begin + place for one in spans for place in range(len(one.labels))])
    row_N = torch.tensor([one.row for one in spans])[number_N]
    is_last_N = torch.ones_like(number_N, dtype=torch.bool)
    is_last_N[:-1] = number_N[1:] != number_N[:-1]
    device = chain.emissions.device
    number_N, label_N, step_N, row_N, is_last_N = (
        part.to(device) for part in (number_N, label_N, step_N, row_N, is_last_N)
    )
    last_S = marginals_TBK[step_N[is_last_N], row_N[is_last_N], label_N[is_last_N]].log()
    before_N = (~is_last_N).nonzero()[:, 0]
    leading_MK = filtered_TBK[step_N[before_N], row_N[before_N]] + chain.transitions.t()[label_N[before_N + 1]]
    given_M = leading_MK.log_softmax(1).gather(1, label_N[before_N].unsqueeze(1)).squeeze(1)
    found_S = last_S.index_add(0, number_N[before_N], given_M)
    # Of what is impossible nothing is known of what comes before it.
    return found_S.masked_fill(found_S.isnan(), -torch.inf)
