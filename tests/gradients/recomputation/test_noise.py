"""Noise in a call that is cut into segments: drawn again for each step, and the same for all steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur.gradients import Checkpointed
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.nn import GRU, LSTM, RNN, CfC, LockedDropout, Recurrent

T, B = 11, 3


def by_hand(layer: Any, x: Tensor, length: int) -> tuple[Tensor, Any]:
    """The segments one after the other, all kept."""
    outputs, state = [], None
    for part in x.split(length):
        output, state = layer(part, state)
        outputs.append(output)
    return torch.cat(outputs), state


@pytest.mark.parametrize("is_engine", [True, False])
@pytest.mark.parametrize("schedule", [(4, None), (2, 2)])
def test_masks_for_each_step_are_drawn_again(
    run: Any, agree: Any, checkpointed: Any, request: pytest.FixtureRequest, is_engine: bool, schedule: Any
) -> None:
    if not is_engine:
        request.getfixturevalue("torchs_masks")
    layers = [
        LSTM(3, 5, 2, dropout=0.3, zoneout=0.2, dtype=torch.float64),
        GRU(3, 5, recurrent_dropout=0.3, recurrent_dropout_kind="candidate", dtype=torch.float64),
        GRU(3, 5, 2, dropout=0.3, zoneout=0.3, backend="reference", dtype=torch.float64),
        nn.GRU(3, 5, 2, dropout=0.3, dtype=torch.float64),
    ]
    x = torch.randn(T, B, 3, dtype=torch.float64)
    for layer in layers:
        little = checkpointed(layer, *schedule)
        little(x)

        class ByHand(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = layer  # noqa: B023

            def forward(self, x: Tensor) -> tuple[Tensor, Any]:
                return by_hand(self.layer, x, schedule[0])

        agree(run(little, x), run(ByHand(), x))
        assert not torch.equal(run(little, x)[0], run(little, x, seed=4)[0])


@pytest.mark.parametrize("is_engine", [True, False])
@pytest.mark.parametrize("schedule", [(4, None), (2, 2)])
def test_masks_for_a_whole_sequence_are_the_same_in_all_segments(
    run: Any, agree: Any, checkpointed: Any, request: pytest.FixtureRequest, is_engine: bool, schedule: Any
) -> None:
    if not is_engine:
        request.getfixturevalue("torchs_masks")
    everything = {"recurrent_dropout": 0.3, "weight_dropout": 0.3}
    stacked = {"num_layers": 2, "dropout": 0.3, "locked_dropout": True}
    layers = [
        LSTM(3, 5, **everything, **stacked, dtype=torch.float64),
        RNN(3, 5, **everything, dilation=2, dtype=torch.float64),
        CfC(3, 5, **everything, **stacked, backbone_size=4, dtype=torch.float64),
        Recurrent(lambda size: nn.GRUCell(size, 5, dtype=torch.float64), 3, **stacked),
    ]
    x = torch.randn(T, B, 3, dtype=torch.float64)
    for layer in layers:
        # Nothing else is drawn, so the plain layer draws the same.
        agree(run(checkpointed(layer, *schedule), x), run(layer, x))
    options = LanguageModelOptions(cell="gru", num_layers=2, hidden_size=6, embedding_size=6, dropout=0.4)
    model = LanguageModel(10, options).double()
    tokens = torch.randint(10, (B, T))
    agree(run(checkpointed(model, *schedule), tokens), run(model, tokens))


def test_random_numbers_go_on_as_if_nothing_were_computed_again() -> None:
    layer = GRU(3, 5, zoneout=0.3)
    x = torch.randn(T, B, 3)
    little = Checkpointed(layer, checkpoint_every=4)
    found = []
    for is_differentiated in (False, True):
        torch.manual_seed(5)
        output, _ = little(x)
        if is_differentiated:
            output.sum().backward()
        found.append(torch.rand(3))
    torch.manual_seed(5)
    by_hand(layer, x, 4)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], torch.rand(3))


def test_locked_dropout_alone_keeps_its_masks_apart_from_other_calls() -> None:
    drop = LockedDropout(0.5)

    class Dropped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = GRU(3, 50)

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            output, state = self.gru(x, state)
            return drop(output), state

    little = Checkpointed(Dropped(), checkpoint_every=2, batch_first=False)
    x = torch.randn(6, 1, 3)
    one, other = (little(x)[0] == 0 for _ in range(2))
    assert bool((one == one[0]).all())
    assert not torch.equal(one, other)
