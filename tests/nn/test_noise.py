"""Zoneout and the dropouts: how often, what stays the same for how long, what evaluation does, which seeds give what.

Random counts are held within five standard deviations, which a right one leaves once in two million times; the seeds
are fixed, so they either always pass or never.
"""

import itertools
import math

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from recur.nn import GRU, LSTM, RHN, RNN, LiGRU, LSTMCell, Recurrent, RHNCell
from recur.ops._random import dropout, dropout_mask

T, B, H = 6, 40, 50


def assert_share(hits, share):
    n = hits.numel()
    assert abs(float(hits.double().mean()) - share) < 5 * math.sqrt(share * (1 - share) / n)


def repeater(**options):
    """A layer whose state is its state before, whatever the input."""
    layer = RNN(2, H, nonlinearity="relu", bias=False, dtype=torch.float64, **options)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(torch.eye(H)) if "weight_hh" in name else weight.zero_()
    return layer


def run(layer, h):
    return layer(torch.zeros(T, h.shape[1], 2, dtype=torch.float64), h)


def kept(layer, name):
    """Where a part of the state stayed, (T, B, H)."""
    x = torch.randn(T, B, 3, dtype=torch.float64)
    values = layer(x, return_all=True).steps[0].values[name]
    before = torch.cat([torch.zeros_like(values[:1]), values[:-1]])
    return values == before


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_zoneout_keeps_its_share_of_each_part_of_the_state(share):
    layer = LSTM(3, H, zoneout=(share, 0.3), dtype=torch.float64)
    h, c = kept(layer, "h"), kept(layer, "c")
    if share:
        assert_share(h, share)
    else:
        assert not h.any()
    assert_share(c, 0.3)
    # A mask for each step, row and unit.
    assert not any(bool((mask == mask[:1]).all()) or bool((mask == mask[:, :1]).all()) for mask in (c,))
    for kind in (GRU, LiGRU, RNN):
        assert_share(kept(kind(3, H, zoneout=0.3, dtype=torch.float64, **_odd(kind)), "h"), 0.3)


def _odd(kind):
    """A state that moves with each step unless it is kept; a rectifier has zeros that stay."""
    return {"nonlinearity": "tanh"} if kind is LiGRU else {}


