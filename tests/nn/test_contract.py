"""What is asked of a model that reads sequences."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from recur.gradients import Checkpointed
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.nn import GRU
from recur.nn.contract import (
    batch_first_of,
    check_one_direction,
    check_output,
    in_evaluation,
    output_and_state,
    state_tensors,
    takes,
)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda own: GRU(2, 2, batch_first=own),
        lambda own: nn.LSTM(2, 2, batch_first=own),
        lambda own: Checkpointed(GRU(2, 2, batch_first=own), checkpoint_every=2),
    ],
)
def test_a_layer_says_where_its_steps_are(make: Any, own: bool) -> None:
    layer = make(own)
    assert batch_first_of("Asking", layer, None) is batch_first_of("Asking", layer, own) is own
    message = f"Asking: batch_first is {not own}, but {type(layer).__name__} has batch_first={own}. Leave it out."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        batch_first_of("Asking", layer, not own)


def test_a_network_that_does_not_say() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    assert [batch_first_of("Asking", network, given) for given in (None, True, False)] == [True, True, False]
    with pytest.raises(TypeError, match=r"^Asking: batch_first must be a bool or None, but is int\.$"):
        batch_first_of("Asking", network, 1)  # type: ignore[arg-type]


def test_a_network_that_does_not_say_is_as_its_recurrent_layers() -> None:
    first, last = nn.LSTM(2, 3), GRU(3, 2, batch_first=True)
    attention = nn.MultiheadAttention(2, 1, batch_first=True)
    for layers, wanted in (
        ([first], False),
        ([GRU(2, 2), nn.Linear(2, 2), nn.Sequential(first), attention], False),
        ([last], True),
        ([first, last], True),
        ([nn.MultiheadAttention(2, 1)], True),
    ):
        network = nn.Sequential(*layers)
        assert batch_first_of("Asking", network, None) is batch_first_of("Asking", network.forward, None) is wanted
        # It may turn its input around, so the user has the say.
        assert batch_first_of("Asking", network, not wanted) is not wanted
    model = LanguageModel(
        4, LanguageModelOptions(cell="gru", num_layers=1, hidden_size=2, embedding_size=2, dropout=0.0)
    )
    assert batch_first_of("Asking", model, None)


def test_directions() -> None:
    check_one_direction("Asking", lambda x: x)
    check_one_direction("Asking", nn.Sequential(GRU(2, 2)))
    with pytest.raises(ValueError, match=r"^Asking: 0, GRU, reads in both directions, .* by piece\. Do otherwise\.$"):
        check_one_direction("Asking", nn.Sequential(GRU(2, 2, bidirectional=True)), "Do otherwise.")


def test_what_a_model_takes() -> None:
    assert takes(GRU(2, 2), "reset")
    assert not takes(nn.GRU(2, 2), "reset")
    assert takes(lambda x, **given: x, "reset")


def test_what_a_model_returns() -> None:
    assert output_and_state("Asking", abs, (1, 2)) == (1, 2)
    with pytest.raises(TypeError, match=r"^Asking: GRU must return \(output, state\), but returned \[int, str\]\. "):
        output_and_state("Asking", GRU(2, 2), [1, "a"])
    check_output("Asking", abs, {"y": torch.zeros(3, 2)}, axis=0, num_steps=3)
    with pytest.raises(ValueError, match=r"the model was given 3 steps in dimension 1, but its output\.y has shape"):
        check_output("Asking", abs, {"y": torch.zeros(3, 2)}, axis=1, num_steps=3)
    h, c = torch.zeros(1), torch.ones(1)
    assert all(tensor is part for tensor, part in zip(state_tensors("Asking", {"h": h, "c": [c]}), (h, c), strict=True))
    with pytest.raises(TypeError, match=r"^Asking: a state must be made of tensors, but state\.c\.0 is int\.$"):
        state_tensors("Asking", {"h": h, "c": [1]})


def test_evaluation_is_over_afterwards_also_after_an_error() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    network[1].eval()
    modes = [module.training for module in network.modules()]

    def inside() -> list[bool]:
        return [module.training for module in network.modules()]

    with in_evaluation(network):
        assert inside() == [False] * 4
    assert inside() == modes
    with pytest.raises(KeyError), in_evaluation(network):
        raise KeyError
    assert inside() == modes == [True, True, False, False]
