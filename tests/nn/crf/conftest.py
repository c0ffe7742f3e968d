"""All labellings of a short chain, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from recur.nn import LabelConstraints, LinearChainCRF
from recur.nn.crf import probability


def enumerated(crf: LinearChainCRF, emissions: torch.Tensor, constraints: Any) -> dict[tuple[int, ...], torch.Tensor]:
    """Return the score of each labelling that is allowed of one row's emissions (T, K)."""
    found = {}
    for path in itertools.product(range(crf.num_labels), repeat=len(emissions)):
        pairs = list(itertools.pairwise(path))
        if constraints is not None and not (
            constraints.starts[path[0]]
            and constraints.ends[path[-1]]
            and all(constraints.transitions[i, j] for i, j in pairs)
        ):
            continue
        score = crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
        score = score + sum(emissions[t, label] for t, label in enumerate(path))
        found[path] = score + sum(crf.transitions[i, j] for i, j in pairs)
    return found


@pytest.fixture(scope="session")
def all_labellings() -> Callable[..., dict[tuple[int, ...], torch.Tensor]]:
    return enumerated


@pytest.fixture(params=["probabilities", "logarithms"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of the recursions, whatever is faster."""
    if request.param == "logarithms":
        monkeypatch.setattr(probability, "_run", lambda chain: None)


@pytest.fixture
def some_constraints() -> LabelConstraints:
    """Of three labels: every one can be reached and left, and from the first no labelling has one step."""
    transitions = torch.tensor([[True, True, False], [True, False, True], [False, True, True]])
    return LabelConstraints(transitions, torch.tensor([True, True, False]), torch.tensor([False, True, True]))


@pytest.fixture
def make_crf() -> Callable[..., LinearChainCRF]:
    def make(num_labels: int = 3, **options: Any) -> LinearChainCRF:
        crf = LinearChainCRF(num_labels, **options).double()
        with torch.no_grad():
            for parameter in crf.parameters():
                parameter.normal_()
        return crf

    return make
