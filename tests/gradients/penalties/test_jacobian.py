"""The penalty on Jacobians, against a Jacobian for every step and row."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils._pytree import tree_flatten, tree_unflatten

import recur.nn
from recur.gradients import jacobian_penalty

LENGTHS = [4, 2, 0, 3]


def features(kind: Any) -> int:
    return 3 if kind.input_size is None else int(kind.input_size)


def inputs(kind: Any, num_steps: int = 4, batch: int = 4) -> tuple[Tensor, Tensor]:
    """Inputs, (T, B, ...), and resets, (T, B)."""
    torch.manual_seed(1)
    x = torch.randn(num_steps, batch, features(kind), *kind.spatial, dtype=torch.float64)
    reset = torch.zeros(num_steps, batch, dtype=torch.bool)
    reset[1, 3] = reset[2, 0] = True
    return x, reset


def naive(layer: Any, x: Tensor, hx: Any, lengths: list[int], reset: Tensor | None, along: dict[str, Tensor]) -> Tensor:
    """Step by step and row by row: the layer over one step, its whole Jacobian, its product with v."""
    names = layer._state_names
    moving = [k for k, name in enumerate(names) if name not in layer._fixed_states]
    terms = []
    for row, end in enumerate(lengths):
        state = None
        for step in range(end):
            if reset is not None and bool(reset[step, row]):
                state = None
            elif step == 0 and hx is not None:
                state = tree_unflatten([leaf[:, row : row + 1] for leaf in tree_flatten(hx)[0]], tree_flatten(hx)[1])
            x_t = x[step : step + 1, row : row + 1]
            if state is None:
                state = layer(x_t)[1]
                state = tree_unflatten([leaf.detach() for leaf in tree_flatten(state)[0]], tree_flatten(state)[1])
                continue
            leaves, spec = tree_flatten(state)

            def new(
                *parts: Tensor, leaves: Any = tuple(leaves), spec: Any = spec, x_t: Tensor = x_t
            ) -> tuple[Tensor, ...]:
                given = list(leaves)
                for k, part in zip(moving, parts, strict=True):
                    given[k] = part
                found = tree_flatten(layer(x_t, tree_unflatten(given, spec))[1])[0]
                return tuple(found[k] for k in moving)

            old = tuple(leaves[k].detach() for k in moving)
            blocks = torch.autograd.functional.jacobian(new, old, create_graph=True)
            v = [along[names[k]][step, row].flatten() for k in moving]
            passed = []
            for column, part in enumerate(old):
                products = [v[i] @ blocks[i][column].reshape(-1, part.numel()) for i in range(len(old))]
                passed.append(torch.stack(products).sum(0))
            ratio = torch.cat(passed).norm() / torch.cat(v).norm()
            terms.append((ratio - 1) ** 2)
            after = tree_flatten(layer(x_t, state)[1])[0]
            state = tree_unflatten([leaf.detach() for leaf in after], spec)
    return torch.stack(terms).mean()


def directions(layer: Any, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(2)
    values = layer(x, return_all=True).steps[0].values
    moving = [name for name in layer._state_names if name not in layer._fixed_states]
    return {name: torch.randn_like(values[name]) for name in moving}


def compare(layer: Any, found: Tensor, expected: Tensor) -> None:
    """Compare the penalties and their gradients by every weight."""
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert float(found.detach()) > 0
    weights = [p for p in layer.parameters() if p.requires_grad]
    mine, other = (torch.autograd.grad(value, weights, allow_unused=True) for value in (found, expected))
    assert any(g is not None and bool((g.abs() > 1e-6).any()) for g in other)
    for weight, a, b in zip(weights, mine, other, strict=True):
        zeros = torch.zeros_like(weight)
        torch.testing.assert_close(zeros if a is None else a, zeros if b is None else b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "carried on, lengths and resets"])
def test_each_kind_of_layer(kind: Any, is_plain: bool) -> None:
    layer = kind.make(features(kind), 4).eval()
    x, reset = inputs(kind)
    along = directions(layer, x)
    if is_plain:
        found = jacobian_penalty(layer, x, along=along)
        expected = naive(layer, x, None, [4] * 4, None, along)
    else:
        hx = layer(x.flip(0))[1]
        found = jacobian_penalty(layer, x, hx, along=along, lengths=LENGTHS, reset=reset)
        expected = naive(layer, x, hx, LENGTHS, reset, along)
    compare(layer, found, expected)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: nn.RNN(3, 4, **more),
        lambda **more: nn.RNN(3, 4, nonlinearity="relu", **more),
        lambda **more: nn.GRU(3, 4, **more),
        lambda **more: nn.LSTM(3, 4, **more),
        lambda **more: nn.LSTM(3, 4, proj_size=2, **more),
    ],
)
def test_torchs_layers_stay_what_they_are(make: Any, batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = make(dtype=torch.float64, batch_first=batch_first)
    kind, names = type(layer), set(layer.__dict__)
    parametrizations.weight_norm(layer, "weight_hh_l0")
    # The naive one calls it time first, step by step.
    own = make(dtype=torch.float64)
    parametrizations.weight_norm(own, "weight_hh_l0")
    own.load_state_dict(layer.state_dict())
    own._state_names, own._fixed_states = (("h", "c") if isinstance(own, nn.LSTM) else ("h",)), ()
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    sizes = {"h": layer.proj_size or 4, "c": 4}
    along = {name: torch.randn(4, 4, sizes[name], dtype=torch.float64) for name in own._state_names}
    expected = naive(own, x, None, LENGTHS, None, along)
    turned = {name: value.transpose(0, 1) for name, value in along.items()} if batch_first else along
    found = jacobian_penalty(layer, x.transpose(0, 1) if batch_first else x, along=turned, lengths=LENGTHS)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    wanted = torch.autograd.grad(expected, list(own.parameters()), allow_unused=True)
    mine = torch.autograd.grad(found, list(layer.parameters()), allow_unused=True)
    for a, b in zip(mine, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)
    assert isinstance(layer, kind)
    assert names <= set(layer.__dict__)
    assert not isinstance(layer, recur.nn.RecurrentLayer)


@pytest.mark.parametrize("has_state", [False, True])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RHN"])
def test_one_layer_of_a_stack(name: str, number: int, has_state: bool) -> None:
    torch.manual_seed(0)
    make = getattr(recur.nn, name)
    stack = make(3, 4, num_layers=2, dtype=torch.float64)
    single = make(4 if number else 3, 4, dtype=torch.float64)
    inside = f"cells.{number}." if name == "RHN" else ""
    with torch.no_grad():
        for key, parameter in single.named_parameters():
            full = key.replace("cells.0.", inside) if inside else key.replace("_l0", f"_l{number}")
            parameter.copy_(stack.get_parameter(full))
    x = torch.randn(4, 4, 4 if number else 3, dtype=torch.float64)
    hx, alone = None, None
    if has_state:
        hx = stack(torch.randn(4, 4, 3, dtype=torch.float64))[1]
        alone = tuple(part[number : number + 1] for part in hx) if name == "LSTM" else hx[number : number + 1]
    along = directions(single, x)
    found = jacobian_penalty(stack, x, hx, along=along, number=number)
    expected = naive(single, x, alone, [4] * 4, None, along)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    found.backward()
    for key, parameter in stack.named_parameters():
        is_own = key.startswith(inside) if inside else f"_l{number}" in key
        assert (parameter.grad is not None and bool(parameter.grad.any())) == is_own, key


def test_given_states_are_the_ones_that_count() -> None:
    layer = recur.nn.LSTM(3, 4, dtype=torch.float64, batch_first=True)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    along = directions(layer, x)
    values = layer(x, return_all=True).steps[0].values
    computed = jacobian_penalty(layer, x, along=along)
    torch.testing.assert_close(jacobian_penalty(layer, x, along=along, states=values), computed, rtol=1e-13, atol=0)
    other = {name: value + 0.5 for name, value in values.items()}
    assert abs(float((jacobian_penalty(layer, x, along=along, states=other) - computed).detach())) > 1e-3


def test_one_sequence_a_list_and_a_packed_sequence() -> None:
    layer = recur.nn.GRU(3, 4, dtype=torch.float64)
    x = torch.randn(5, 3, 3, dtype=torch.float64)
    along = {"h": torch.randn(5, 3, 4, dtype=torch.float64)}
    whole = jacobian_penalty(layer, x, along=along, lengths=[5, 3, 1])
    rows = [x[:n, k] for k, n in enumerate([5, 3, 1])]
    for form in (rows, nn.utils.rnn.pack_sequence(rows)):
        torch.testing.assert_close(jacobian_penalty(layer, form, along=along), whole, rtol=1e-13, atol=0)
    single = jacobian_penalty(layer, x[:, 0], along={"h": along["h"][:, 0]})
    other = jacobian_penalty(layer, x[:, :1], along={"h": along["h"][:, :1]})
    torch.testing.assert_close(single, other, rtol=1e-13, atol=0)


def test_random_directions() -> None:
    torch.manual_seed(0)
    # Of an orthogonal matrix times 0.7 every direction keeps 0.7 of its length, whatever it is.
    layer = recur.nn.RNN(3, 6, nonlinearity="relu", bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(0.7 * torch.eye(6, dtype=torch.float64).roll(1, 0))
        layer.weight_ih_l0.fill_(1.0)
    x = torch.ones(5, 2, 3, dtype=torch.float64)
    assert float(jacobian_penalty(layer, x).detach()) == pytest.approx(0.09, rel=1e-10)
    layer = recur.nn.RNN(3, 6, dtype=torch.float64)

    def drawn(seed: int) -> float:
        return float(jacobian_penalty(layer, x, generator=torch.Generator().manual_seed(seed)).detach())

    assert drawn(0) == drawn(0) != drawn(1)
    state = torch.get_rng_state()
    drawn(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert float(jacobian_penalty(layer, x).detach()) != float(jacobian_penalty(layer, x).detach())


def test_gradcheck() -> None:
    torch.manual_seed(0)
    layer = recur.nn.LSTM(2, 3, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64)
    values = {name: value.detach() for name, value in layer(x, return_all=True).steps[0].values.items()}
    along = directions(layer, x)
    names = [name for name, _ in layer.named_parameters()]

    def penalty(*weights: Tensor) -> Tensor:
        given = nn.Module()
        given.inner = layer

        def call(inner: Any) -> Tensor:
            return jacobian_penalty(inner, x, states=values, along=along)

        given.forward = lambda: call(given.inner)  # type: ignore[assignment]
        named = {f"inner.{name}": weight for name, weight in zip(names, weights, strict=True)}
        found: Tensor = torch.func.functional_call(given, named, ())
        return found

    # Moved a little for finite differences, the weights leave the states as they are: these are constants.
    assert torch.autograd.gradcheck(penalty, tuple(p.detach().requires_grad_() for p in layer.parameters()))


def test_noise_is_off_and_the_modes_come_back() -> None:
    layer = recur.nn.LSTM(
        3, 4, zoneout=0.3, recurrent_dropout=0.5, weight_dropout=0.5, dtype=torch.float64, initial_state="learned"
    )
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    along = directions(layer, x)
    layer.train()
    state = torch.get_rng_state()
    in_training = jacobian_penalty(layer, x, along=along)
    assert layer.training
    assert torch.equal(torch.get_rng_state(), state)
    layer.eval()
    torch.testing.assert_close(in_training, jacobian_penalty(layer, x, along=along), rtol=0, atol=0)
    assert not layer.training
    # The kernels have second derivatives only by way of the reference, cuDNN has none.
    kernels = recur.nn.GRU(3, 4, dtype=torch.float64, backend="cpu")
    jacobian_penalty(kernels, x).backward()
    assert kernels.backend == "cpu"
    cells = recur.nn.Recurrent(lambda size: nn.GRUCell(size, 4), 3).double()
    cells.cells.eval()
    jacobian_penalty(cells, x)
    assert cells.training
    assert not cells.cells[0].training


def test_only_the_layers_weights_get_a_gradient() -> None:
    embedding, layer = nn.Linear(2, 3).double(), recur.nn.GRU(3, 4, dtype=torch.float64, initial_state="learned")
    hx = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    penalty = jacobian_penalty(layer, embedding(torch.randn(4, 2, 2, dtype=torch.float64)), hx)
    penalty.backward()
    assert all(p.grad is None for p in embedding.parameters())
    assert hx.grad is None
    assert layer.h_0.grad is None
    assert layer.weight_hh_l0.grad is not None


def test_without_gradients_it_can_be_watched() -> None:
    layer = recur.nn.GRU(3, 4)
    x = torch.randn(5, 2, 3)
    along = {"h": torch.randn(5, 2, 4)}
    with torch.no_grad():
        found = jacobian_penalty(layer, x, along=along)
    assert not found.requires_grad
    torch.testing.assert_close(found, jacobian_penalty(layer, x, along=along).detach(), rtol=1e-6, atol=0)


def test_steps_with_nothing_to_pass_on_do_not_count() -> None:
    layer = recur.nn.GRU(3, 4, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert float(jacobian_penalty(layer, x[:1])) == 0
    assert float(jacobian_penalty(layer, x, lengths=[1, 0])) == 0
    assert float(jacobian_penalty(layer, x, reset=torch.ones(4, 2, dtype=torch.bool))) == 0
    along = {"h": torch.randn(4, 2, 4, dtype=torch.float64)}
    along["h"][2:, 1] = 0
    found = jacobian_penalty(layer, x, along=along)
    torch.testing.assert_close(found, jacobian_penalty(layer, x, along=along, lengths=[4, 2]), rtol=1e-13, atol=0)
    assert float(jacobian_penalty(layer, x, along={"h": torch.zeros(4, 2, 4, dtype=torch.float64)})) == 0


def test_padding_may_be_anything() -> None:
    layer = recur.nn.LSTM(3, 4, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    along = directions(layer, x)
    clean = jacobian_penalty(layer, x, along=along, lengths=[4, 2])
    x[2:, 1] = torch.nan
    found = jacobian_penalty(layer, x, along=along, lengths=[4, 2])
    torch.testing.assert_close(found, clean, rtol=0, atol=0)
    found.backward()
    assert bool(torch.isfinite(layer.weight_hh_l0.grad).all())


class Own(nn.GRU):
    """A subclass, which may compute something else."""


REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (nn.Linear(3, 4), {}, TypeError, r"layer must be a recurrent layer of recur\.nn or torch\.nn, but is Linear\."),
    (Own(3, 4), {}, TypeError, r"layer must be a recurrent layer of recur\.nn or torch\.nn, but is Own\."),
    (nn.GRU(3, 4, bidirectional=True), {}, ValueError, r"GRU has two directions\. Give a layer of one\."),
    (recur.nn.GRU(3, 4, dilation=2), {}, ValueError, r"GRU has a dilation of 2\. Give a layer without\."),
    (nn.GRU(3, 4), {"number": 1}, ValueError, r"there is no layer 1; num_layers is 1\."),
    (nn.GRU(3, 4), {"number": -1}, ValueError, r"there is no layer -1; num_layers is 1\."),
    (
        nn.GRU(3, 4, num_layers=2),
        {"number": 1},
        ValueError,
        r"x has 3 features, but layer 1 takes 4\. Give the input of that layer\.",
    ),
    (
        recur.nn.GRU(3, 4, initial_state="context", context_size=2),
        {},
        ValueError,
        r"the initial state of GRU comes from a context\. Give hx, and no reset, or states\.",
    ),
    (nn.LSTM(3, 4), {"states": []}, TypeError, r"states must be a mapping from h, c, but is list\."),
    (nn.LSTM(3, 4), {"along": {"h": 1.0}}, TypeError, r"along\['h'\] must be a torch\.Tensor, but is float\."),
    (
        nn.LSTM(3, 4),
        {"along": {"h": torch.randn(5, 2, 4)}},
        ValueError,
        r"along has no 'c', only h\. Give h, c\.",
    ),
    (
        nn.GRU(3, 4),
        {"states": {"h": torch.randn(2, 5, 4)}},
        ValueError,
        r"states\['h'\] must have shape \(T, B, H\) = \(5, 2, 4\), but has \(2, 5, 4\)\.",
    ),
    (nn.GRU(3, 4), {"lengths": [1]}, ValueError, r"lengths must have shape \(2,\), one for each row, but has \(1,\)\."),
]


@pytest.mark.parametrize(("layer", "given", "error", "message"), REFUSED)
def test_refusals(layer: Any, given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^jacobian_penalty: {message}$"):
        jacobian_penalty(layer, torch.randn(5, 2, 3), **given)
