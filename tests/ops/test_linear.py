"""The linear layer as a function: values and gradients beside torch's, and what runs when."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from recur import engine
from recur.errors import BackendError
from recur.ops.linear import cpu
from recur.ops.linear.op import explain, linear

pytestmark = pytest.mark.skipif(engine.missing_kernels() is not None, reason=str(engine.missing_kernels()))

SHAPES = [
    ((3,), 5),
    ((1, 1), 1),
    ((9, 7), 65),
    ((97, 64), 49),
    ((4, 33, 100), 10),
    ((2, 3, 4, 17), 6),
    ((33, 520), 513),
    ((5, 3), 0),
]


def arguments(shape: tuple[int, ...], outputs: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    shapes = {"x": shape, "weight": (outputs, shape[-1]), "bias": (outputs,)}
    return {name: torch.randn(each, dtype=dtype, requires_grad=True) for name, each in shapes.items()}


def results(function: Any, given: dict[str, Tensor], dy: Tensor) -> dict[str, Tensor]:
    y = function(given["x"], given["weight"], given.get("bias"))
    gradients = torch.autograd.grad(y, tuple(given.values()), dy)
    return {"y": y.detach()} | dict(zip(given, gradients, strict=True))


def ours(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return linear(x, weight, bias, backend="cpu")


def is_ours(y: Tensor) -> bool:
    return y.grad_fn is not None and y.grad_fn.name() == "_ThroughBackward"


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(("shape", "outputs"), SHAPES)
def test_values_and_gradients(shape, outputs, has_bias, compare):
    given = arguments(shape, outputs)
    if not has_bias:
        del given["bias"]
    dy = torch.randn(*shape[:-1], outputs, dtype=torch.float64)
    found = results(ours, given, dy)
    expected = results(functional.linear, given, dy)
    compare(found, expected)
    for name, value in expected.items():
        limit = 1e-12 * max(1.0, float(value.abs().max()) if value.numel() else 1.0)
        torch.testing.assert_close(found[name], value, rtol=0, atol=limit)


@pytest.mark.parametrize(("shape", "outputs"), SHAPES[:-1])
def test_float32_is_as_near_to_float64_as_torch(shape, outputs):
    given = arguments(shape, outputs, torch.float32)
    dy = torch.randn(*shape[:-1], outputs)
    truth = results(functional.linear, {name: each.double() for name, each in given.items()}, dy.double())
    found, theirs = results(ours, given, dy), results(functional.linear, given, dy)
    for name, value in truth.items():
        largest = float(value.abs().max())
        error, theirs_error = (float((each[name] - value).abs().max()) for each in (found, theirs))
        assert found[name].dtype == torch.float32
        assert error <= 2 * theirs_error + 4 * torch.finfo(torch.float32).eps * largest, name


def test_it_is_the_engine_that_ran():
    given = arguments((3, 4), 5)
    assert is_ours(ours(**given))
    assert not is_ours(linear(**given, backend="torch"))


@pytest.mark.parametrize("threads", [2, 3])
def test_threads(threads, compare):
    given = arguments((700, 100), 300)
    dy = torch.randn(700, 300, dtype=torch.float64)
    expected = results(functional.linear, given, dy)
    try:
        torch.set_num_threads(threads)
        found, again = results(ours, given, dy), results(ours, given, dy)
    finally:
        torch.set_num_threads(1)
    compare(found, expected)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_each_gradient_only_where_it_is_wanted(compare):
    whole = arguments((6, 5), 4)
    dy = torch.randn(6, 4, dtype=torch.float64)
    expected = results(functional.linear, whole, dy)
    for mask in range(1, 8):
        names = [name for n, name in enumerate(whole) if mask >> n & 1]
        given = {name: each.detach().requires_grad_(name in names) for name, each in whole.items()}
        y = ours(**given)
        found = torch.autograd.grad(y, [given[name] for name in names], dy)
        compare(dict(zip(names, found, strict=True)), {name: expected[name] for name in names})


def test_what_no_gradient_needs_may_be_written_over():
    given = arguments((6, 5), 4)
    x = given["x"].detach()
    y = ours(x, given["weight"].detach(), given["bias"])
    x.zero_()
    assert torch.equal(torch.autograd.grad(y.sum(), given["bias"])[0], torch.full((4,), 6.0, dtype=torch.float64))
    y = ours(x, given["weight"], None)
    x.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def laid_out() -> dict[str, Tensor]:
    numbers = torch.randn(6, 8, 10, dtype=torch.float64)
    return {
        "time and batch exchanged": numbers.transpose(0, 1),
        "features apart": numbers[..., ::2],
        "a part of the features": numbers[..., 3:8],
        "every other row": numbers[::2, 1::3],
        "one row, repeated": numbers[:1, :1].expand(6, 8, 10),
        "one number, repeated": numbers[:1, :1, :1].expand(6, 8, 10),
        "features first": numbers.permute(2, 1, 0),
        "four dimensions": numbers.view(6, 4, 2, 10).permute(2, 0, 1, 3),
        "the imaginary part of a conjugate": torch.complex(numbers, numbers + 1).conj().imag,
    }


@pytest.mark.parametrize("name", list(laid_out()))
def test_layouts_of_x_and_of_the_gradient(name, compare):
    values = laid_out()[name]
    given = arguments(tuple(values.shape), 7) | {"x": values.detach().requires_grad_()}
    dy = torch.randn(*values.shape[:-1], 7, dtype=torch.float64)
    compare(results(ours, given, dy), results(functional.linear, given, dy))
    given = arguments((*values.shape[:-1], 3), values.shape[-1])
    compare(results(ours, given, values), results(functional.linear, given, values))
    wide = torch.randn(9, 2 * values.shape[-1], dtype=torch.float64)[:, ::2]
    compare({"y": ours(values, wide, None)}, {"y": functional.linear(values, wide)})


@pytest.mark.parametrize("shape", [(0, 5), (3, 0, 5), (4, 0), (0,), (2, 3, 4, 0)])
def test_of_nothing(shape, compare):
    given = arguments(shape, 3)
    dy = torch.randn(*shape[:-1], 3, dtype=torch.float64)
    compare(results(ours, given, dy), results(functional.linear, given, dy))


def test_derivatives():
    given = tuple(arguments((3, 2, 4), 5).values())
    assert torch.autograd.gradcheck(ours, given)
    assert torch.autograd.gradgradcheck(ours, given)
    assert torch.autograd.gradcheck(lambda x, w: ours(x, w, None), given[:2])


def test_several_backward_passes_at_once():
    given = tuple(arguments((3, 4), 5).values())
    found = torch.autograd.functional.jacobian(ours, given, vectorize=True)
    for ours_one, theirs in zip(found, torch.autograd.functional.jacobian(functional.linear, given), strict=True):
        torch.testing.assert_close(ours_one, theirs)


def test_a_vector_that_is_nan_stays_so():
    x = torch.zeros(40, 5)
    x[7, 2] = torch.nan
    x[8, 1] = torch.inf
    weight = torch.ones(70, 5)
    y = ours(x, weight, None)
    assert bool(y[7].isnan().all())
    assert bool((y[8] == torch.inf).all())
    assert bool(torch.isfinite(y[:7]).all())
    assert bool(torch.isfinite(y[9:]).all())


# --- which one runs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """As on a processor where the engine was measured to be faster."""
    monkeypatch.setattr(cpu, "_is_measured", lambda isa: True)


def test_the_work_decides(measured):
    weight = torch.zeros(64, 128)
    many = torch.zeros(cpu.LEAST_WORK // (64 * 128), 128)
    assert explain(many, weight, None, backend="auto", owner="Linear").backend == "cpu"
    assert explain(many[1:], weight, None, backend="auto", owner="Linear").backend == "torch"
    weight.requires_grad_()
    assert explain(many, weight, None, backend="auto", owner="Linear").backend == "torch"
    assert not is_ours(linear(many, weight, None))
    more = torch.cat([many, many])
    assert explain(more, weight, None, backend="auto", owner="Linear").backend == "cpu"
    assert is_ours(linear(more, weight, None))
    with torch.no_grad():
        assert explain(many, weight, None, backend="auto", owner="Linear").backend == "cpu"
    wide = torch.zeros(cpu.LEAST_WORK // 128, 128)
    few = torch.zeros(cpu.LEAST_ROWS, 128)
    assert explain(few, wide, None, backend="auto", owner="Linear").backend == "cpu"
    assert explain(few[1:], wide, None, backend="auto", owner="Linear").backend == "torch"


def test_where_nobody_has_measured_torch_runs(monkeypatch):
    monkeypatch.setattr(cpu, "_is_measured", lambda isa: False)
    found = explain(torch.zeros(4096, 64), torch.zeros(64, 64), None, backend="auto", owner="Linear")
    assert found.backend == "torch"
    assert "only measured with AVX-512" in str(found)


def test_why_the_engine_does_not_run():
    x, weight = torch.zeros(4, 3), torch.zeros(2, 3)
    with pytest.raises(BackendError, match=r"^Linear: 'cpu' refused: its kernels compute in float32 and float64"):
        linear(x.half(), weight.half(), None, backend="cpu")
    with pytest.raises(BackendError, match=r"its kernels run on a CPU, and x is on meta\. Choose another back end"):
        linear(x.to("meta"), weight.to("meta"), None, backend="cpu")
    with torch.autocast("cpu"), pytest.raises(BackendError, match="under autocast the product is torch's"):
        linear(x, weight, None, backend="cpu")
    with torch.autograd.forward_ad.dual_level(), pytest.raises(BackendError, match="no forward-mode derivative"):
        linear(x, weight, None, backend="cpu")
    with pytest.raises(BackendError, match=r"under torch\.func"):
        torch.func.vmap(ours, in_dims=(0, None, None))(x, weight, None)
    with pytest.raises(BackendError, match="plain dense tensors"):
        linear(x.as_subclass(type("Mine", (Tensor,), {})), weight, None, backend="cpu")


def test_explanations():
    x, weight = torch.zeros(4, 3), torch.zeros(2, 3)
    assert str(explain(x, weight, None, backend="cpu", owner="Linear")) == (
        "Linear (cpu, float32, backend='cpu'):\n  cpu    runs\n  torch  not asked for: backend='cpu'"
    )
    assert str(explain(x, weight, None, backend="torch", owner="Linear")) == (
        "Linear (cpu, float32, backend='torch'):\n  torch  runs\n  cpu    not asked for: backend='torch'"
    )
    assert str(explain(x, weight, None, backend="auto", owner="Linear")) == (
        "Linear (cpu, float32):\n  torch  runs\n  cpu    torch is as fast with so little work"
    )
    with torch.autocast("cpu"):
        refused = explain(x, weight, None, backend="cpu", owner="Linear")
    assert refused.backend is None
    assert refused.others[0] == ("cpu", "under autocast the product is torch's, in autocast's dtype")
