"""Random masks: the generator, how random its numbers are, seeds and threads, and where torch draws instead.

What is random is held within five standard deviations; the seeds are fixed, so it either always passes or never.
"""

import math

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from recur import engine
from recur.ops import _random
from recur.ops._random import bernoulli, dropout, dropout_mask, lasting, lasting_dropout, lasting_mask

on_engine = pytest.mark.skipif(engine.missing_kernels() is not None, reason=str(engine.missing_kernels()))
F32, F64 = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
N = 1 << 20


def philox(counter, key):
    """Philox4x32-10 of Salmon et al. (2011)."""
    word, top = list(counter), (1 << 32) - 1
    for n in range(10):
        one, other = 0xD2511F53 * word[0], 0xCD9E8D57 * word[2]
        first, second = (key + n * 0x9E3779B9) & top, ((key >> 32) + n * 0xBB67AE85) & top
        word = [other >> 32 ^ word[1] ^ first, other & top, one >> 32 ^ word[3] ^ second, one & top]
    return word


@pytest.fixture
def threads():
    """Sets the number of threads, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@on_engine
def test_the_numbers_are_philox_of_a_key_that_torch_draws():
    published = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox([0] * 4, 0) == published[0]
    assert philox([(1 << 32) - 1] * 4, (1 << 64) - 1) == published[1]
    torch.manual_seed(3)
    key = int(torch.randint(-(1 << 63), (1 << 63) - 1, ())) % (1 << 64)
    blocks = [philox((n, 0, 0, 0), key) for n in range(32)]
    # Groups of 16 blocks: the first word of each, then the second of each.
    words = [blocks[group + n][word] for group in (0, 16) for word in range(4) for n in range(16)]
    want = [float(word < 0.3 * 2**32) for word in words]
    for like in (F32, F64):
        torch.manual_seed(3)
        assert bernoulli((2, 50), 0.3, like).flatten().tolist() == want[:100]


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_the_share_and_its_spread(share):
    mask = bernoulli((N,), share, F64)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    deviation = math.sqrt(share * (1 - share))
    assert abs(float(mask.mean()) - share) < 5 * deviation / math.sqrt(N)
    # Sums of 1024 in a row, which would spread less were the numbers dealt out evenly, and more were they in runs.
    spread = float(((mask.view(-1, 1024).sum(1) - 1024 * share) / deviation / 32).square().mean())
    assert abs(spread - 1) < 5 * math.sqrt((2 + 1 / (1024 * deviation**2)) / 1024)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 15, 16, 17, 32, 48, 63, 64, 65, 128, 1000, 1 << 12, 1 << 16])
def test_elements_have_nothing_to_do_with_each_other(lag):
    mask = bernoulli((N,), 0.5, F64) * 2 - 1
    assert abs(float((mask[lag:] * mask[:-lag]).mean())) < 5 / math.sqrt(N - lag)


def test_calls_have_nothing_to_do_with_each_other():
    masks = torch.stack([bernoulli((1 << 16,), 0.5, F64) * 2 - 1 for _ in range(8)])
    products = masks @ masks.T / masks.shape[1]
    products.fill_diagonal_(0)
    assert 0 < float(products.abs().max()) < 5 / math.sqrt(masks.shape[1])


def test_units_rows_and_steps_each_have_their_share():
    mask = bernoulli((64, 32, 96), 0.25, F64)
    for axes in ((0, 1), (0, 2), (1, 2)):
        shares = mask.mean(axes)
        bound = 5 * math.sqrt(0.25 * 0.75 * shares.numel() / mask.numel())
        assert float((shares - 0.25).abs().max()) < bound


@pytest.mark.parametrize("like", [F32, F64])
def test_the_seed_decides(like):
    def draw():
        return bernoulli((3, 70), 0.5, like)

    torch.manual_seed(1)
    first, second, state = draw(), draw(), torch.get_rng_state()
    third = draw()
    assert not torch.equal(first, second)
    torch.manual_seed(2)
    assert not torch.equal(first, draw())
    torch.manual_seed(1)
    with torch.random.fork_rng():
        assert torch.equal(draw(), first)
    assert torch.equal(draw(), first)
    torch.set_rng_state(state)
    assert torch.equal(draw(), third)


def test_a_checkpoint_draws_the_same_again():
    x = torch.rand(40, 50, requires_grad=True)
    y = checkpoint(lambda x: dropout(x, 0.5).exp(), x, use_reentrant=False)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, torch.where(y == 1, 0, 2 * y))


@on_engine
@pytest.mark.parametrize("like", [F32, F64])
def test_any_number_of_threads_and_any_instruction_set_draw_the_same(monkeypatch, threads, like):
    found = []
    # Enough for four threads, and no whole number of groups.
    shape = (7, 19_000)
    for number in (1, 2, 3, 4):
        threads(number)
        torch.manual_seed(1)
        found.append(bernoulli(shape, 0.3, like))
    threads(1)
    best = engine.cpu_features().best_isa
    every = ["neon"] if best == "neon" else ["baseline", "avx2", "avx512", "avx512_bf16", "avx512_amx"]
    for isa in every[: every.index(best) + 1]:
        monkeypatch.setenv("RECUR_CPU_ISA", isa)
        torch.manual_seed(1)
        found.append(bernoulli(shape, 0.3, like))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shapes_dtypes_and_the_ends_of_shares(dtype):
    like = torch.zeros(2, dtype=dtype, requires_grad=True)
    for shape in ((), (0,), (3, 0, 2), (1,), (5, 13), torch.Size((2, 3, 50))):
        ones, zeros = bernoulli(shape, 1, like), bernoulli(shape, 0.0, like)
        assert torch.equal(ones, torch.ones(shape, dtype=dtype))
        assert torch.equal(zeros, torch.zeros(shape, dtype=dtype))
        assert not ones.requires_grad
        assert torch.equal(dropout_mask(shape, 1.0, like), zeros)
        assert torch.equal(dropout_mask(shape, 0.0, like), ones)
    mask = dropout_mask((100, 100), 0.3, like)
    assert set(mask.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.7, dtype=dtype))}
    assert abs(float((mask == 0).double().mean()) - 0.3) < 5 * math.sqrt(0.3 * 0.7) / 100


def test_dropout_is_a_product_with_its_mask():
    for layout in (torch.rand(6, 40), torch.rand(40, 6).T, torch.rand(1, 40).expand(6, -1)):
        torch.manual_seed(1)
        y = dropout(layout, 0.25)
        torch.manual_seed(1)
        assert torch.equal(y, layout * dropout_mask((6, 40), 0.25, layout))
    x = torch.full((400,), torch.inf)
    x[200:] = torch.nan
    # Zero times infinity is not a number; torch's own dropout does the same.
    for p, function in ((0.5, dropout), (1.0, dropout), (0.5, torch.nn.functional.dropout)):
        y = function(x, p)
        assert bool(y[200:].isnan().all())
        assert int(y[:200].isnan().sum()) > 0


def test_derivatives_of_derivatives_of_dropout():
    x = torch.randn(20, dtype=torch.float64, requires_grad=True)

    def drop(x):
        torch.manual_seed(1)
        return dropout(x.sin(), 0.5)

    assert torch.autograd.gradcheck(drop, x)
    assert torch.autograd.gradgradcheck(drop, x)


# --- where torch draws ------------------------------------------------------------------------------------------------


FUNCTIONS = [
    (lambda x: x * bernoulli(x.shape, 0.5, x), lambda x: x * torch.bernoulli(torch.full_like(x, 0.5))),
    (
        lambda x: x * dropout_mask(x.shape, 0.5, x),
        lambda x: x * torch.nn.functional.dropout(torch.ones_like(x), 0.5),
    ),
    (lambda x: dropout(x, 0.5), lambda x: torch.nn.functional.dropout(x, 0.5)),
]


def seeded(function, *arguments):
    torch.manual_seed(1)
    return function(*arguments)


@pytest.mark.parametrize(("ours", "torchs"), FUNCTIONS)
def test_without_the_engine_torch_draws(monkeypatch, ours, torchs):
    monkeypatch.setattr(engine, "missing_kernels", lambda: "they were not built")
    x = torch.rand(5, 30)
    assert torch.equal(seeded(ours, x), seeded(torchs, x))


@pytest.mark.parametrize(("ours", "torchs"), FUNCTIONS)
def test_under_vmap_randomness_says_what_is_drawn(ours, torchs):
    x = torch.ones(4, 50)
    for randomness, count in (("same", 1), ("different", 4)):
        found = seeded(torch.func.vmap(ours, randomness=randomness), x)
        assert len(found.unique(dim=0)) == count
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        torch.func.vmap(ours)(x)
    # As in a program without vmap, outside of one.
    assert bool(torch.func.grad(lambda x: ours(x).sum())(x[0]).any())


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize(("ours", "torchs"), FUNCTIONS)
def test_what_is_compiled_traced_or_looked_into_has_torchs_drawing_in_it(ours, torchs):
    x = torch.rand(5, 30)
    compiled = torch.compile(ours, backend="eager", fullgraph=True)
    assert torch.equal(seeded(compiled, x), seeded(torchs, x))
    traced = torch.jit.trace(ours, x, check_trace=False)
    assert torch.equal(seeded(traced, x), seeded(torchs, x))
    program = torch.export.export(Holder(ours), (x,))
    assert any("dropout" in str(node.target) or "bernoulli" in str(node.target) for node in program.graph.nodes)
    with FakeTensorMode():
        assert ours(torch.rand(5, 30)).shape == (5, 30)
    assert ours(x.to("meta")).device.type == "meta"


class Holder(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@on_engine
def test_where_tensors_are_made_does_not_matter():
    with torch.device("meta"):
        assert bernoulli((5, 30), 0.5, F32).device.type == "cpu"


@on_engine
def test_the_engine_draws_where_nothing_speaks_against_it(monkeypatch):
    drawn = []
    monkeypatch.setattr(_random.kernels(), "draw_mask32", lambda *given: drawn.append(given[3]))
    for like in (F32, torch.nn.Parameter(F32), F32.bfloat16()):
        bernoulli((3, 4), 0.5, like)
        dropout_mask((5,), 0.5, like)
        dropout(like.expand(6), 0.5)
    assert drawn == [12, 5, 6] * 3


def test_masks_that_last_are_drawn_by_the_first_segment_alone():
    masks, like = [], F32

    def segment(is_first):
        with lasting(masks, is_first=is_first):
            return [
                lasting_mask((2, 8), 0.5, like),
                lasting_dropout(torch.ones(3, 5), 0.4),
                bernoulli((40,), 0.5, like),
            ]

    first = segment(True)
    before = torch.get_rng_state()
    bernoulli((40,), 0.5, like)
    drawn_by_one = torch.get_rng_state()
    torch.set_rng_state(before)
    second = segment(False)
    # What is drawn for each step goes on, and nothing else was drawn.
    assert torch.equal(torch.get_rng_state(), drawn_by_one)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[2], second[2])
    # Another sequence has others.
    third = segment(True)
    assert len(masks) == 2
    assert not torch.equal(third[0], first[0])
    assert torch.equal(segment(False)[0], third[0])
    # Outside they are drawn as ever.
    x = torch.rand(3, 5)
    assert torch.equal(seeded(lasting_dropout, x, 0.4), seeded(dropout, x, 0.4))
