"""Forecast networks: what they may know, the contract of the state, training against use, and that they learn."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.data.series import Panel, Part, Scaler, SeriesBatch, Windows
from recur.errors import OptionError
from recur.models.autoregressive_forecast import AutoregressiveForecast
from recur.models.distributions import Distribution, Gaussian, NegativeBinomial, Point, Quantiles
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, taken
from recur.nn import nest

KINDS = ("direct", "encoder-decoder", "autoregressive", "segments")
HEADS = ("point", "gaussian", "student-t", "negative-binomial", "mixture", "quantile")
NORMALIZE = ("series", "window", "last")
SHAPE = SeriesShape(
    num_features=6,
    num_targets=2,
    num_future=3,
    num_calendar=2,
    past_sizes=(3,),
    known_sizes=(4,),
    static_sizes=(3,),
    num_static=2,
    horizon=5,
)
NO_COVARIATES = SeriesShape(num_features=1, num_targets=1, horizon=5)


def build(shape: SeriesShape = SHAPE, **options: Any) -> ForecastNetwork:
    torch.manual_seed(1)
    chosen: dict[str, Any] = {
        "kind": "encoder-decoder",
        "history": 8,
        "hidden_size": 6,
        "head": "gaussian",
        "normalize": "series",
    } | options
    if chosen["kind"] == "autoregressive":
        chosen.setdefault("num_paths", 20)
    chosen.setdefault("level", chosen["normalize"] == "series")
    chosen.setdefault("rules", chosen["normalize"] != "series")
    if chosen["kind"] == "segments":
        chosen.setdefault("segment", 3)
    return ForecastNetwork(ForecasterOptions(**chosen), shape).double().eval()


class Story:
    """Series of B rows whose steps are all known, to cut windows from; a fifth of the numbers is missing."""

    def __init__(self, shape: SeriesShape = SHAPE, rows: int = 4, steps: int = 30, *, seed: int = 2) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.shape = shape
        numbers = torch.randn(rows, steps, shape.num_features, generator=generator)
        self.observed = torch.rand(numbers.shape, generator=generator) > 0.2
        if shape.num_calendar:
            self.observed[..., -shape.num_calendar :] = True
        self.numbers = torch.where(self.observed, numbers, 0)
        sizes = (*shape.past_sizes, *shape.known_sizes)
        codes = [torch.randint(size, (rows, steps), generator=generator) for size in sizes]
        self.codes = torch.stack(codes, 2) if codes else None
        self.static = torch.randn(rows, shape.num_static, generator=generator)
        self.static_observed = torch.rand(self.static.shape, generator=generator) > 0.3
        static = [torch.randint(size, (rows,), generator=generator) for size in shape.static_sizes]
        self.static_codes = torch.stack(static, 1) if static else None

    def cut(self, begin: list[int], end: list[int], *, width: int | None = None) -> SeriesBatch:
        """Return the windows of all rows from `begin` up to `end`, padded to `width`."""
        shape, rows = self.shape, torch.arange(len(begin))[:, None]
        first, last = torch.tensor(begin)[:, None], torch.tensor(end)[:, None]
        past = first + torch.arange(max(1, int((last - first).max())) if width is None else width)
        inside = past < last
        past = torch.where(inside, past, 0)
        ahead = last + torch.arange(shape.horizon)
        known = slice(shape.num_features - shape.num_future, None)
        has_future = bool(shape.num_future)
        return SeriesBatch(
            x=torch.where(inside[..., None], self.numbers[rows, past], 0),
            observed=self.observed[rows, past] & inside[..., None],
            lengths=(last - first)[:, 0],
            target=self.numbers[rows, ahead][..., : shape.num_targets],
            weight=self.observed[rows, ahead][..., : shape.num_targets].float(),
            index=rows[:, 0],
            row=last[:, 0],
            times=torch.where(inside, past - first, 0).float(),
            future=self.numbers[rows, ahead][..., known] if has_future else None,
            future_observed=self.observed[rows, ahead][..., known] if has_future else None,
            codes=None if self.codes is None else torch.where(inside[..., None], self.codes[rows, past], 0),
            future_codes=None if self.codes is None else self.codes[rows, ahead][..., len(shape.past_sizes) :],
            static=torch.where(self.static_observed, self.static, 0) if shape.num_static else None,
            static_observed=self.static_observed if shape.num_static else None,
            static_codes=self.static_codes,
            centre=torch.zeros(len(begin), shape.num_targets),
            scale=torch.full((len(begin), shape.num_targets), 2.0),
        )


def only(batch: SeriesBatch, row: int) -> SeriesBatch:
    """Return one row of a batch, without its padding."""
    steps = max(1, int(batch.lengths[row]))
    padded = ("x", "observed", "times", "codes")
    found = {}
    for name, value in vars(batch).items():
        own = None if value is None else value[row : row + 1]
        found[name] = own[:, :steps] if own is not None and name in padded else own
    return SeriesBatch(**found)


def changed(batch: SeriesBatch, **values: Any) -> SeriesBatch:
    return SeriesBatch(**{**vars(batch), **values})


def parameters(forecast: Distribution) -> Tensor:
    """Return all that a distribution says of each element, (..., N)."""
    return torch.stack([value.reshape(*forecast.shape, -1) for value in forecast._parameters().values()], -1).flatten(
        -2
    )


def assert_same(a: Distribution | Tensor, b: Distribution | Tensor) -> None:
    # Doubles of order one through some dozen steps of sums of at most 40 terms.
    a, b = (each if isinstance(each, Tensor) else parameters(each) for each in (a, b))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


VARIANTS = [
    *({"kind": kind, "normalize": normalize} for kind, normalize in itertools.product(KINDS, NORMALIZE)),
    *({"kind": kind, "normalize": "last", "level": True} for kind in KINDS),
    *({"kind": kind, "normalize": normalize, "rules": False} for kind in KINDS for normalize in ("window", "last")),
    *({"kind": kind, "head": head} for kind, head in itertools.product(KINDS, HEADS) if head != "gaussian"),
    *({"kind": kind, "cell": cell, "num_layers": 2} for kind in KINDS for cell in ("lstm", "rnn", "mgu")),
]
every_variant = pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())))
every_kind = pytest.mark.parametrize("kind", KINDS)


# --- what it knows ------------------------------------------------------------------------------------------------


@every_variant
def test_targets_are_not_looked_at(options: dict[str, Any]) -> None:
    network, batch = build(**options), Story().cut([0, 2, 9, 4], [8, 9, 9, 5])
    planted = changed(batch, target=torch.full_like(batch.target, torch.nan), weight=1e9 - batch.weight)
    before, after = (network(each) for each in (batch, planted))
    assert torch.equal(parameters(before[0]), parameters(after[0]))
    drawn = [network.sample(each, 3, torch.Generator().manual_seed(0)) for each in (batch, planted)]
    assert torch.equal(*drawn)
    assert drawn[0].isfinite().all()
    assert drawn[0].shape == (3, 4, 5, 2)


@every_kind
def test_what_was_and_what_is_known_is_looked_at(kind: str) -> None:
    network, batch = build(kind=kind, head="point"), Story(seed=6).cut([0] * 4, [8] * 4)
    told = network(batch)[0].mean

    def moves(**values: Any) -> bool:
        return bool((network(changed(batch, **values))[0].mean - told).abs().amax((1, 2)).gt(1e-9).all())

    for feature in range(SHAPE.num_features):
        x = batch.x.clone()
        x[..., feature] = x[..., feature] + 1.0
        assert moves(x=x), feature
    for feature in range(SHAPE.num_features - SHAPE.num_calendar):
        observed = batch.observed.clone()
        observed[..., feature] = ~observed[..., feature]
        assert moves(observed=observed), feature
    for feature in range(SHAPE.num_future):
        future = batch.future.clone()
        future[..., feature] = future[..., feature] + 1.0
        assert moves(future=future), feature
    assert moves(future_observed=torch.cat([~batch.future_observed[..., :1], batch.future_observed[..., 1:]], 2))
    assert moves(codes=torch.stack([(batch.codes[..., 0] + 1) % 3, batch.codes[..., 1]], 2))
    assert moves(codes=torch.stack([batch.codes[..., 0], (batch.codes[..., 1] + 1) % 4], 2))
    assert moves(future_codes=(batch.future_codes + 1) % 4)
    assert moves(static=batch.static + 1.0)
    assert moves(static_observed=~batch.static_observed)
    assert moves(static_codes=(batch.static_codes + 1) % 3)


@every_kind
@pytest.mark.parametrize("normalize", ["window", "last"])
def test_a_constant_that_is_added_is_added_to_the_forecast(kind: str, normalize: str) -> None:
    network, batch = build(kind=kind, normalize=normalize), Story().cut([0, 2, 7, 4], [8, 9, 12, 11])
    x = batch.x + 100.0 * torch.tensor([1, 1, 0, 0, 0, 0]) * batch.observed
    has_begun = batch.observed[..., :2].any(1)
    assert has_begun.all()
    one, other = (network(each)[0].mean for each in (batch, changed(batch, x=x)))
    # The inputs are float32, to which the hundred is added: twice 2^-24 of it for each of some dozen steps.
    torch.testing.assert_close(other - one, torch.full_like(one, 100.0), rtol=0, atol=2e-4)


# --- state and rows -----------------------------------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("cut", [(1, 1, 1, 0), (4, 1, 2, 0)])
def test_two_halves_equal_the_whole(options: dict[str, Any], cut: tuple[int, ...]) -> None:
    network, story = build(**options), Story()
    begin, end = [0, 3, 1, 2], [9, 8, 3, 2]
    middle = [first + steps for first, steps in zip(begin, cut, strict=True)]
    whole, final = network(story.cut(begin, end))
    _, state = network(story.cut(begin, middle))
    half, last = network(story.cut(middle, end), state)
    assert_same(half, whole)
    for (_, a), (_, b) in zip(nest.leaves(last), nest.leaves(final), strict=True):
        assert_same(a, b)
    # Of few counts all paths can be zero.
    if options.get("head") != "negative-binomial":
        assert not torch.allclose(parameters(network(story.cut(middle, end))[0])[0], parameters(whole)[0])


@every_variant
def test_a_row_alone_equals_the_row_in_a_batch(options: dict[str, Any]) -> None:
    network, batch = build(**options), Story().cut([0, 2, 9, 4], [8, 9, 9, 5], width=11)
    together, _ = network(batch)
    for row in range(4):
        assert_same(parameters(network(only(batch, row))[0])[0], parameters(together)[row])


@every_kind
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_padding_may_hold_anything(kind: str, normalize: str) -> None:
    network, batch = build(kind=kind, normalize=normalize), Story().cut([0, 2, 9, 4], [8, 9, 9, 5])
    is_padding = torch.arange(batch.x.shape[1]) >= batch.lengths[:, None]
    filled = changed(
        batch,
        x=torch.where(is_padding[..., None], 7.0, batch.x),
        codes=torch.where(is_padding[..., None], 2, batch.codes),
    )
    assert_same(network(filled)[0], network(batch)[0])
    assert_same(network.loss(filled), network.loss(batch))


@every_kind
def test_copies_and_saved_weights_tell_the_same(kind: str) -> None:
    network, batch = build(kind=kind, normalize="last", head="point"), Story().cut([0] * 4, [8] * 4)
    other = build(kind=kind, normalize="last", head="point")
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(network.state_dict())
    told = parameters(network(batch)[0])
    assert torch.equal(parameters(other(batch)[0]), told)
    assert torch.equal(parameters(copy.deepcopy(network)(batch)[0]), told)
    # Of weights of order one, rounded to float32, over some dozen steps.
    torch.testing.assert_close(parameters(network.float()(batch)[0]), told.float(), rtol=0, atol=1e-4)


# --- where training begins ----------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("normalize", ["window", "last"])
@pytest.mark.parametrize("level", [False, True])
def test_training_begins_at_the_mix_of_rules_that_is_fitted(kind: str, normalize: str, level: bool) -> None:
    network = build(kind=kind, normalize=normalize, level=level, season=3)
    story = Story(rows=4, steps=60)
    batches = [story.cut([at] * 4, [at + 8] * 4) for at in range(40)]
    network.start(iter(batches))
    batch = first_step(batches[7]) if kind == "autoregressive" else batches[7]
    start = network.body.reader.start
    assert start is not None
    assert start.weight.abs().sum() > 0
    single = build(dataclasses.replace(SHAPE, horizon=1), kind=kind, normalize=normalize, level=level, season=3)
    if kind == "autoregressive":
        single.load_state_dict(network.state_dict())
        network = single
    timeline = Timeline.of(batch, network.shape, torch.float64)
    targets, is_there = timeline.numbers[..., :2], timeline.is_there[..., :2]
    known, _ = start.remember(targets, is_there, batch.lengths)
    rows = torch.arange(4)
    scale = taken(network.body.reader.normalized(timeline).place.scale, batch.lengths[None])[0]
    anchors, mean = start.anchors(known, scale, batch.lengths, rows)
    forecast, _ = network(batch)
    assert isinstance(forecast, Gaussian)
    assert_same(forecast.loc, mean[:, None] + (anchors * start.weight).sum(-1))
    # What is added to a deviation, so that none is 0, and float32 in which the head begins.
    torch.testing.assert_close(forecast.scale, scale[:, None] * start.spread, rtol=1e-5, atol=0)


def first_step(batch: SeriesBatch) -> SeriesBatch:
    names = ("target", "weight", "future", "future_observed", "future_codes")
    return changed(batch, **{name: getattr(batch, name)[:, :1] for name in names})


@pytest.mark.parametrize("head", [head for head in HEADS if head != "negative-binomial"])
def test_every_head_begins_near_the_normal_distribution(head: str) -> None:
    network, story = build(NO_COVARIATES, head=head, normalize="last"), Story(NO_COVARIATES)
    network.start([story.cut([at] * 4, [at + 8] * 4) for at in range(12)])
    forecast, _ = network(story.cut([2] * 4, [10] * 4))
    reader = network.body.reader
    assert reader.start is not None
    spread = reader.start.spread
    torch.testing.assert_close(forecast.mean, forecast.quantile(0.5), rtol=0, atol=1e-5)
    if head == "point":
        return
    normal = Gaussian(loc=forecast.mean, scale=spread.expand(forecast.shape))
    for level in (0.05, 0.2, 0.9):
        # Student's distribution of 10 degrees and a mixture have other shoulders, by at most a tenth of a deviation.
        away = (forecast.quantile(level) - normal.quantile(level)) / spread
        assert away.abs().max() < (0.1 if head in ("student-t", "mixture") else 1e-4)


def test_without_a_gate_training_begins_as_it_was() -> None:
    network, batch = build(normalize="series"), Story().cut([0] * 4, [8] * 4)
    before = copy.deepcopy(network.state_dict())
    network.start([batch])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# --- training against use -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["direct", "encoder-decoder", "segments"])
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_what_is_told_in_training_is_what_shorter_windows_tell(kind: str, normalize: str) -> None:
    network, story = build(kind=kind, normalize=normalize), Story()
    begin, end = [0, 3, 1, 2], [12, 9, 3, 2]
    told = network.body.told(story.cut(begin, end))
    assert told.target.shape == (3, 4, 5, 2)
    for row, back in itertools.product(range(4), range(3)):
        ended = end[row] - 5 * back
        if ended <= begin[row] and back:
            assert told.weight[back, row].eq(0).all()
            continue
        ends = [ended if other == row else end[other] for other in range(4)]
        shorter = story.cut(begin, ends)
        assert_same(parameters(told.forecast)[back, row], parameters(network(shorter)[0])[row])
        assert_same(told.target[back, row], shorter.target[row].double())
        assert_same(told.weight[back, row], shorter.weight[row].double())


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_an_autoregressive_network_is_taught_to_tell_one_step(normalize: str) -> None:
    # Nothing but what is known of the future, for the past alone is missing from the steps ahead.
    shape = SeriesShape(num_features=3, num_targets=1, num_future=2, known_sizes=(4,), horizon=4)
    one = SeriesShape(num_features=3, num_targets=1, num_future=2, known_sizes=(4,), horizon=1)
    network = build(shape, kind="autoregressive", normalize=normalize)
    single = build(one, kind="autoregressive", normalize=normalize)
    single.load_state_dict(network.state_dict())
    story, steps = Story(shape), Story(one)
    begin, end = [0, 3, 1, 2], [6, 7, 3, 2]
    told = network.body.told(story.cut(begin, end))
    for row in range(4):
        length = end[row] - begin[row]
        for step in range(told.target.shape[1]):
            if not (step > 0 or length == 0) or step >= length + 4:
                assert told.weight[row, step].eq(0).all()
                continue
            ends = [begin[other] + step if other == row else end[other] for other in range(4)]
            shorter = steps.cut(begin, ends)
            assert_same(parameters(told.forecast)[row, step], parameters(single(shorter)[0])[row, 0])
            assert_same(told.target[row, step], shorter.target[row, 0].double())
            assert_same(told.weight[row, step], shorter.weight[row, 0].double())


@every_kind
def test_the_loss_is_the_mean_over_what_counts(kind: str) -> None:
    network, batch = build(kind=kind, head="gaussian"), Story().cut([0, 2, 9, 4], [8, 9, 9, 5])
    forecast, target, weight = network.body.told(batch)
    assert isinstance(forecast, Gaussian)
    likelihood = torch.distributions.Normal(forecast.loc, forecast.scale).log_prob(target)
    assert_same(network.loss(batch), -(likelihood * weight).sum() / weight.sum())
    forecast, _ = network(batch)
    own = forecast.loss(batch.target.double(), by="pinball" if kind == "autoregressive" else "nll", weight=batch.weight)
    assert_same(network.forecast_loss(batch), own)
    missing = changed(batch, target=torch.where(batch.weight > 0, batch.target, torch.nan))
    assert_same(network.loss(missing), network.loss(batch))


@every_kind
def test_steps_that_were_read_count_by_their_weight(kind: str) -> None:
    network, batch = build(kind=kind), Story().cut([0, 2, 9, 4], [8, 9, 9, 5])
    counted = torch.rand(batch.x.shape[:2], generator=torch.Generator().manual_seed(3)).round(decimals=1)
    counted[:, 2:4] = 0
    weighted = changed(batch, history_weight=counted)
    told, plain = network.body.told(weighted), network.body.told(batch)
    shares = torch.zeros(4, batch.x.shape[1] + SHAPE.horizon, dtype=torch.float64)
    for row, length in enumerate(batch.lengths.tolist()):
        shares[row, :length], shares[row, length : length + SHAPE.horizon] = counted[row, :length], 1
    if kind == "autoregressive":
        wanted = shares
    else:
        begins = batch.lengths - SHAPE.horizon * torch.arange(len(told.target))[:, None]
        steps = begins.clamp(min=0)[..., None] + torch.arange(SHAPE.horizon)
        wanted = shares.expand(len(steps), -1, -1).gather(2, steps)
    assert_same(told.weight, plain.weight * wanted[..., None])
    assert not torch.equal(told.weight, plain.weight)
    # What counts nothing teaches nothing, whatever it was; it is read all the same.
    nothing = changed(batch, history_weight=torch.zeros_like(counted), weight=torch.zeros_like(batch.weight))
    assert network.loss(nothing).item() == 0


@every_variant
def test_every_weight_gets_a_gradient(options: dict[str, Any]) -> None:
    network, batch = build(**options).train(), Story(rows=40).cut([0] * 40, [8] * 40)
    if options.get("head") == "negative-binomial":
        whole = (batch.x[..., :2].abs() * 3).round() / 2
        batch = changed(batch, x=torch.cat([whole, batch.x[..., 2:]], 2), target=(batch.target.abs() * 3).round() / 2)
    network.loss(batch).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


# --- paths --------------------------------------------------------------------------------------------------------


def test_points_are_fed_back() -> None:
    shape = SeriesShape(num_features=4, num_targets=1, num_future=2, known_sizes=(3,), horizon=4)
    one = SeriesShape(num_features=4, num_targets=1, num_future=2, known_sizes=(3,), horizon=1)
    network, single = (build(each, kind="autoregressive", head="point", normalize="last") for each in (shape, one))
    single.load_state_dict(network.state_dict())
    story, steps = Story(shape), Story(one)
    begin, end = [0, 3, 1, 2], [6, 7, 3, 2]
    told, _ = network(story.cut(begin, end))
    assert isinstance(told, Point)
    for ahead in range(4):
        ends = [last + ahead for last in end]
        said, _ = single(steps.cut(begin, ends))
        assert_same(said.mean[:, 0], told.mean[:, ahead])
        # As if it had come; of the number that is known of the past alone nothing is known.
        for row, last in enumerate(ends):
            steps.numbers = steps.numbers.double()
            steps.numbers[row, last, :2] = torch.tensor([float(told.mean[row, ahead, 0]), 0.0], dtype=torch.float64)
            steps.observed[row, last, :2] = torch.tensor([True, False])


def test_paths_hang_together_and_their_quantiles_are_told() -> None:
    network = build(NO_COVARIATES, kind="autoregressive", normalize="last", num_paths=2000)
    batch = Story(NO_COVARIATES).cut([0] * 4, [8] * 4)
    random_state = torch.random.get_rng_state()
    told, _ = network(batch)
    assert isinstance(told, Quantiles)
    assert torch.equal(parameters(network(batch)[0]), parameters(told))
    assert torch.equal(torch.random.get_rng_state(), random_state)
    paths = network.sample(batch, 2000, torch.Generator().manual_seed(5))
    assert paths.shape == (2000, 4, 5, 1)
    for level in (0.1, 0.5, 0.9):
        # A share of paths differs from its level by five times sqrt(q (1 - q) (1/2000 + 1/2000)).
        share = (paths <= told.quantile(level)).double().mean(0)
        torch.testing.assert_close(
            share, torch.full_like(share, level), rtol=0, atol=5 * (level * (1 - level) / 1e3) ** 0.5
        )
    # What is told from the last value spreads step by step, and neighbours in a path are alike.
    spread = paths.std(0)[..., 0]
    assert (spread[:, -1] > 1.3 * spread[:, 0]).all()
    for row in range(4):
        assert torch.corrcoef(paths[:, row, 3:, 0].t())[0, 1] > 0.5


def test_paths_of_steps_told_alone_have_the_distribution_of_each() -> None:
    network, batch = build(head="gaussian"), Story().cut([0] * 4, [8] * 4)
    forecast, _ = network(batch)
    paths = network.sample(batch, 4000, torch.Generator().manual_seed(5))
    # Five standard errors of a mean, scale / sqrt(4000), and of a deviation, scale / sqrt(8000).
    assert ((paths.mean(0) - forecast.loc).abs() < 5 * forecast.scale / 4000**0.5).all()
    assert ((paths.std(0) - forecast.scale).abs() < 5 * forecast.scale / 8000**0.5).all()


def test_one_step_of_an_autoregressive_network_is_its_head() -> None:
    network = build(SeriesShape(num_features=1, num_targets=1, horizon=1), kind="autoregressive", head="student-t")
    forecast, _ = network(Story(network.shape).cut([0] * 4, [8] * 4))
    assert type(forecast).__name__ == "StudentT"
    assert forecast.df.requires_grad


# --- counts -------------------------------------------------------------------------------------------------------


def counts() -> SeriesBatch:
    batch = Story(NO_COVARIATES).cut([0, 2, 9, 4], [8, 9, 9, 5])
    scale = torch.tensor([[3.0], [7.0], [0.3], [1.0]])
    drawn = torch.Generator().manual_seed(1)
    x = torch.randint(9, batch.x.shape, generator=drawn) / scale[:, None]
    target = torch.randint(9, batch.target.shape, generator=drawn) / scale[:, None]
    return changed(batch, x=x * batch.observed, target=target, scale=scale)


@every_kind
def test_counts_are_judged_and_drawn_as_counts(kind: str) -> None:
    network, batch = build(NO_COVARIATES, kind=kind, head="negative-binomial"), counts()
    forecast, target, weight = network.body.told(batch)
    assert isinstance(forecast, NegativeBinomial)
    scale = batch.scale[:, None].double()
    whole = (target * scale).round()
    density = NegativeBinomial(rate=forecast.rate * scale, total_count=forecast.total_count).log_prob(whole)
    assert_same(network.loss(batch), -(density * weight).sum() / weight.sum())
    paths = network.sample(batch, 50, torch.Generator().manual_seed(0)) * scale
    torch.testing.assert_close(paths, paths.round(), rtol=0, atol=1e-9)
    assert paths.max() > 1
    assert network(batch)[0].mean.isfinite().all()


@every_kind
def test_what_is_no_count_is_refused(kind: str) -> None:
    network, batch = build(NO_COVARIATES, kind=kind, head="negative-binomial"), counts()
    with pytest.raises(
        ValueError, match=r"^NegativeBinomial: a target is negative or not whole, but counts are 0, 1, 2"
    ):
        network.loss(changed(batch, target=batch.target + 0.01, weight=torch.ones_like(batch.weight)))
    centred = changed(batch, centre=batch.centre + 1.0)
    message = r"^ForecastNetwork: the series were centred, but head negative-binomial tells counts, .* 'mean_abs'"
    with pytest.raises(ValueError, match=message):
        network.loss(centred)
    with pytest.raises(ValueError, match=message):
        network.sample(centred, 2)


@every_kind
def test_explain_says_what_runs_each_layer(kind: str) -> None:
    found = build(kind=kind).float().explain(4, 8)
    names = ["body.reader.layers", *(["body.decoder.layer"] if kind != "autoregressive" else [])]
    assert [one["layer"] for one in found] == names
    assert {one["backend"] for one in found} == {"cpu"}


# --- errors -------------------------------------------------------------------------------------------------------


def test_bad_input_is_named() -> None:
    with pytest.raises(OptionError, match=r"^ForecastNetwork: options must give kind, history, hidden_size, head, no"):
        ForecastNetwork(ForecasterOptions(), SHAPE)
    with pytest.raises(
        OptionError, match=r"^ForecastNetwork: the shape has no horizon, so there is nothing to forecast"
    ):
        build(SeriesShape(num_features=2))
    network, batch = build(), Story().cut([0] * 4, [8] * 4)
    for values, message in [
        ({"x": batch.x[..., 1:]}, "5 numbers, but the network is built for 6"),
        ({"future": None}, "0 numbers known of the future, but the network is built for 3"),
        ({"codes": batch.codes[..., 1:]}, "1 categories, but the network is built for 2"),
        ({"future_codes": None}, "0 categories known of the future, but the network is built for 1"),
        ({"static": None}, "0 static numbers, but the network is built for 2"),
        ({"static_codes": None}, "0 static categories, but the network is built for 1"),
        ({"target": batch.target[..., :1]}, "1 targets, but the network is built for 2"),
        ({"target": batch.target[:, 1:]}, "4 steps to tell, but the network is built for 5"),
    ]:
        for use in (network, network.loss, lambda one: network.sample(one, 1)):
            with pytest.raises(ValueError, match=rf"^ForecastNetwork: the batch has {message}\.$"):
                use(changed(batch, **values))
    with pytest.raises(TypeError, match=r"^ForecastNetwork: num_paths must be an int, but is float\.$"):
        network.sample(batch, 2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^ForecastNetwork: num_paths is 0, but must be at least 1\.$"):
        network.sample(batch, 0)


# --- learning -----------------------------------------------------------------------------------------------------


@every_kind
def test_it_learns_a_noisy_wave(kind: str) -> None:
    steps, generator = torch.arange(600.0), torch.Generator().manual_seed(0)
    noise = 0.3 * torch.randn(600, generator=generator)
    wave = 20 + 5 * (torch.sin(2 * torch.pi * steps / 12) + noise)
    panel = Panel.of_rows(["wave"], [600], wave[:, None].numpy())
    train = Part(panel=panel, start=torch.tensor([0]).numpy(), stop=torch.tensor([480]).numpy())
    test = Part(panel=panel, start=torch.tensor([480]).numpy(), stop=torch.tensor([600]).numpy())
    scaler = Scaler.fit(train)
    windows = Windows(train, history=24, horizon=6, batch_size=32, scaler=scaler, seed=0)
    shape = SeriesShape.of(panel.schema, windows.channels, windows.future_channels, 6)
    options: dict[str, Any] = {
        "kind": kind,
        "normalize": "last",
        "level": True,
        "history": 24,
        "hidden_size": 16,
        "loss": "crps",
    }
    options |= {"num_paths": 100} if kind == "autoregressive" else {}
    network = build(shape, **options).float().train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(12):
        for batch in windows:
            optimizer.zero_grad()
            network.loss(batch).backward()
            optimizer.step()
    (held_out,) = Windows(test, history=24, horizon=6, batch_size=200, scaler=scaler)
    with torch.no_grad():
        told = held_out.unscaled(network.eval()(held_out)[0].mean)
    truth = held_out.unscaled(held_out.target)
    error = (told - truth).square().mean().sqrt()
    season_ago = (held_out.unscaled(held_out.x)[:, 12:18] - truth).square().mean().sqrt()
    # A wave that is known leaves the noise, 1.5; that of a season ago has it twice, 1.5 sqrt 2 = 2.1.
    assert season_ago > 1.9
    assert error < 0.9 * season_ago
    assert isinstance(network.body, AutoregressiveForecast) == (kind == "autoregressive")
