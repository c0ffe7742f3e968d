"""A weight that is packed once: its products are those of the weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recur import engine
from recur.ops.linear import cpu
from recur.ops.linear.packed import PackedWeight


@pytest.fixture(params=["engine", "torch"])
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who multiplies, on any machine."""
    side: str = request.param
    if side == "engine":
        if engine.missing_kernels() is not None:
            pytest.skip(str(engine.missing_kernels()))
        monkeypatch.setattr(cpu, "_is_measured", lambda isa: True)
    else:
        monkeypatch.setattr(cpu, "refusal", lambda *_, **__: "for this test")
    return side


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("is_across", [False, True], ids=["transposed", "across"])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_products_are_those_of_the_weight(side: str, dtype: torch.dtype, is_across: bool, rows: int) -> None:
    torch.manual_seed(rows)
    weight = torch.randn(33, 70).to(dtype)
    # Rows need not lie side by side.
    x = torch.randn(rows, 75).to(dtype)[:, 2 : 35 if is_across else 72]
    wanted = x @ (weight if is_across else weight.t())
    packed = PackedWeight(weight, is_across=is_across)
    assert (packed._packed is not None) == (side == "engine")
    bias = torch.randn(wanted.shape[1]).to(dtype)
    close = torch.testing.assert_close
    close(packed.times(x), wanted)
    close(packed.times(x, bias), wanted + bias)
    out = torch.full_like(wanted, torch.nan)
    assert packed.times(x, bias, out=out) is out
    close(out, wanted + bias)
    before = torch.randn_like(wanted)
    found = before.clone()
    assert packed.add_to(found, x) is found
    close(found, before + wanted)


def test_the_weight_may_be_any_view(side: str) -> None:
    whole = torch.randn(40, 50)
    x = torch.randn(3, 20)
    view: Tensor = whole[5:15, 10:30]
    torch.testing.assert_close(PackedWeight(view).times(x), x @ view.t())
    torch.testing.assert_close(PackedWeight(view.t(), is_across=True).times(x), x @ view.t())


def test_it_has_no_gradient(side: str) -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    assert not PackedWeight(weight).times(torch.randn(2, 3)).requires_grad


def test_what_the_engine_has_no_products_for_is_multiplied_by_torch() -> None:
    weight = torch.randn(4, 3).bfloat16()
    packed = PackedWeight(weight)
    assert packed._packed is None
    x = torch.randn(2, 3).bfloat16()
    torch.testing.assert_close(packed.times(x), x @ weight.t())
