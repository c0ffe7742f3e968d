"""The language model against numbers computed by hand, and the contract of its state."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recur.errors import OptionError
from recur.gradients.truncation.history import detached
from recur.models.language import LanguageModel, State
from recur.models.options import LanguageModelOptions

CELLS = ("rnn", "gru", "lstm", "indrnn", "mgu", "ligru")


def build(vocabulary: int = 7, **options: Any) -> LanguageModel:
    torch.manual_seed(1)
    chosen: dict[str, Any] = {"cell": "lstm", "num_layers": 2, "hidden_size": 5, "embedding_size": 5, "dropout": 0.0}
    return LanguageModel(vocabulary, LanguageModelOptions(**(chosen | options))).double()


def tokens(batch: int = 3, steps: int = 6, vocabulary: int = 7) -> Tensor:
    return torch.randint(vocabulary, (batch, steps), generator=torch.Generator().manual_seed(2))


def flat(state: State) -> list[Tensor]:
    return [part for layer in state for part in ([layer] if isinstance(layer, Tensor) else layer)]


def assert_same(a: Tensor, b: Tensor) -> None:
    # Doubles of order one through a dozen steps of sums of at most 20 terms.
    torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


VARIANTS = [
    {"cell": cell, "residual": residual, "tied": tied, "initial_state": initial}
    for cell, (residual, tied), initial in itertools.product(
        CELLS, [(False, False), (True, False), (False, True), (True, True)], ["zeros", "learned"]
    )
]


# --- values -----------------------------------------------------------------------------------------------------------


def numpy_forward(model: LanguageModel, x: list[int]) -> np.ndarray[Any, Any]:
    """Run one row through the model, gate by gate, and return the logits (T, V)."""
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    options = model.options
    assert options.num_layers is not None

    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    size = options.hidden_size
    assert size is not None
    h = [weights.get(f"layers.{n}.h_0", np.zeros((1, size)))[0] for n in range(options.num_layers)]
    c = [weights.get(f"layers.{n}.c_0", np.zeros((1, size)))[0] for n in range(options.num_layers)]
    logits = []
    for token in x:
        a = weights["embedding.weight"][token]
        for n in range(options.num_layers):
            w = {key: weights[f"layers.{n}.{key}_l0"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            if options.cell == "indrnn":
                w["weight_hh"] = np.diag(w["weight_hh"])
            gi, gh = w["weight_ih"] @ a + w["bias_ih"], w["weight_hh"] @ h[n] + w["bias_hh"]
            if options.cell == "rnn":
                h[n] = np.tanh(gi + gh)
            elif options.cell == "gru":
                (ir, iz, i_n), (hr, hz, hn) = np.split(gi, 3), np.split(gh, 3)
                r, z = sigmoid(ir + hr), sigmoid(iz + hz)
                h[n] = (1 - z) * np.tanh(i_n + r * hn) + z * h[n]
            elif options.cell == "indrnn":
                h[n] = np.maximum(gi + gh, 0)
            elif options.cell == "mgu":
                (i_f, i_n), (h_f, _) = np.split(gi, 2), np.split(gh, 2)
                f = sigmoid(i_f + h_f)
                recurrent = w["weight_hh"][size:] @ (f * h[n]) + w["bias_hh"][size:]
                h[n] = (1 - f) * h[n] + f * np.tanh(i_n + recurrent)
            elif options.cell == "ligru":
                z, candidate = np.split(gi + gh, 2)
                z = sigmoid(z)
                h[n] = z * h[n] + (1 - z) * np.maximum(candidate, 0)
            else:
                i, f, g, o = np.split(gi + gh, 4)
                c[n] = sigmoid(f) * c[n] + sigmoid(i) * np.tanh(g)
                h[n] = sigmoid(o) * np.tanh(c[n])
            a = h[n] + a if options.residual and n > 0 else h[n]
        logits.append(weights["output.weight"] @ a + weights["output.bias"])
    return np.stack(logits)


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_agrees_with_numpy(options: dict[str, Any]) -> None:
    model = build(num_layers=3, **options)
    if options["initial_state"] == "learned":
        with torch.no_grad():
            for layer in model.layers:
                for name, value in layer.named_parameters():
                    if name.endswith("_0"):
                        nn.init.normal_(value)
    x = tokens()
    logits, _ = model(x)
    for row in range(len(x)):
        assert_same(logits[row], torch.from_numpy(numpy_forward(model, x[row].tolist())))


def test_one_unit_by_hand() -> None:
    model = build(2, cell="rnn", num_layers=1, hidden_size=1, embedding_size=1)
    values = {
        "embedding.weight": [[0.5], [-1.0]],
        "layers.0.weight_ih_l0": [[2.0]],
        "layers.0.weight_hh_l0": [[0.25]],
        "layers.0.bias_ih_l0": [0.1],
        "layers.0.bias_hh_l0": [-0.3],
        "output.weight": [[1.0], [-3.0]],
        "output.bias": [0.0, 0.5],
    }
    model.load_state_dict({name: torch.tensor(value).double() for name, value in values.items()})
    logits, (h,) = model(torch.tensor([[0, 1]]))
    first = np.tanh(2 * 0.5 + 0.1 - 0.3)
    second = np.tanh(2 * -1.0 + 0.25 * first + 0.1 - 0.3)
    expected = [[first, 0.5 - 3 * first], [second, 0.5 - 3 * second]]
    # The constants 0.1 and 0.3 are first rounded to float32.
    np.testing.assert_allclose(logits[0].detach().numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(h.detach().numpy(), [[[second]]], atol=1e-7)


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(str(v) for v in o.values()))
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (2, 1), (1, 9), (4, 3)])
def test_shapes(options: dict[str, Any], batch: int, steps: int) -> None:
    logits, state = build(**options)(tokens(batch, steps))
    assert logits.shape == (batch, steps, 7)
    assert len(state) == 2
    for layer in state:
        assert isinstance(layer, tuple) == (options["cell"] == "lstm")
    assert all(part.shape == (1, batch, 5) for part in flat(state))


def test_an_embedding_of_another_width() -> None:
    model = build(embedding_size=3, hidden_size=4)
    assert model.embedding.weight.shape == (7, 3)
    assert model.layers[0].weight_ih_l0.shape == (16, 3)
    assert model.layers[1].weight_ih_l0.shape == (16, 4)
    assert model(tokens())[0].shape == (3, 6, 7)


def test_tied_weights_are_one_parameter_that_gets_both_gradients() -> None:
    model = build(tied=True)
    assert model.output.weight is model.embedding.weight
    assert sum(p is model.embedding.weight for p in model.parameters()) == 1
    assert float(model.embedding.weight.detach().abs().max()) <= 5**-0.5
    logits, _ = model(torch.tensor([[3]]))
    logits[0, 0, 5].backward()
    gradient = model.embedding.weight.grad
    assert gradient is not None
    touched = gradient.abs().sum(dim=1) > 0
    # Row 3 was read as an input, row 5 as an output.
    assert touched.tolist() == [row in (3, 5) for row in range(7)]


def test_a_tied_model_stays_tied_after_loading() -> None:
    model, other = build(tied=True), build(tied=True)
    with torch.no_grad():
        model.embedding.weight.add_(1)
    other.load_state_dict(model.state_dict())
    assert other.output.weight is other.embedding.weight
    assert_same(other(tokens())[0], model(tokens())[0])


# --- padding and state ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_padding_changes_nothing_and_is_zero(options: dict[str, Any]) -> None:
    model, x, lengths = build(**options), tokens(), [6, 0, 4]
    logits, state = model(x, lengths=torch.tensor(lengths))
    changed = x.clone()
    for row, length in enumerate(lengths):
        changed[row, length:] = 0
        assert torch.equal(logits[row, length:], torch.zeros(6 - length, 7).double())
        if length:
            alone, alone_state = model(x[row : row + 1, :length])
            assert_same(logits[row, :length], alone[0])
            for part, own in zip(flat(state), flat(alone_state), strict=True):
                assert_same(part[:, row], own[:, 0])
    again, again_state = model(changed, lengths=torch.tensor(lengths))
    assert_same(again, logits)
    for part, own in zip(flat(again_state), flat(state), strict=True):
        assert_same(part, own)


@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_comes_from_padding(cell: str) -> None:
    model = build(cell=cell, residual=True)
    x, lengths = tokens(2, 5), torch.tensor([2, 5])
    x[0], x[1] = torch.tensor([0, 1, 6, 6, 6]), torch.tensor([2, 3, 4, 5, 0])
    logits, _ = model(x, lengths=lengths)
    (logits * torch.randn(logits.shape).double()).sum().backward()
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad[6].abs().sum() == 0
    assert bool((model.embedding.weight.grad[:6].abs().sum(dim=1) > 0).all())


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_parts_with_the_state_carried_equal_the_whole(options: dict[str, Any]) -> None:
    model, x = build(**options), tokens()
    whole, final = model(x)
    first, state = model(x[:, :2])
    second, state = model(x[:, 2:], state)
    assert_same(torch.cat([first, second], dim=1), whole)
    state_of_steps: State | None = None
    for step in range(x.shape[1]):
        logits, state_of_steps = model(x[:, step : step + 1], state_of_steps)
        assert_same(logits[:, 0], whole[:, step])
    assert state_of_steps is not None
    for parts in zip(flat(final), flat(state), flat(state_of_steps), strict=True):
        assert_same(parts[1], parts[0])
        assert_same(parts[2], parts[0])


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_reset_starts_a_row_anew(options: dict[str, Any]) -> None:
    model, x = build(**options), tokens()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("h_0", "c_0")):
                value.normal_()
    _, before = model(tokens(3, 2))
    reset = torch.zeros(3, 6, dtype=torch.bool)
    reset[0, 3] = reset[1, 0] = True
    logits, _ = model(x, before, reset=reset)
    plain, _ = model(x, before)
    anew, _ = model(x)
    after, _ = model(x[:1, 3:])
    assert_same(logits[0, :3], plain[0, :3])
    assert_same(logits[0, 3:], after[0])
    assert_same(logits[1], anew[1])
    assert_same(logits[2], plain[2])
    assert float((logits[0, 3:] - plain[0, 3:]).detach().abs().max()) > 1e-6


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("initial", ["zeros", "learned"])
def test_parts_with_resets_and_padding_equal_the_rows_alone(cell: str, initial: str) -> None:
    model, x = build(cell=cell, initial_state=initial), tokens()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("h_0", "c_0")):
                value.normal_()
    reset = torch.zeros(3, 6, dtype=torch.bool)
    reset[0, 1] = reset[0, 4] = reset[1, 3] = reset[2, 5] = True
    whole, final = model(x, reset=reset)
    first, state = model(x[:, :3], reset=reset[:, :3])
    second, state = model(x[:, 3:], state, reset=reset[:, 3:])
    assert_same(torch.cat([first, second], dim=1), whole)
    for part, own in zip(flat(state), flat(final), strict=True):
        assert_same(part, own)
    # In a row that ends before its reset, the reset does not count.
    _, middle = model(x[:, :3], reset=reset[:, :3])
    short, state = model(x[:, 3:], middle, reset=reset[:, 3:], lengths=torch.tensor([1, 3, 2]))
    assert_same(short[0, :1], whole[0, 3:4])
    assert_same(short[1], whole[1, 3:])
    assert_same(short[2, :2], whole[2, 3:5])
    _, ends = model(x[:, :4], reset=reset[:, :4])
    for part, own in zip(flat(state), flat(ends), strict=True):
        assert_same(part[:, 0], own[:, 0])
    _, ends = model(x[:, :5], reset=reset[:, :5])
    for part, own in zip(flat(state), flat(ends), strict=True):
        assert_same(part[:, 2], own[:, 2])


def test_a_learned_initial_state_counts_and_learns() -> None:
    model = build(initial_state="learned")
    names = [name for name, _ in model.named_parameters() if name.endswith("_0")]
    assert names == ["layers.0.h_0", "layers.0.c_0", "layers.1.h_0", "layers.1.c_0"]
    before, state = model(tokens())
    with torch.no_grad():
        for layer in model.layers:
            layer.h_0 += 0.5
    after, _ = model(tokens())
    assert float((after - before).detach().abs().max()) > 1e-3
    given, _ = model(tokens(), detached(state))
    after.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    model.zero_grad()
    given.square().sum().backward()
    assert all(layer.h_0.grad is None for layer in model.layers), "a given state wins"


def test_detach_cuts_the_graph_and_keeps_the_values() -> None:
    for cell in CELLS:
        _, state = build(cell=cell)(tokens())
        cut = detached(state)
        assert [isinstance(layer, tuple) for layer in cut] == [isinstance(layer, tuple) for layer in state]
        for part, own in zip(flat(cut), flat(state), strict=True):
            assert own.requires_grad
            assert not part.requires_grad
            assert torch.equal(part, own)


def test_dropout_is_locked_over_time_and_only_in_training() -> None:
    model = build(cell="rnn", num_layers=1, hidden_size=64, embedding_size=64, dropout=0.5)
    x = torch.zeros(2, 4, dtype=torch.int64)
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])
    model.train()
    torch.manual_seed(3)
    once = model(x)[0]
    assert float((once - model(x)[0]).detach().abs().max()) > 1e-3
    torch.manual_seed(3)
    assert torch.equal(once, model(x)[0])
    seen: list[Tensor] = []
    for dropout in (model.embedding_dropout, model.dropout):
        dropout.register_forward_hook(lambda module, args, out: seen.append((out == 0).detach()))
    model(x)
    assert len(seen) == 2, "the embedding and the layer"
    for dropped in seen:
        assert torch.equal(dropped, dropped[:1].expand_as(dropped))
        assert 0.3 < float(dropped.double().mean()) < 0.7
    own = build(cell="rnn", num_layers=1, hidden_size=64, embedding_size=64, dropout=0.5, embedding_dropout=0.0)
    assert (own.embedding_dropout.p, own.dropout.p) == (0.0, 0.5)


# --- table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_the_table_counts_every_parameter_once(options: dict[str, Any]) -> None:
    model = build(**options)
    rows = model.table()
    assert [row["name"] for row in rows] == ["embedding", "layers.0", "layers.1", "output"]
    assert sum(row["parameters"] for row in rows) == sum(p.numel() for p in model.parameters())
    shapes = {f"{row['name']}.{key}": tuple(shape) for row in rows for key, shape in row["weights"].items()}
    assert shapes == {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert [row["output"] for row in rows] == ["(B, T, 5)"] * 3 + ["(B, T, 7)"]


def test_the_table_of_an_embedding_of_another_width() -> None:
    rows = build(embedding_size=3).table()
    assert [row["kind"] for row in rows] == ["Embedding", "LSTM", "LSTM", "Linear"]
    assert rows[0]["output"] == "(B, T, 3)"


# --- errors -----------------------------------------------------------------------------------------------------------


def test_incomplete_options_are_refused() -> None:
    with pytest.raises(OptionError, match=r"^LanguageModel: options must give cell, num_layers and hidden_size\.$"):
        LanguageModel(3, LanguageModelOptions(num_layers=1, hidden_size=2))
    with pytest.raises(OptionError, match=r"^LanguageModel: options must give embedding_size and dropout\.$"):
        LanguageModel(3, LanguageModelOptions(cell="gru", num_layers=1, hidden_size=2, dropout=0.0))
    with pytest.raises(OptionError, match=r"^vocabulary_size must be at least 2, not 1\.$"):
        build(1)


@pytest.mark.parametrize("residual", [False, True])
def test_running_the_layers_apart_gives_what_the_model_gives(residual: bool) -> None:
    model = build(dropout=0.5, residual=residual).eval()
    x, reset = torch.randint(7, (3, 4)), torch.rand(3, 4) < 0.3
    _, state = model(torch.randint(7, (3, 2)))
    expected, final = model(x, state, reset=reset)
    _, hidden, found = model.run_layers(model.embedding(x).transpose(0, 1), state, reset=reset.t())
    assert torch.equal(model.output(hidden).transpose(0, 1), expected)
    for own, other in zip(found, final, strict=True):
        assert torch.equal(own[0], other[0])
        assert torch.equal(own[1], other[1])