def test_zoneout_in_evaluation_is_its_expectation():
    """One step many times over: the mean over masks is what evaluation gives."""
    layer = LSTM(3, 4, zoneout=(0.2, 0.5), dtype=torch.float64)
    plain = LSTM(3, 4, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    x, h, c = (torch.randn(1, 1, size, dtype=torch.float64) for size in (3, 4, 4))
    rows = 20_000
    many = [value.expand(1, rows, -1).contiguous() for value in (x, h, c)]
    _, drawn = layer(many[0], (many[1], many[2]))
    _, expected = layer.eval()(x, (h, c))
    _, new = plain(x, (h, c))
    for sample, mean, fresh, old, share in zip(drawn, expected, new, (h, c), (0.2, 0.5), strict=True):
        torch.testing.assert_close(mean, share * old + (1 - share) * fresh, rtol=0, atol=1e-12)
        spread = (old - fresh).abs() * math.sqrt(share * (1 - share) / rows)
        assert bool(((sample.mean(1, keepdim=True) - mean).abs() <= 5 * spread).all())


def test_all_of_zoneout_keeps_the_state_and_its_gradient():
    layer = GRU(3, 4, zoneout=1.0, dtype=torch.float64)
    h = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    for mode in (layer.train(), layer.eval()):
        _, final = mode(torch.randn(5, 2, 3, dtype=torch.float64), h)
        assert torch.equal(final, h)
        (gradient,) = torch.autograd.grad(final.sum(), h)
        assert torch.equal(gradient, torch.ones_like(h))


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_dropout_of_the_state_keeps_one_mask_over_all_steps(dilation):
    """Each step multiplies what is left by 0 or 2, so step t holds the mask to the power of t."""
    layer = repeater(recurrent_dropout=0.5, dilation=dilation)
    ones = torch.ones(dilation, B, H, dtype=torch.float64)
    output, _ = layer(torch.zeros(T, B, 2, dtype=torch.float64), [ones] if dilation > 1 else ones)
    mask = output[0]
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    for t in range(T):
        assert torch.equal(output[t], mask ** (t // dilation + 1))
    assert_share(mask == 0, 0.5)
    assert not torch.equal(mask[0], mask[1])
    # Another call, another mask.
    assert not torch.equal(layer(torch.zeros(1, B, 2, dtype=torch.float64), [ones] if dilation > 1 else ones)[0], mask)


def test_each_layer_and_direction_has_masks_of_its_own():
    layer = repeater(recurrent_dropout=0.5, num_layers=1, bidirectional=True)
    output, _ = run(layer, torch.ones(2, B, H, dtype=torch.float64))
    forward, backward = output[0, :, :H], output[-1, :, H:]
    assert not torch.equal(forward, backward)
    assert_share(forward == backward, 0.5)


def test_dropout_of_the_candidate_draws_anew_at_each_step():
    """With open gates and nothing recurrent the cell state counts which candidates came through."""
    layer = LSTM(2, H, recurrent_dropout=0.25, recurrent_dropout_kind="candidate", dtype=torch.float64)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.bias_ih_l0.copy_(torch.tensor([40.0, 40.0, 40.0, 40.0]).repeat_interleave(H))
    cells = layer(torch.zeros(T, B, 2, dtype=torch.float64), return_all=True).steps[0].values["c"]
    gains = cells - torch.cat([torch.zeros_like(cells[:1]), cells[:-1]])
    assert bool(((gains.abs() < 1e-12) | ((gains - 1 / 0.75).abs() < 1e-12)).all())
    dropped = gains.abs() < 1e-12
    assert_share(dropped, 0.25)
    assert_share(dropped[0] & dropped[1], 0.25**2)


def test_weight_dropout_drops_the_same_weights_for_all_steps_and_rows():
    layer = RNN(2, H, nonlinearity="relu", bias=False, weight_dropout=0.3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.abs_()
    # A row for each unit shows the weights that are left.
    output, _ = run(layer, torch.eye(H, dtype=torch.float64)[None])
    left = output[0].T
    torch.testing.assert_close(output[1], torch.relu(output[0] @ left.T), rtol=0, atol=1e-12)
    assert_share(left == 0, 0.3)
    here = left != 0
    torch.testing.assert_close(left[here], layer.weight_hh_l0[here] / 0.7, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(output.sum(), layer.weight_hh_l0)
    assert bool((gradient[~here] == 0).all())
    assert not torch.equal(run(layer, torch.eye(H, dtype=torch.float64)[None])[0][0].T != 0, here)


NOISY = [
    {"recurrent_dropout": 0.3},
    {"recurrent_dropout": 0.3, "recurrent_dropout_kind": "candidate"},
    {"weight_dropout": 0.3},
    {"zoneout": 0.3},
    {"num_layers": 2, "dropout": 0.3},
    {"num_layers": 2, "dropout": 0.3, "locked_dropout": True},
]


@pytest.mark.parametrize("options", NOISY)
def test_the_same_seed_gives_the_same_noise(compare, flat, options):
    layer = LSTM(3, 5, dtype=torch.float64, **options)
    x = torch.randn(T, B, 3, dtype=torch.float64)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(flat(layer(x)))
        # To ask which back end runs spends no random number.
        torch.manual_seed(seed)
        layer.explain(x)
        compare(flat(layer(x)), found[-1])
    compare(found[0], found[1])
    assert not torch.equal(found[0]["output"], found[2]["output"])


@pytest.mark.parametrize("options", [o for o in NOISY if "zoneout" not in o])
def test_evaluation_is_without_dropout(compare, flat, options):
    layer = LSTM(3, 5, dtype=torch.float64, **options).eval()
    plain = LSTM(3, 5, options.get("num_layers", 1), dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, 3, dtype=torch.float64)
    compare(flat(layer(x)), flat(plain(x)))
    layer.backend = "torch"
    compare(flat(layer(x)), flat(plain(x)))


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_every_back_end_draws_the_same(kinds, compare, flat, name):
    layer = kinds[name].make(3, 5, num_layers=2, bidirectional=True, dropout=0.4, weight_dropout=0.3, backend="torch")
    x, found = torch.randn(T, B, 3, dtype=torch.float64), []
    for backend in ("cpu", "torch", "reference"):
        layer.backend = backend
        torch.manual_seed(3)
        found.append(flat(layer(x)))
    for one, other in itertools.combinations(found, 2):
        compare(one, other)


STATES = {
    "RHN": ["weight_hh"],
    "RHN_uncoupled": ["weight_hh"],
    "MogrifierLSTM": ["weight_hh", "weight_q"],
    "MogrifierLSTM_rank": ["weight_hh", "weight_q_right"],
    "MultiplicativeLSTM": ["weight_hm"],
    "ConvLSTM": ["weight_hh"],
    "ConvLSTM_signal": ["weight_hh"],
    "ConvGRU": ["weight_hh"],
    "ConvGRU_signal": ["weight_hh"],
    "PhasedLSTM": ["weight_hh"],
    "PhasedLSTM_steps": ["weight_hh"],
    "CfC": ["weight_hh"],
    "CfC_steps": ["weight_hh"],
    "GRUD": ["weight_hh"],
    "GRUD_steps": ["weight_hh"],
}
"""The weights of each kind of module cell whose columns (of convolutions, input channels) the output state meets."""


def training(kind, **options):
    """A layer in training, the same without noise, and inputs of one row."""
    sizes = (kind.input_size or 3, 8)
    noisy, plain = kind.make(*sizes, **options).train(), kind.make(*sizes).train()
    with torch.no_grad():
        for parameter in noisy.parameters():
            parameter.normal_(0, 0.5)
    plain.load_state_dict(noisy.state_dict())
    x = torch.randn(T, 1, sizes[0], *kind.spatial, dtype=torch.float64)
    return noisy, plain, x, {} if kind.timed is None else kind.timed(T, 1)


def everything(result):
    return {str(n): leaf for n, leaf in enumerate(tree_leaves(tuple(result)))}


@pytest.mark.parametrize("label", STATES)
def test_dropout_of_the_state_in_module_cells_is_dropout_of_the_columns_that_it_meets(all_kinds, compare, label):
    """W (m h) = (W diag(m)) h, for one row; nothing else of the step may see the mask."""
    noisy, plain, x, more = training(all_kinds[label], recurrent_dropout=0.5)
    torch.manual_seed(5)
    found = noisy(x, **more)
    torch.manual_seed(5)
    mask = dropout_mask((1, 8), 0.5, x)[0]
    assert 0 < int((mask == 0).sum()) < 8
    with torch.no_grad():
        for name in STATES[label]:
            weight = getattr(plain.cells[0], name)
            is_convolution = label.startswith("Conv")
            weight.mul_(mask.view(1, 8, *[1] * (weight.dim() - 2)) if is_convolution else mask)
    compare(everything(found), everything(plain(x, **more)))


@pytest.mark.parametrize("label", STATES)
def test_weight_dropout_in_module_cells_drops_the_recurrent_weights_once(all_kinds, compare, label):
    noisy, plain, x, more = training(all_kinds[label], weight_dropout=0.5)
    torch.manual_seed(5)
    found = noisy(x, **more)
    torch.manual_seed(5)
    names = ["weight_hm", "weight_mh"] if label == "MultiplicativeLSTM" else ["weight_hh"]
    with torch.no_grad():
        for name in names:
            weight = getattr(plain.cells[0], name)
            weight.copy_(dropout(weight, 0.5))
    compare(everything(found), everything(plain(x, **more)))
    (found[0].sum()).backward()
    assert bool((noisy.cells[0].get_parameter(names[-1]).grad == 0).any())


@pytest.mark.parametrize("label", STATES)
def test_evaluation_of_module_cells_is_without_dropout(all_kinds, compare, label):
    noisy, plain, x, more = training(all_kinds[label], weight_dropout=0.5, recurrent_dropout=0.5)
    compare(everything(noisy.eval()(x, **more)), everything(plain.eval()(x, **more)))


def test_every_kind_of_module_cell_is_tried_with_dropout(all_kinds):
    assert set(STATES) == {label for label, kind in all_kinds.items() if not kind.draws} - {"Recurrent"}


def test_dropout_of_the_state_in_module_cells_keeps_one_mask_over_dilated_steps_and_differs_between_rows():
    layer = RHN(3, 50, depth=1, recurrent_dropout=0.5, dilation=2)
    seen = []
    layer.cells[0].drawn = lambda *given: seen.append(RHNCell.drawn(layer.cells[0], *given)) or seen[-1]
    layer(torch.randn(6, 3, 3))
    (noise,) = seen
    assert noise.state.shape == (6, 50)
    assert torch.equal(noise.state[:3], noise.state[3:])
    assert not torch.equal(noise.state[0], noise.state[1])


def test_gradient_clip_bounds_what_a_step_passes_back_and_nothing_else(compare, flat):
    """Against the backward pass by hand: d_t = upstream_t + clip(W_hh^T (d_{t+1} * (1 - h_{t+1}^2)))."""
    bound = 0.05
    layer = RNN(3, 5, gradient_clip=bound, dtype=torch.float64)
    plain = RNN(3, 5, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(T, 2, 3, dtype=torch.float64, requires_grad=True)
    h0 = torch.randn(1, 2, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(T, 2, 5, dtype=torch.float64)
    output, final = layer(x, h0)
    compare(flat((output, final)), flat(plain(x, h0)))
    got = torch.autograd.grad((output * upstream).sum(), [x, h0, layer.weight_hh_l0])
    back, dx, dw = torch.zeros(2, 5, dtype=torch.float64), [], torch.zeros(5, 5, dtype=torch.float64)
    clipped = 0
    for t in reversed(range(T)):
        da = (upstream[t] + back) * (1 - output[t] ** 2)
        dx.append(da @ layer.weight_ih_l0)
        dw += da.T @ (output[t - 1] if t else h0[0])
        back = (da @ layer.weight_hh_l0).clamp(-bound, bound)
        clipped += int((back.abs() == bound).sum())
    assert 0 < clipped < T * 2 * 5, "the bound must bind somewhere, and not everywhere"
    want = {"x": torch.stack(dx[::-1]), "h0": back[None], "w": dw}
    compare(dict(zip(want, got, strict=True)), want)
    assert float(want["x"].detach().abs().max()) > bound


def test_gradient_clip_bounds_every_part_of_every_state(any_kind, make_case, compare):
    """Against a layer without it, run step by step, with a clamp on the gradient of each state that a step gets."""
    bound = 0.01

    def clamped(leaf):
        before = leaf.view_as(leaf)
        before.register_hook(lambda gradient: gradient.clamp(-bound, bound))
        return before

    sizes = (any_kind.input_size or 3, 4)
    case = make_case(
        any_kind,
        sizes,
        {"gradient_clip": bound},
        compare,
        num_steps=4,
        lengths=None,
        resets=0,
        is_given=True,
        batch=2,
    )
    plain = case.twin(gradient_clip=None)
    state, outputs = plain.hx, []
    for t in range(case.num_steps):
        output, state = plain.at(t, t + 1, hx=tree_map(clamped, state)).run()
        outputs.append(output[0])
    found, final = case.run()

    def gradients(output, state):
        """Under weights large enough for the bound to bind."""
        generator = torch.Generator().manual_seed(1)
        values = [output, *tree_leaves(state)]
        loss = sum((v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in values)
        leaves = {"x": case.x, **{str(n): leaf for n, leaf in enumerate(tree_leaves(case.hx))}}
        grads = torch.autograd.grad(10 * loss, list(leaves.values()), allow_unused=True)
        pairs = zip(leaves.items(), grads, strict=True)
        return {name: torch.zeros_like(leaf) if g is None else g for (name, leaf), g in pairs}

    got, want = gradients(found[0], final), gradients(torch.cat(outputs), state)
    compare(got, want)
    for name in want.keys() - {"x"}:
        assert float(want[name].abs().max()) <= bound
    free = gradients(
        *[value[0] if isinstance(value, tuple) and n == 0 else value for n, value in enumerate(plain.run())]
    )
    assert not torch.allclose(free["x"], got["x"]), "the bound must bind"


def test_gradient_clip_lets_nan_through():
    layer = RNN(3, 5, gradient_clip=0.1)
    h0 = torch.zeros(1, 1, 5, requires_grad=True)
    output, _ = layer(torch.randn(2, 1, 3), h0)
    (gradient,) = torch.autograd.grad(output, h0, torch.full_like(output, torch.nan))
    assert bool(gradient.isnan().all())


def test_what_makes_the_form_is_chosen_once():
    layer = LSTM(3, 5, output_clip=0.5)
    layer.output_clip = 0.5
    for module in (layer, layer.cell(), LSTMCell(3, 5)):
        with pytest.raises(AttributeError, match=r"^LSTM(Cell)?: layer_norm is chosen when the module is made\. Make"):
            module.layer_norm = True
        with pytest.raises(AttributeError, match=r"^LSTM(Cell)?: gradient_clip is chosen when"):
            module.gradient_clip = 2.0
    assert repr(layer) == "LSTM(3, 5, output_clip=0.5)"


def test_zoneout_may_be_set_later_and_is_checked():
    layer, other = LSTM(3, 5, zoneout=(0.3, 0.2)).eval(), LSTM(3, 5).eval()
    other.load_state_dict(layer.state_dict())
    other.zoneout = [0.3, 0.2]
    x = torch.randn(4, 2, 3)
    assert torch.equal(layer(x)[0], other(x)[0])
    other.zoneout = 0.1
    assert other.zoneout == (0.1, 0.1)
    with pytest.raises(ValueError, match=r"^LSTM: zoneout is 1\.5, but must be from 0 to 1\."):
        other.zoneout = 1.5


def test_dropout_within_the_recurrence_may_be_set_later_and_is_checked():
    for layer in (LSTM(3, 5), RHN(3, 5)):
        for name in ("recurrent_dropout", "weight_dropout"):
            assert getattr(layer, name) == 0
            setattr(layer, name, 0.5)
            assert getattr(layer, name) == 0.5
            with pytest.raises(ValueError, match=rf": {name} is -1, but must be from 0 to 1\."):
                setattr(layer, name, -1)
    with pytest.raises(AttributeError, match=r"^Recurrent: there is no weight_dropout here\."):
        Recurrent(RHNCell(3, 5), 3).weight_dropout = 0.5
    cell = LSTMCell(3, 5)
    cell.recurrent_dropout = 0.5
    with pytest.raises(ValueError, match=r"^LSTMCell: recurrent_dropout of the kind 'state' has one mask for all"):
        cell(torch.zeros(2, 3))
    assert cell.eval()(torch.zeros(2, 3))[0].shape == (2, 5)


def test_a_module_that_is_the_nonlinearity_may_be_replaced():
    layer = RNN(3, 5, nonlinearity=torch.nn.Tanh())
    other = RNN(3, 5, nonlinearity="relu")
    other.load_state_dict(layer.state_dict())
    layer.nonlinearity = torch.nn.ReLU()
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(layer(x)[0], other(x)[0])
    torch.testing.assert_close(layer.cell()(x[0]), other.cell()(x[0]))
    layer.nonlinearity = None
    with pytest.raises(TypeError, match=r"^RNN: nonlinearity was a module and is None now; set another module\."):
        layer(x)
