"""The convolution over steps: by hand, past the end, and in pieces."""

from __future__ import annotations

import pytest
import torch

from recur.models.step_convolution import StepConvolution


def steps(lengths, num_steps: int) -> torch.Tensor:
    return torch.arange(num_steps)[:, None] < torch.as_tensor(lengths)


def by_hand(layer: StepConvolution, x_TI: torch.Tensor, first: int) -> torch.Tensor:
    """Each output from the steps `first` .. `first` + width - 1 relative to it, those outside being zero."""
    weight, rows = layer.convolution.weight, []
    for t in range(len(x_TI)):
        total = layer.convolution.bias
        for k in range(layer.width):
            if 0 <= t + first + k < len(x_TI):
                total = total + weight[..., k] @ x_TI[t + first + k]
        rows.append(total)
    return torch.relu(layer.norm(torch.stack(rows)))


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("is_causal", [True, False])
def test_each_row_is_as_if_alone(width, is_causal) -> None:
    layer = StepConvolution(3, 4, width, is_causal=is_causal).double()
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    lengths = [6, 2, 0]
    x = torch.where(steps(lengths, 6)[..., None], x, 0)
    y, _ = layer(x, steps(lengths, 6))
    first = -(width - 1) if is_causal else -((width - 1) // 2)
    for row, length in enumerate(lengths):
        if length:
            torch.testing.assert_close(y[:length, row], by_hand(layer, x[:length, row], first))
        assert not y[length:, row].any()


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_pieces_with_the_memory_give_the_whole(width, cut) -> None:
    layer = StepConvolution(3, 4, width, is_causal=True).double()
    lengths = torch.tensor([6, 2, 4])
    x = torch.where(steps(lengths, 6)[..., None], torch.randn(6, 3, 3, dtype=torch.float64), 0)
    whole, after = layer(x, steps(lengths, 6))
    one, before = layer(x[:cut], steps(lengths.clamp(max=cut), cut))
    rest = (lengths - cut).clamp(min=0)
    other, last = layer(x[cut:], steps(rest, 6 - cut), before)
    torch.testing.assert_close(torch.cat([one, other]), whole)
    torch.testing.assert_close(last, after)


def test_gradients() -> None:
    layer = StepConvolution(2, 3, 3, is_causal=True).double()
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)
    before = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    mask = steps([5, 3], 5)
    masked = mask[..., None].double()
    assert torch.autograd.gradcheck(lambda a, b: layer(a * masked, mask, b), (x, before))
