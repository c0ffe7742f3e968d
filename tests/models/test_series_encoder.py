"""Networks that read whole series: lengths, missing values, times, pieces with the state carried on."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from recur.data.series import Part, SeriesBatch, WholeSeries
from recur.models import SeriesEncoder, SeriesEncoderOptions, SeriesShape

KINDS = {
    "plain": {},
    "layers": {"num_layers": 3, "residual": True, "cell": "lstm"},
    "convolutions": {"convolutions": (3, 2), "filters": 5},
    "times": {"time_input": True, "cell": "indrnn"},
    "mean": {"pooling": "mean", "cell": "ligru"},
    "max": {"pooling": "max", "cell": "mgu"},
    "attention": {"pooling": "attention", "cell": "rnn", "convolutions": (4,)},
    # Of few units, all might be shut at all steps.
    "phased": {"cell": "phased", "hidden_size": 40},
    "cfc": {"cell": "cfc", "pooling": "mean"},
    "grud": {"cell": "grud", "num_layers": 2},
}
ALL = KINDS | {f"{name}, both ways": options | {"bidirectional": True} for name, options in KINDS.items()}


@pytest.fixture
def batch(classes) -> SeriesBatch:
    (found,) = WholeSeries(Part.whole(classes), batch_size=9)
    return found


def encoder_of(classes, *, per_step: bool = False, **options) -> SeriesEncoder:
    shape = SeriesShape.of(classes.schema, WholeSeries(Part.whole(classes), batch_size=1).channels)
    torch.manual_seed(0)
    found = SeriesEncoder(SeriesEncoderOptions(**({"hidden_size": 6} | options)), shape, per_step=per_step)
    found.fit_time_unit(torch.tensor([0.5]))
    return found.double().eval()


def rows_of(batch: SeriesBatch, row: int) -> SeriesBatch:
    """One row alone, without padding."""
    length = int(batch.lengths[row])
    found = {}
    for name in vars(batch):
        value = getattr(batch, name)
        if value is not None:
            value = value[row : row + 1]
            found[name] = value[:, :length] if value.dim() > 1 and value.shape[1] == batch.x.shape[1] else value
    return replace(batch, **found)


def piece(batch: SeriesBatch, first: int, stop: int) -> SeriesBatch:
    lengths = (batch.lengths.clamp(max=stop) - first).clamp(min=0)
    steps = {name: getattr(batch, name)[:, first:stop] for name in ("x", "observed", "times", "codes")}
    return replace(batch, lengths=lengths, **steps)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("options", ALL.values(), ids=ALL)
def test_a_row_alone_equals_that_row_in_a_batch(classes, batch, options, per_step) -> None:
    encoder = encoder_of(classes, per_step=per_step, **options)
    features, _ = encoder(batch)
    assert features.dtype == torch.float64
    for row, length in enumerate(batch.lengths.tolist()):
        alone, _ = encoder(rows_of(batch, row))
        if per_step:
            torch.testing.assert_close(features[:length, row], alone[:, 0])
            assert not features[length:, row].any()
        else:
            torch.testing.assert_close(features[row], alone[0])


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_pieces_with_the_state_carried_on_give_the_whole(classes, batch, options, per_step) -> None:
    encoder = encoder_of(classes, per_step=per_step, **options)
    whole, last = encoder(batch)
    found, state = [], None
    for first, stop in ((0, 1), (1, 5), (5, 9)):
        features, state = encoder(piece(batch, first, stop), state)
        found.append(features)
    assert state is not None
    torch.testing.assert_close(torch.cat(found) if per_step else found[-1], whole)
    torch.testing.assert_close(tuple(state), tuple(last))


def test_a_state_is_refused_where_series_are_read_from_their_end(classes, batch) -> None:
    _, state = encoder_of(classes)(batch)
    with pytest.raises(ValueError, match=r"^SeriesEncoder: a state is carried on, but the series are read from"):
        encoder_of(classes, bidirectional=True)(batch, state)


def test_a_batch_of_another_shape_is_refused(classes, batch) -> None:
    encoder = encoder_of(classes)
    for changes, message in (
        ({"x": batch.x[..., :2], "observed": batch.observed[..., :2]}, "2 numbers, but the network is built for 3"),
        ({"codes": None}, "0 categories, but the network is built for 1"),
        ({"static": None, "static_observed": None}, "0 static numbers, but the network is built for 1"),
        ({"static_codes": batch.static_codes.repeat(1, 2)}, "2 static categories, but the network is built for 1"),
    ):
        with pytest.raises(ValueError, match=rf"^SeriesEncoder: the batch has {message}\.$"):
            encoder(replace(batch, **changes))


@pytest.mark.parametrize("options", ALL.values(), ids=ALL)
def test_padding_and_missing_numbers_and_labels_are_not_looked_at(classes, batch, options) -> None:
    encoder = encoder_of(classes, **options)
    expected, _ = encoder(batch)
    is_step = torch.arange(batch.x.shape[1]) < batch.lengths[:, None]
    garbage = replace(
        batch,
        x=torch.where(is_step[..., None], batch.x, 1e9),
        observed=batch.observed | ~is_step[..., None],
        codes=torch.where(is_step[..., None], batch.codes, 1),
        target=torch.full_like(batch.target, 2),
        weight=torch.full_like(batch.weight, torch.nan),
    )
    features, _ = encoder(garbage)
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("options", ALL.values(), ids=ALL)
def test_all_that_is_there_matters(classes, batch, options) -> None:
    """Each number, category and, where they are told, time changes the features of its own row alone."""
    encoder = encoder_of(
        classes, **(options | ({"pooling": "mean"} if options.get("pooling") in (None, "max") else {}))
    )
    expected, _ = encoder(batch)
    later = batch.times + 0.25 * torch.arange(9) * (torch.arange(4) == 3)[:, None]
    changes = {
        "x": batch.x + batch.observed * (torch.arange(4) == 3)[:, None, None],
        "codes": torch.where((torch.arange(4) == 3)[:, None, None] & (batch.codes > 0), 3 - batch.codes, batch.codes),
        "static": batch.static + (torch.arange(4) == 3)[:, None],
        "static_codes": torch.where((torch.arange(4) == 3)[:, None], 1, batch.static_codes),
    }
    if options.get("time_input") or options.get("cell") in ("phased", "cfc", "grud"):
        changes["times"] = later
    for name, value in changes.items():
        features, _ = encoder(replace(batch, **{name: value}))
        torch.testing.assert_close(features[:3], expected[:3], msg=name)
        assert not torch.allclose(features[3], expected[3]), name


def test_a_missing_number_is_told_from_a_zero(classes, batch) -> None:
    row, step, channel = (~batch.observed & (batch.lengths[:, None] > torch.arange(9))[..., None]).nonzero()[0].tolist()
    observed = batch.observed.clone()
    observed[row, step, channel] = True
    for options in ({}, {"cell": "grud"}):
        encoder = encoder_of(classes, pooling="mean", **options)
        assert not torch.allclose(encoder(replace(batch, observed=observed))[0][row], encoder(batch)[0][row])


def test_the_time_unit_is_the_usual_step(classes, batch) -> None:
    encoder = encoder_of(classes, time_input=True)
    encoder.fit_time_unit(torch.tensor([0.0, 0.5, 2.0, 3.0]))
    assert encoder.time_unit.item() == 2
    one, _ = encoder(batch)
    encoder.fit_time_unit(torch.tensor([0.0, 1.0, 4.0, 6.0]))
    torch.testing.assert_close(encoder(replace(batch, times=2 * batch.times))[0], one)
    encoder.fit_time_unit(torch.zeros(3))
    assert encoder.time_unit.item() == 1


def test_the_time_since_the_step_before_is_the_last_input(classes, batch) -> None:
    encoder = encoder_of(classes, time_input=True, dropout=0.0)
    encoder.fit_time_unit(torch.tensor([2.0]))
    seen = []
    encoder.recurrent.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    encoder(batch)
    passed = torch.log1p(batch.times.double().diff(dim=1, prepend=batch.times[:, :1].double()).clamp(min=0) / 2)
    torch.testing.assert_close(seen[0][..., -1], passed.t())


@pytest.mark.parametrize("options", ALL.values(), ids=ALL)
def test_every_parameter_gets_a_gradient(classes, batch, options) -> None:
    encoder = encoder_of(classes, **options)
    features, _ = encoder(batch)
    features.backward(torch.randn_like(features))
    # A GRU-D's rates of decay are rectified, so that as drawn some units have none.
    grads = {name: value.grad for name, value in encoder.named_parameters() if ".decay_" not in name}
    without = [name for name, grad in grads.items() if grad is None or not grad.any()]
    assert without == []


def test_dropout_acts_in_training_alone_and_is_locked_over_the_steps(classes, batch) -> None:
    encoder = encoder_of(classes, dropout=0.5, hidden_size=40, per_step=True)
    expected, _ = encoder(batch)
    encoder.train()
    dropped, _ = encoder(batch)
    assert not torch.equal(dropped, expected)
    is_zero = (dropped[:9, 0] == 0).all(0)
    assert 0 < is_zero.sum() < 40
    assert bool((dropped[:9, 0, ~is_zero] != 0).all())


def test_copies_and_saved_weights_say_the_same(classes, batch) -> None:
    encoder = encoder_of(classes, convolutions=(3,), time_input=True, pooling="attention")
    expected, _ = encoder(batch)
    assert torch.equal(copy.deepcopy(encoder)(batch)[0], expected)
    other = encoder_of(classes, convolutions=(3,), time_input=True, pooling="attention")
    for value in other.state_dict().values():
        value.fill_(0.5)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(batch)[0], expected)
