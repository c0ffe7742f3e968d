"""Segments that are computed again: outputs, states and gradients are those of the plain layer."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import tree_leaves

from recur.gradients import Checkpointed
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.nn import GRU, LSTM, CfC

T, B, SIZES = 11, 3, (3, 5)
Named = dict[str, Tensor]


def case_of(make_case: Any, compare: Any, kind: Any, **changes: Any) -> Any:
    settings = {"num_steps": T, "lengths": None, "resets": 0.0, "is_given": False, "batch": B} | changes
    options = settings.pop("options", {})
    sizes = (kind.input_size or SIZES[0], SIZES[1])
    return make_case(kind, sizes, options, compare, **settings)


def outcome(module: Any, case: Any) -> Named:
    keywords: dict[str, Any] = dict(case.timed)
    for name in ("lengths", "reset", "context"):
        if getattr(case, name) is not None:
            keywords[name] = getattr(case, name)
    output, state = module(case.x, case.hx, **keywords)
    return {"output": output} | {f"state{k}": leaf for k, leaf in enumerate(tree_leaves(state))}


def gradients(values: Named, leaves: Named) -> Named:
    """Gradients under random weights on every value."""
    generator = torch.Generator().manual_seed(1)
    smooth = [value for value in values.values() if value.requires_grad]
    weights = [torch.randn(value.shape, generator=generator, dtype=value.dtype) for value in smooth]
    found = torch.autograd.grad(smooth, list(leaves.values()), weights, allow_unused=True, retain_graph=True)
    return {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(leaves.items(), found, strict=True)}


def same(case: Any, got: Named, want: Named) -> None:
    """Compare values, and gradients of all of them, of the output alone, and of the final state alone."""
    case.compare(got, want)
    for chosen in (("output", "state"), ("output",), ("state",)):
        ours, theirs = ({n: v for n, v in each.items() if n.startswith(chosen)} for each in (got, want))
        case.compare(gradients(ours, case.leaves()), gradients(theirs, case.leaves()))


@pytest.mark.parametrize(("length", "slots"), [(4, None), (2, 2), (3, 1)])
def test_every_layer(
    kind: Any, make_case: Any, compare: Any, checkpointed: Any, length: int, slots: int | None
) -> None:
    case = case_of(make_case, compare, kind)
    same(case, outcome(checkpointed(case.layer, length, slots), case), outcome(case.layer, case))


@pytest.mark.parametrize(("length", "slots", "is_given"), [(4, None, False), (2, 2, True)])
def test_every_layer_with_lengths_and_resets(
    kind: Any, make_case: Any, compare: Any, checkpointed: Any, length: int, slots: int | None, is_given: bool
) -> None:
    options = {"initial_state": "learned", "num_layers": 2}
    case = case_of(make_case, compare, kind, lengths=[T, 0, 6], resets=0.3, is_given=is_given, options=options)
    same(case, outcome(checkpointed(case.layer, length, slots), case), outcome(case.layer, case))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_back_ends(make_case: Any, compare: Any, checkpointed: Any, kinds: Any, backend: str) -> None:
    for label in ("LSTM_all", "GRU"):
        case = case_of(make_case, compare, kinds[label], options={"backend": backend, "gradient_clip": 0.1})
        assert case.layer.explain(case.x).backend == backend
        same(case, outcome(checkpointed(case.layer, 3, 2), case), outcome(case.layer, case))


@pytest.mark.parametrize("length", [1, 2, 11, 12, 100])
@pytest.mark.parametrize("num_steps", [1, 2, 11])
def test_any_number_of_steps(
    make_case: Any, compare: Any, checkpointed: Any, kinds: Any, length: int, num_steps: int
) -> None:
    case = case_of(make_case, compare, kinds["LSTM"], num_steps=num_steps, is_given=True)
    same(case, outcome(checkpointed(case.layer, length), case), outcome(case.layer, case))


def test_a_computed_initial_state(make_case: Any, compare: Any, checkpointed: Any, kinds: Any) -> None:
    options = {"initial_state": "context", "context_size": 2}
    case = case_of(make_case, compare, kinds["GRU"], resets=0.3, options=options)
    same(case, outcome(checkpointed(case.layer, 3, 1), case), outcome(case.layer, case))


def test_a_dilated_layer_with_states_of_several_shapes(
    make_case: Any, compare: Any, checkpointed: Any, kinds: Any
) -> None:
    options = {"num_layers": 2, "dilation": [1, 3], "skip": "dense"}
    case = case_of(make_case, compare, kinds["LSTM"], is_given=True, options=options)
    same(case, outcome(checkpointed(case.layer, 4), case), outcome(case.layer, case))


def test_gradients_of_what_goes_beside_x() -> None:
    layer = CfC(3, 5, backbone_size=4, dtype=torch.float64)
    x, times = torch.randn(T, B, 3, dtype=torch.float64), torch.rand(T, B, dtype=torch.float64).cumsum(0)
    found = []
    for module in (layer, Checkpointed(layer, checkpoint_every=3)):
        stamps = times.clone().requires_grad_()
        output, _ = module(x, times=stamps)
        found.append(torch.autograd.grad((output * torch.arange(5)).sum(), stamps)[0])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-10)


# --- layers of others, networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_torchs_layers(run: Any, agree: Any, checkpointed: Any, name: str, batch_first: bool) -> None:
    layer = getattr(nn, name)(3, 5, 2, batch_first=batch_first, dtype=torch.float64)
    x = torch.randn((B, T, 3) if batch_first else (T, B, 3), dtype=torch.float64)
    for schedule in ((4, None), (2, 2)):
        got = run(checkpointed(layer, *schedule), x)
        # The list of its weights, which torch's layers keep, is the old one again.
        assert all(a is b for a, b in zip(layer._flat_weights, layer.parameters(), strict=True))
        agree(got, run(layer, x))


def test_one_sequence_without_a_batch(run: Any, agree: Any) -> None:
    layer = LSTM(3, 5, batch_first=True, dtype=torch.float64)
    x = torch.randn(T, 3, dtype=torch.float64)
    agree(run(Checkpointed(layer, checkpoint_every=3), x, lengths=[7]), run(layer, x, lengths=[7]))


@pytest.mark.parametrize("tied", [False, True])
def test_a_language_model(run: Any, agree: Any, checkpointed: Any, tied: bool) -> None:
    options = LanguageModelOptions(
        cell="lstm", num_layers=2, hidden_size=6, embedding_size=6, dropout=0.0, tied=tied, initial_state="learned"
    )
    model = LanguageModel(10, options).double()
    x = torch.randint(10, (B, T))
    reset = torch.rand(B, T) < 0.2
    keywords = {"lengths": torch.tensor([T, 2, 0]), "reset": reset}
    for schedule in ((4, None), (2, 1)):
        agree(run(checkpointed(model, *schedule), x, **keywords), run(model, x, **keywords))
    state = tuple((h.detach(), c.detach()) for h, c in model(x)[1])
    agree(run(checkpointed(model, 4), x, state), run(model, x, state=state))


def test_a_state_by_the_layers_name_for_it(run: Any, agree: Any) -> None:
    layer = GRU(3, 5, dtype=torch.float64)
    x, h = torch.randn(T, B, 3, dtype=torch.float64), torch.randn(1, B, 5, dtype=torch.float64)
    little = Checkpointed(layer, checkpoint_every=3)
    agree(run(little, x, hx=h), run(layer, x, hx=h))
    with pytest.raises(TypeError, match=r"^Checkpointed: state and hx are the same; give one of them\.$"):
        little(x, h, hx=h)


def test_a_network_of_ones_own_with_buffers_and_whole_numbers(
    run: Any, agree: Any, loop: Any, checkpointed: Any
) -> None:
    x = torch.randn(B, T, 4, dtype=torch.float64)
    plain, little = loop, copy.deepcopy(loop)
    want, got = run(plain, x), run(checkpointed(little, 2, 2), x)
    agree(got, want)
    assert got[2].dtype == torch.int64
    # Running averages are those of the forward pass alone.
    for (name, one), (_, other) in zip(plain.named_buffers(), little.named_buffers(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12), name


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, r"give checkpoint_every or memory, one of them; neither is given\."),
        ({"checkpoint_every": 2, "memory": 1.0}, ValueError, r"one of them; both are given\."),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every is 0, but must be at least 1"),
        ({"checkpoint_every": 2.0}, TypeError, "checkpoint_every must be an int, but is float"),
        ({"memory": "1"}, TypeError, "memory must be a number of MiB, but is str"),
        ({"memory": 0}, ValueError, "memory is 0 MiB, but must be above 0 and finite"),
        ({"memory": float("inf")}, ValueError, "memory is inf MiB, but must be above 0 and finite"),
        ({"checkpoint_every": 2, "batch_first": 1}, TypeError, "batch_first must be a bool or None, but is int"),
        (
            {"checkpoint_every": 2, "batch_first": True},
            ValueError,
            "batch_first is True, but GRU has",
        ),
        ({"checkpoint_every": 2, "timed": "reset"}, TypeError, "timed must be a tuple of names, but is 'reset'"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"^Checkpointed: .*{text}"):
        Checkpointed(GRU(3, 5), **options)


def test_layers_that_cannot_be_cut() -> None:
    with pytest.raises(TypeError, match=r"^Checkpointed: layer must be a module, but is builtin_function_or_method\.$"):
        Checkpointed(torch.tanh, checkpoint_every=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Checkpointed: LSTM reads in both directions.*with recompute=k\.$"):
        Checkpointed(LSTM(3, 5, bidirectional=True), checkpoint_every=2)
    with pytest.raises(ValueError, match=r"^Checkpointed: GRU has recompute=4 and computes its steps again itself"):
        Checkpointed(nn.Sequential(GRU(3, 5, recompute=4)), checkpoint_every=2)
    layer = GRU(3, 5)
    little = Checkpointed(layer, checkpoint_every=2)
    with pytest.raises(ValueError, match=r"^Checkpointed: the layer has a Checkpointed within"):
        Checkpointed(nn.Sequential(little), checkpoint_every=2)
    layer.recompute = 3
    with pytest.raises(ValueError, match="GRU has recompute=3"):
        little(torch.randn(T, B, 3))


def test_bad_inputs() -> None:
    little = Checkpointed(GRU(3, 5), checkpoint_every=2)
    x = torch.randn(T, B, 3)
    packed = pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    with pytest.raises(TypeError, match=r"x must be one tensor, but is PackedSequence\. Pad the sequences and give"):
        little(packed)
    with pytest.raises(TypeError, match=r"x must be one tensor, but is list\. Pad the sequences"):
        little([torch.randn(4, 3)])
    with pytest.raises(TypeError, match=r"x must be one tensor, but is int\.$"):
        little(3)
    with pytest.raises(ValueError, match=r"x must have steps in dimension 0, but has shape \(0, 3, 3\)"):
        little(x[:0])
    with pytest.raises(ValueError, match="lengths"):
        little(x, lengths=[T + 1, 1, 1])
    with pytest.raises(ValueError, match=r"reset must have 11 steps in dimension 0, as x, but has shape \(12, 3\)"):
        little(x, reset=torch.zeros(T + 1, B, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"^Checkpointed: return_all keeps every state"):
        little(x, return_all=True)
    with pytest.raises(ValueError, match=r"^GRU: x has 4 features"):
        little(torch.randn(T, B, 4))


def test_networks_that_return_something_else() -> None:
    class Wrong(nn.Module):
        def __init__(self, answer: Callable[[Tensor], Any]) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))
            self.answer = answer

        def forward(self, x: Tensor, state: Any = None) -> Any:
            return self.answer(x * self.weight)

    def ask(answer: Callable[[Tensor], Any]) -> None:
        Checkpointed(Wrong(answer), checkpoint_every=2)(torch.randn(B, T, 4))

    with pytest.raises(TypeError, match=r"^Checkpointed: Wrong must return \(output, state\), but returned Tensor\."):
        ask(lambda x: x)
    with pytest.raises(TypeError, match=r"a state must be made of tensors, but state\.1 is int\.$"):
        ask(lambda x: (x, (x[:, 0], 3)))
    with pytest.raises(
        ValueError, match=r"Wrong was given 2 steps in dimension 1, but its output has shape \(3, 4\)\."
    ):
        ask(lambda x: (x[:, -1], x[:, 0]))


class Normed(nn.Module):
    """Batch normalisation of what a layer puts out, of all steps together or of each by itself."""

    batch_first = False

    def __init__(self, *, is_by_step: bool, is_by_name: bool = False) -> None:
        super().__init__()
        self.rnn, self.norm = GRU(4, 5, dtype=torch.float64), nn.BatchNorm1d(5, dtype=torch.float64)
        self.is_by_step, self.is_by_name = is_by_step, is_by_name

    def normed(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(input=x) if self.is_by_name else self.norm(x)
        return found

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        output, state = self.rnn(x, state)
        if self.is_by_step:
            return torch.stack([self.normed(step) for step in output]), state
        return self.normed(output.flatten(0, 1)).view_as(output), state


@pytest.mark.parametrize("is_by_name", [False, True])
def test_statistics_over_all_steps(is_by_name: bool, run: Any, agree: Any) -> None:
    message = (
        "Checkpointed: norm is a BatchNorm1d in training, whose statistics are taken over all steps at once, so that "
        "those of a segment would be others. Call eval() on it, put it into a cell, which sees one step, or take a "
        "LayerNorm."
    )
    x = torch.randn(T, B, 4, dtype=torch.float64)
    network = Normed(is_by_step=False, is_by_name=is_by_name)
    little = Checkpointed(network, checkpoint_every=2)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            little(x)
    # With a row, two steps are the least that has statistics; also where there are no more.
    for steps, every in ((T, 2), (2, 1)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            Checkpointed(network, checkpoint_every=every)(x[:steps, :1])
    assert int(network.norm.num_batches_tracked) == 0
    little.eval()
    agree(run(little, x), run(network, x))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        little.train()(x)
    network = Normed(is_by_step=True, is_by_name=is_by_name)
    with pytest.raises(ValueError, match=r"^Expected more than 1 value per channel"):
        Checkpointed(network, checkpoint_every=1)(x[:2, :1])
    agree(run(Checkpointed(network, checkpoint_every=2), x), run(network, x))


def test_a_gradient_that_would_be_lost() -> None:
    elsewhere = torch.ones(4, requires_grad=True)

    class Leaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = GRU(4, 4, batch_first=True)

        def forward(self, x: Tensor, state: Any = None, scale: Tensor = elsewhere) -> tuple[Tensor, Any]:
            return self.gru(x * scale, state)

    little = Checkpointed(Leaking(), checkpoint_every=2)
    x = torch.randn(B, T, 4)
    with pytest.raises(ValueError, match=r"^Checkpointed: Leaking uses a tensor of shape \(4,\) that requires"):
        little(x)
    # Given by keyword it has its gradient, summed over the segments.
    little(x, scale=elsewhere)[0].square().sum().backward()
    assert elsewhere.grad is not None
    got = elsewhere.grad.clone()
    elsewhere.grad = None
    little.layer(x, scale=elsewhere)[0].square().sum().backward()
    torch.testing.assert_close(got, elsewhere.grad)
