"""Clipping against torch's own and against naive formulas, and the norms that are returned."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from recur.gradients import Clipping, clip_gradients, layers_of


def network(scale: float) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    unused = nn.Linear(2, 2)
    (layers(torch.randn(5, 3)).square().sum() * scale).backward()
    return nn.ModuleList([layers, unused])


def gradients(module: nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in module.parameters() if p.grad is not None]


def norm(module: nn.Module) -> float:
    return math.sqrt(math.fsum(float(g.double().square().sum()) for g in gradients(module)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("bound", [0.1, 1.0])
def test_by_norm_as_torch(scale: float, bound: float) -> None:
    ours = network(scale)
    theirs = copy.deepcopy(ours)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.grad = None if mine.grad is None else mine.grad.clone()
    before = norm(ours)
    found = clip_gradients(ours.parameters(), max_norm=bound)
    expected = nn.utils.clip_grad_norm_(theirs.parameters(), bound)
    assert found.before.shape == found.after.shape == ()
    assert found.before.dtype == torch.float64
    # Torch's has a rounding for each of the four tensors.
    assert float(found.before) == pytest.approx(float(expected), rel=4 * 2**-24)
    assert float(found.before) == pytest.approx(before, rel=1e-5)
    assert float(found.after) == pytest.approx(norm(ours), rel=1e-5)
    assert float(found.removed) == pytest.approx(1 - norm(ours) / before, abs=1e-5)
    for mine, other in zip(gradients(ours), gradients(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=8 * 2**-24, atol=0)
    assert norm(ours) == pytest.approx(min(before, bound), rel=1e-4)


@pytest.mark.parametrize("bound", [1e-3, 0.5, 1e6])
def test_by_value_as_torch_with_the_norm_before(bound: float) -> None:
    ours = network(1.0)
    before, expected = norm(ours), [g.clone().clamp(-bound, bound) for g in gradients(ours)]
    found = clip_gradients(iter(ours.parameters()), max_value=bound)
    assert float(found.before) == pytest.approx(before, rel=1e-5)
    assert float(found.after) == pytest.approx(norm(ours), rel=1e-5)
    for mine, other in zip(gradients(ours), expected, strict=True):
        assert torch.equal(mine, other)


def test_without_a_bound_only_the_norm_is_taken() -> None:
    ours = network(100.0)
    before = [g.clone() for g in gradients(ours)]
    found = clip_gradients(ours)
    assert float(found.before) == pytest.approx(norm(ours), rel=1e-5)
    assert torch.equal(found.before, found.after)
    assert float(found.removed) == 0
    for mine, other in zip(gradients(ours), before, strict=True):
        assert torch.equal(mine, other)


# --- by layer ---------------------------------------------------------------------------------------------------------


def recurrent() -> nn.Module:
    """A network with all that layers are told apart by, after a backward pass; float64."""
    torch.manual_seed(3)
    modules = nn.ModuleDict(
        {"read": nn.Embedding(5, 4), "rnn": nn.LSTM(4, 4, num_layers=2, bidirectional=True), "write": nn.Linear(4, 5)}
    ).double()
    modules["write"].weight = modules["read"].weight
    for number, parameter in enumerate(modules.parameters()):
        parameter.grad = torch.randn_like(parameter) * 10 ** (number % 3 - 1)
    return modules


@pytest.mark.parametrize("as_mapping", [True, False])
def test_by_layer(as_mapping: bool) -> None:
    ours, bound = recurrent(), 2.0
    layers = layers_of(ours)
    before = norm(ours)
    expected = {}
    for parameters in layers.values():
        whole = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        length = whole.square().sum().sqrt()
        for p in parameters:
            assert p.grad is not None
            expected[p] = p.grad * min(1.0, float(bound / length))
    found = clip_gradients(layers if as_mapping else ours, max_layer_norm=bound)
    assert float(found.before) == pytest.approx(before, rel=1e-12)
    assert float(found.after) == pytest.approx(norm(ours), rel=1e-12)
    assert len(expected) == len(list(ours.parameters()))
    for p, wanted in expected.items():
        # Torch adds 1e-6 to the norm that it divides by.
        torch.testing.assert_close(p.grad, wanted, rtol=1e-6, atol=0)
    lengths = [math.hypot(*(float(p.grad.norm()) for p in each if p.grad is not None)) for each in layers.values()]
    assert sum(length == pytest.approx(bound, rel=1e-6) for length in lengths) >= 2
    assert min(lengths) < bound * 0.99


# --- by unit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.01, 0.5, 20.0])
def test_by_unit_against_the_formula_unit_by_unit(ratio: float) -> None:
    torch.manual_seed(1)
    shapes = [(5, 3), (4, 2, 3, 3), (6,), (), (3, 2, 2), (5, 1)]
    parameters = [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in shapes]
    with torch.no_grad():
        parameters[0][2] = 0
        parameters[2].zero_()
    expected = []
    for p in parameters:
        p.grad = torch.randn_like(p)
        units = [(p, p.grad)] if p.dim() < 2 else list(zip(p, p.grad, strict=True))
        scaled = []
        for weights, gradient in units:
            least = max(float(weights.detach().norm()), 1e-3)
            length = float(gradient.norm())
            scaled.append(gradient * (ratio * least / length) if length / least > ratio else gradient.clone())
        expected.append(scaled[0] if p.dim() < 2 else torch.stack(scaled))
    found = clip_gradients(iter(parameters), max_ratio=ratio)
    for p, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=1e-12, atol=0)
    assert float(found.after) == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in expected)), rel=1e-12)
    assert 0 < float(found.removed) < 1


def test_exempt_parameters_are_not_clipped_but_count() -> None:
    ours = network(100.0)
    first, last = ours[0][0].weight, ours[0][1].weight  # type: ignore[index]
    before, kept = norm(ours), last.grad.clone()
    free = clip_gradients(copy.deepcopy(ours), max_ratio=0.01)
    found = clip_gradients(ours, max_ratio=0.01, exempt=[last])
    assert torch.equal(last.grad, kept)
    assert float(first.grad.norm()) < 0.011 * float(first.detach().norm())
    assert float(found.before) == pytest.approx(before, rel=1e-5)
    assert float(found.after) == pytest.approx(norm(ours), rel=1e-5)
    assert float(found.after) > float(free.after)


# --- what it is given -------------------------------------------------------------------------------------------------

BOUNDS = [{"max_norm": 0.1}, {"max_value": 0.1}, {"max_layer_norm": 0.1}, {"max_ratio": 0.01}, {}]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_gradients_that_are_not_finite_show_in_the_norm_and_stay(bad: float, bounds: dict[str, float]) -> None:
    ours = network(100.0)
    gradients(ours)[1][0] = bad
    kept = [g.clone() for g in gradients(ours)]
    found = clip_gradients(ours, **bounds)
    assert not math.isfinite(float(found.before))
    assert not math.isfinite(float(found.after))
    assert math.isnan(float(found.removed))
    for mine, other in zip(gradients(ours), kept, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_no_gradients_at_all(bounds: dict[str, float]) -> None:
    for found in (clip_gradients(nn.Linear(2, 2), **bounds), clip_gradients({}, **bounds)):
        assert (float(found.before), float(found.after), float(found.removed)) == (0, 0, 0)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_parameter_that_occurs_twice_counts_once(bounds: dict[str, float]) -> None:
    results: list[tuple[Clipping, list[torch.Tensor]]] = []
    for is_twice in (False, True):
        ours = recurrent()
        groups = {name: list(parameters) for name, parameters in layers_of(ours).items()}
        if is_twice:
            groups["again"] = [p for each in groups.values() for p in each]
            groups["rnn.l0"] = groups["rnn.l0"] * 2
        given = groups if "max_layer_norm" in bounds else [p for each in groups.values() for p in each]
        results.append((clip_gradients(given, **bounds), gradients(ours)))
    for one, other in zip(*(result[0] for result in results), strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-14)
    for mine, other in zip(*(result[1] for result in results), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-14, atol=0)


def test_a_single_parameter() -> None:
    parameter = nn.Parameter(torch.ones(2, 2))
    parameter.grad = torch.full((2, 2), 3.0)
    assert float(clip_gradients(parameter, max_norm=3.0).before) == 6
    torch.testing.assert_close(parameter.grad, torch.full((2, 2), 1.5))


def test_bounds_together_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^clip_gradients: max_norm and max_value are given together\. Give one of them\.$"
    ):
        clip_gradients([], max_norm=1.0, max_value=1.0)
    with pytest.raises(ValueError, match=r"^clip_gradients: max_norm, max_layer_norm and max_ratio are given tog"):
        clip_gradients([], max_norm=1.0, max_layer_norm=1.0, max_ratio=1.0)


@pytest.mark.parametrize("name", ["max_norm", "max_value", "max_layer_norm", "max_ratio"])
@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_a_bound_that_is_not_above_zero_is_refused(name: str, bound: float) -> None:
    with pytest.raises(ValueError, match=rf"^clip_gradients: {name} is {bound}, but must be above 0\."):
        clip_gradients([], **{name: bound})


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^clip_gradients: max_norm must be a number, but is str\.$"):
        clip_gradients([], max_norm="1")  # type: ignore[arg-type]


def test_layers_must_be_known_to_be_clipped() -> None:
    with pytest.raises(
        TypeError,
        match=r"^clip_gradients: max_layer_norm needs to know the layers, but parameters is list\. Give the network, "
        r"or what layers_of returns for it\.$",
    ):
        clip_gradients([], max_layer_norm=1.0)


def test_exempt_alone_is_refused() -> None:
    ours = network(1.0)
    with pytest.raises(
        ValueError,
        match=r"^clip_gradients: exempt is given, but only max_ratio exempts parameters\. Leave it out\.$",
    ):
        clip_gradients(ours, max_norm=1.0, exempt=ours.parameters())


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_sparse_gradient_is_refused(bounds: dict[str, float]) -> None:
    ours = nn.Embedding(5, 3, sparse=True)
    ours(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(
        ValueError,
        match=r"^clip_gradients: the gradient of a parameter of shape \(5, 3\) is sparse, but must be dense\. Make the "
        r"embedding with sparse=False\.$",
    ):
        clip_gradients(ours, **bounds)


# --- where squares leave the range ------------------------------------------------------------------------------------


def given(*values: list[float], dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.ones(len(each), 1, dtype=dtype)) for each in values]
    for parameter, each in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(each, dtype=dtype)[:, None]
    return parameters


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float32, 1e20),
        # The norm itself is above what the dtype holds.
        (torch.float32, 3e38),
        (torch.bfloat16, 1e20),
        (torch.float16, 6e4),
        (torch.float64, 1e200),
    ],
)
def test_a_finite_gradient_whose_squares_are_not(dtype: torch.dtype, size: float) -> None:
    eps = float(torch.finfo(dtype).eps)
    whole = math.sqrt(5) * float(torch.tensor(size, dtype=dtype))
    for bound in ({"max_norm": 1.0}, {"max_layer_norm": 1.0}):
        parameters = given([size, -size, size], [size, size], dtype=dtype)
        found = clip_gradients({"all": parameters}, **bound)
        assert float(found.before) == pytest.approx(whole, rel=1e-6)
        assert float(found.after) == pytest.approx(1.0, rel=1e-6)
        for parameter in parameters:
            sign = parameter.grad.sign()
            wanted = sign / math.sqrt(5)
            # A factor near the least number that there is has fewer digits.
            torch.testing.assert_close(parameter.grad, wanted, rtol=max(4 * eps, 1e-5), atol=0)
    parameters = given([size, -size, size], [size, size], dtype=dtype)
    found = clip_gradients(parameters, max_value=0.5)
    assert float(found.before) == pytest.approx(whole, rel=1e-6)
    assert float(found.after) == pytest.approx(0.5 * math.sqrt(5), rel=1e-6)
    # A unit's weights have the norm √2.
    parameter = nn.Parameter(torch.ones(2, 2, dtype=dtype))
    small = torch.tensor(1e-4, dtype=dtype)
    parameter.grad = torch.stack([torch.full((2,), size, dtype=dtype), small.expand(2)])
    clip_gradients([parameter], max_ratio=0.5)
    wanted = torch.full((2,), 0.5, dtype=dtype)
    torch.testing.assert_close(parameter.grad[0], wanted, rtol=max(4 * eps, 1e-5), atol=0)
    assert torch.equal(parameter.grad[1], small.expand(2))


def test_a_half_precision_gradient_is_not_lost_with_a_factor_too_small_for_it() -> None:
    parameter = nn.Parameter(torch.full((2, 100), 2.0**-5, dtype=torch.float16))
    parameter.grad = torch.full((2, 100), 6e4, dtype=torch.float16)
    clip_gradients([parameter], max_ratio=2.0**-12)
    # Each element has the share of its weight. The factor is 1.3e-10; half precision goes down to 6e-8.
    assert torch.equal(parameter.grad, torch.full((2, 100), 2.0**-17, dtype=torch.float16))


@pytest.mark.parametrize("bound", ["max_norm", "max_layer_norm", "max_ratio"])
def test_complex_gradients(bound: str) -> None:
    weights = [nn.Parameter(torch.ones(shape, dtype=torch.complex64)) for shape in ((2, 1), (1,))]
    weights[0].grad, weights[1].grad = torch.tensor([[3 + 4j], [0.1j]]), torch.tensor([12 - 5j])
    before = [weight.grad.clone() for weight in weights]
    found = clip_gradients({"all": weights}, **{bound: 1.0})
    whole = math.sqrt(25 + 0.01 + 169)
    assert float(found.before) == pytest.approx(whole, rel=1e-6)
    # By ratio each row is a unit, and the bias one.
    factors = [[1 / 5, 1.0], [1 / 13]] if bound == "max_ratio" else [[1 / whole] * 2, [1 / whole]]
    for weight, old, factor in zip(weights, before, factors, strict=True):
        wanted = old * torch.tensor(factor).view(old.shape)
        torch.testing.assert_close(weight.grad, wanted, rtol=1e-6, atol=0)


def test_a_gradient_that_is_all_but_gone_has_a_norm() -> None:
    found = clip_gradients(given([3e-30, 4e-30], [0.0]), max_norm=1.0)
    assert float(found.before) == float(found.after) == pytest.approx(5e-30, rel=1e-6)


@pytest.mark.parametrize("bound", ["max_norm", "max_value", "max_layer_norm", "max_ratio"])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_what_is_not_finite_is_seen_beside_what_is_huge(bound: str, bad: float) -> None:
    parameters = given([1e20, bad], [1e20])
    before = [p.grad.clone() for p in parameters]
    found = clip_gradients({"all": parameters}, **{bound: 1.0})
    assert not math.isfinite(float(found.before))
    for parameter, old in zip(parameters, before, strict=True):
        assert torch.equal(parameter.grad.nan_to_num(7.0), old.nan_to_num(7.0))
