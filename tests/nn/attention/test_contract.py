"""What every kind of attention promises."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from recur.nn import Alignment, DotAttention

S, B, T = 7, 4, 5
LENGTHS = [7, 3, 0, 1]


def inputs(attention):
    h = torch.randn(S, B, attention.memory_size, dtype=torch.float64)
    return h, torch.randn(T, B, attention.query_size, dtype=torch.float64)


def step_by_step(attention, queries, memory):
    state, contexts, weights = attention.begin(memory), [], []
    for query in queries:
        context, weight, state = attention(query, memory, state)
        contexts.append(context)
        weights.append(weight)
    return torch.stack(contexts), torch.stack(weights), state


def close(got, want):
    # float64: sums of at most 64 products of numbers of order 1, through at most 5 steps.
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_all_steps_at_once_are_the_steps(make_attention, label, is_stepped):
    attention = make_attention(label)
    h, queries = inputs(attention)
    memory = attention.prepare(h, LENGTHS)
    contexts, weights, state = attention(queries, memory)
    assert (contexts.shape, weights.shape) == ((T, B, attention.context_size), (T, B, S))
    one_by_one = step_by_step(attention, queries, memory)
    close(contexts, one_by_one[0])
    close(weights, one_by_one[1])
    assert attention.needs_steps is is_stepped
    if is_stepped:
        close(state.weights, one_by_one[2].weights)
        first, _, between = attention(queries[:2], memory)
        second, _, after = attention(queries[2:], memory, between)
        close(torch.cat([first, second]), contexts)
        close(after.weights, state.weights)
    else:
        assert state is None
        assert attention.begin(memory) is None


def test_weights_are_shares_of_the_true_steps(make_attention, label):
    attention = make_attention(label)
    h, queries = inputs(attention)
    contexts, weights, _ = attention(queries, attention.prepare(h, LENGTHS))
    is_step = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    assert bool((weights >= 0).all())
    assert bool((weights[:, ~is_step] == 0).all())
    assert bool((contexts[:, 2] == 0).all())
    sums = weights.sum(2)[:, [0, 1, 3]]
    if label.startswith("monotonic"):
        assert bool((sums < 1 + 1e-12).all())
    else:
        close(sums, torch.ones_like(sums))


def test_padding_may_hold_anything(make_attention, label):
    attention = make_attention(label).train()
    h, queries = inputs(attention)
    past = torch.arange(S)[:, None] >= torch.tensor(LENGTHS)
    spoiled = h.clone()
    spoiled[past] = torch.nan
    spoiled.requires_grad_()
    parameters = list(attention.parameters())
    results = []
    for given in (h.masked_fill(past[..., None], 0).requires_grad_(), spoiled):
        torch.manual_seed(1)
        contexts, weights, _ = attention(queries, attention.prepare(given, LENGTHS))
        upstream = [torch.randn_like(contexts), torch.randn_like(weights)]
        results.append([contexts, weights, *torch.autograd.grad([contexts, weights], [given, *parameters], upstream)])
    for one, other in zip(*results, strict=True):
        assert bool(one.isfinite().all())
        assert torch.equal(one, other)
    assert bool((results[1][2][past] == 0).all())
    assert bool((results[1][2][~past] != 0).any())


def test_a_row_alone_is_the_row_in_a_batch(make_attention, label):
    attention = make_attention(label)
    h, queries = inputs(attention)
    contexts, weights, _ = attention(queries, attention.prepare(h, LENGTHS))
    for row, length in enumerate(LENGTHS):
        if length:
            alone = attention(queries[:, row : row + 1], attention.prepare(h[:length, row : row + 1]))
            close(contexts[:, row : row + 1], alone[0])
            close(weights[:, row : row + 1, :length], alone[1])


def test_rows_are_chosen(make_attention, label, is_stepped):
    attention = make_attention(label)
    h, queries = inputs(attention)
    index = torch.tensor([3, 0, 0, 2, 1, 3])
    memory = attention.prepare(h, LENGTHS)
    wanted = step_by_step(attention, queries[:, index], attention.prepare(h[:, index], torch.tensor(LENGTHS)[index]))
    _, _, state = attention(queries[0], memory)
    few = memory.rows(index)
    assert {len(part) for part in few} == {len(index)}
    contexts, weights, _ = attention(queries[1:, index], few, state.rows(index) if is_stepped else None)
    close(contexts, wanted[0][1:])
    close(weights, wanted[1][1:])


def test_batch_first_is_time_first_turned(make_attention, label):
    attention, other = make_attention(label), make_attention(label, batch_first=True)
    other.load_state_dict(attention.state_dict())
    h, queries = inputs(attention)
    contexts, weights, _ = attention(queries, attention.prepare(h, LENGTHS))
    turned = other(queries.transpose(0, 1), other.prepare(h.transpose(0, 1), LENGTHS))
    close(turned[0].transpose(0, 1), contexts)
    close(turned[1].transpose(0, 1), weights)
    assert "batch_first=True" in repr(other)
    assert "batch_first" not in repr(attention)


def test_gradients(make_attention, label):
    # Where it looks in evaluation has no gradient: that of what is expected has.
    attention = make_attention(label, 4, 4)
    attention.train()
    attention.noise = 0
    names = [name for name, _ in attention.named_parameters()]
    h = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True)

    def outputs(h, queries, *parameters):
        def run(h, queries):
            return attention(queries, attention.prepare(h, [3, 2]))[:2]

        holder = torch.nn.Module()
        holder.attention = attention
        holder.forward = run
        named = {f"attention.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(holder, named, (h, queries))

    given = (h, queries, *attention.parameters())
    assert torch.autograd.gradcheck(outputs, given)
    assert torch.autograd.gradgradcheck(outputs, given, fast_mode=True)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "state_dict"])
def test_copies(make_attention, label, way):
    attention = make_attention(label)
    h, queries = inputs(attention)
    wanted = attention(queries, attention.prepare(h, LENGTHS))
    if way == "deepcopy":
        twin = copy.deepcopy(attention)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(attention))
    else:
        file = io.BytesIO()
        torch.save(attention.state_dict(), file)
        file.seek(0)
        twin = make_attention(label)
        twin.load_state_dict(torch.load(file, weights_only=True))
    found = twin(queries, twin.prepare(h, LENGTHS))
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    assert repr(twin) == repr(attention)


def test_parameters_are_drawn_anew(make_attention, label):
    attention = make_attention(label)
    if label == "dot":
        assert list(attention.parameters()) == []
        return
    torch.manual_seed(1)
    before = {name: value.clone() for name, value in attention.state_dict().items()}
    attention.reset_parameters()
    for name, value in attention.state_dict().items():
        assert not torch.equal(value, before[name]), name
        assert bool((value.abs() <= 1).all()), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes(make_attention, label, dtype):
    attention = make_attention(label)
    h, queries = inputs(attention)
    wanted = attention(queries, attention.prepare(h, LENGTHS))
    attention.to(dtype)
    memory = attention.prepare(h.to(dtype), LENGTHS)
    contexts, weights, _ = attention(queries.to(dtype), memory)
    assert {contexts.dtype, weights.dtype} == {dtype}
    # Some 10 roundings a score, scores of order 10, and weights that grow as e to the error; hard ones may jump.
    if label != "monotonic":
        torch.testing.assert_close(weights.double(), wanted[1], rtol=0, atol=100 * torch.finfo(dtype).eps)
    contexts, weights, _ = attention.train()(queries.to(dtype), memory)
    if list(attention.parameters()):
        (contexts.float().sum() + weights.float().square().sum()).backward()
        assert {parameter.grad.dtype for parameter in attention.parameters()} == {dtype}


def test_autocast(make_attention, label):
    attention = make_attention(label).float().train()
    attention.noise = 0
    h, queries = (x.float() for x in inputs(attention))
    wanted = attention(queries, attention.prepare(h, LENGTHS))
    with torch.autocast("cpu", torch.bfloat16):
        contexts, weights, _ = attention(queries, attention.prepare(h, LENGTHS))
    assert bool(contexts.isfinite().all())
    torch.testing.assert_close(weights.float(), wanted[1], rtol=0, atol=100 * 2**-8)
    parameters = list(attention.parameters())
    if parameters:
        found = torch.autograd.grad(contexts.float().square().sum(), parameters)
        assert {gradient.dtype for gradient in found} == {torch.float32}
        assert all(bool(gradient.isfinite().all()) for gradient in found)


def test_compiled(make_attention, label):
    torch.compiler.reset()
    attention = make_attention(label)
    h, queries = inputs(attention)
    lengths = torch.tensor(LENGTHS)

    def run(h, queries, lengths):
        return attention(queries, attention.prepare(h, lengths))[:2]

    compiled = torch.compile(run, backend="eager", fullgraph=True)
    for found, wanted in zip(compiled(h, queries, lengths), run(h, queries, lengths), strict=True):
        close(found, wanted)


def test_mapped_and_on_the_device_meta(make_attention, label):
    attention = make_attention(label)
    h, queries = inputs(attention)

    def run(h, queries):
        return attention(queries, attention.prepare(h))[:2]

    found = torch.func.vmap(run)(torch.stack([h, 2 * h]), torch.stack([queries, queries]))
    for part, (first, second) in enumerate(zip(run(h, queries), run(2 * h, queries), strict=True)):
        close(found[part][0], first)
        close(found[part][1], second)
    attention.to("meta")
    contexts, weights = run(h.to("meta"), queries.to("meta"))
    assert (contexts.shape, weights.shape) == ((T, B, attention.context_size), (T, B, S))


def test_it_learns_where_to_look(make_attention, label):
    # Each query asks for the step that holds it; those that go forward alone are asked in the order of the steps.
    if label == "dot":
        # It has nothing to learn.
        return
    attention = make_attention(label, 8, 8).float().train()
    attention.reset_parameters()
    attention.noise = 0
    h = torch.eye(8)[:6, None] * 5
    optimizer = torch.optim.Adam(attention.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        weights = attention(h, attention.prepare(h))[1][:, 0]
        loss = -(weights.diagonal() + 1e-6).log().mean()
        loss.backward()
        optimizer.step()
    assert bool((attention(h, attention.prepare(h))[1][:, 0].diagonal() > 0.9).all())


def test_bad_input(make_attention):
    attention = make_attention("additive")
    memory = attention.prepare(torch.zeros(5, 3, 8, dtype=torch.float64))
    good = torch.zeros(3, 6, dtype=torch.float64)
    for call, error, message in [
        (lambda: attention.prepare([1.0]), TypeError, r"^AdditiveAttention: h must be a torch\.Tensor, but is list\.$"),
        (
            lambda: attention.prepare(torch.zeros(5, 3, 7)),
            ValueError,
            r"^AdditiveAttention: h must have shape \(S, B, 8\), but has \(5, 3, 7\)\.$",
        ),
        (
            lambda: attention.prepare(torch.zeros(5, 0, 8, dtype=torch.float64)),
            ValueError,
            r"^AdditiveAttention: h is empty, \(5, 0, 8\); give at least one row and one step\.$",
        ),
        (
            lambda: attention.prepare(torch.zeros(5, 3, 8)),
            TypeError,
            r"^AdditiveAttention: h is torch\.float32, but v is torch\.float64\. Convert it with h\.to\(",
        ),
        (
            lambda: attention.prepare(torch.zeros(5, 3, 8, dtype=torch.float64), [6, 1, 1]),
            ValueError,
            r"^AdditiveAttention: lengths has 6, but x has 5 steps\.$",
        ),
        (
            lambda: attention(good[:, :5], memory),
            ValueError,
            r"^AdditiveAttention: query must have shape \(B, 6\), but has \(3, 5\)\.$",
        ),
        (
            lambda: attention(good[None, None], memory),
            ValueError,
            r"^AdditiveAttention: query must have shape \(T, B, 6\), but has \(1, 1, 3, 6\)\.$",
        ),
        (
            lambda: attention(good[:2], memory),
            ValueError,
            r"^AdditiveAttention: query has 2 rows, but memory has 3\. Choose those of the memory with memory\.rows",
        ),
        (
            lambda: attention(good, memory, Alignment(torch.zeros(3, 5))),
            ValueError,
            r"^AdditiveAttention: this kind has no state; leave state out\.$",
        ),
        (
            lambda: DotAttention(3, 4),
            ValueError,
            r"^DotAttention: query_size is 3 and memory_size 4, but a product needs them equal\. Take GeneralAttention",
        ),
        (
            lambda: DotAttention(0, 4),
            ValueError,
            r"^DotAttention: query_size is 0, but must be at least 1\.$",
        ),
        (
            lambda: DotAttention(4, 4, batch_first=1),
            TypeError,
            r"^DotAttention: batch_first must be a bool, but is int\.$",
        ),
    ]:
        with pytest.raises(error, match=message):
            call()
