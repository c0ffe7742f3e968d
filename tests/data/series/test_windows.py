"""Windows and whole series as batches: what they read, what they tell, in which order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recur.data.series import (
    Assembly,
    Columns,
    LastWindows,
    Panel,
    Part,
    Scaler,
    SeriesBatch,
    Split,
    WholeSeries,
    Windows,
    panel_of_array,
    read_series,
)
from recur.errors import DataError, OptionError, RunError
from recur.nn import GRUD


def numbered(*lengths: int) -> Panel:
    """Series whose values are their rows."""
    values = np.arange(sum(lengths), dtype=np.float32)[:, None]
    return Panel.of_rows([str(number) for number in range(len(lengths))], lengths, values)


def only(batches: object) -> SeriesBatch:
    (batch,) = batches
    return batch


def test_windows_by_hand() -> None:
    batch = only(Windows(Part.whole(numbered(3, 5)), history=2, horizon=1, batch_size=9))
    assert batch.x[..., 0].tolist() == [[0, 1], [3, 4], [4, 5], [5, 6]]
    assert batch.target[..., 0].tolist() == [[2], [5], [6], [7]]
    assert batch.index.tolist() == [0, 1, 1, 1]
    assert batch.row.tolist() == [2, 5, 6, 7]
    assert batch.lengths.tolist() == [2] * 4
    assert batch.times.tolist() == [[0, 1]] * 4
    assert batch.future_times.tolist() == [[2]] * 4
    assert batch.weight.all()
    assert batch.future is None
    assert batch.codes is None


def test_short_histories_are_padded_on_the_right() -> None:
    batch = only(Windows(Part.whole(numbered(4)), history=3, horizon=1, batch_size=9, least_history=1))
    assert batch.lengths.tolist() == [1, 2, 3]
    assert batch.x[..., 0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 2]]
    assert batch.observed[..., 0].tolist() == [[True, False, False], [True, True, False], [True] * 3]
    assert batch.target[..., 0].tolist() == [[1], [2], [3]]


def test_strides_begin_at_the_part() -> None:
    panel = numbered(12)
    part = Part(panel=panel, start=np.array([4]), stop=np.array([11]))
    windows = Windows(part, history=3, horizon=2, batch_size=9, stride=2)
    assert only(windows).target[..., 0].tolist() == [[4, 5], [6, 7], [8, 9]]


def test_targets_of_a_part_lie_in_it_and_histories_may_not() -> None:
    panel = numbered(10, 8)
    split = Split.by_time(panel, valid=2, test=3)
    told = []
    for part in (split.train, split.valid, split.test):
        batch = only(Windows(part, history=3, horizon=2, batch_size=99))
        rows = batch.target[..., 0]
        assert part.has_row[rows.long().numpy()].all()
        assert (batch.x[..., 0].amax(1) < rows.amin(1)).all()
        told.append(set(rows.flatten().tolist()))
    assert not told[0] & told[1]
    assert not told[1] & told[2]
    # The first of the test part is told from rows of the parts before.
    assert only(Windows(split.test, history=3, horizon=2, batch_size=99)).x[0, :, 0].tolist() == [4, 5, 6]


def test_missing_values_are_masked_and_not_filled() -> None:
    panel = read_series({"t": [0, 1, 2, 3, 4], "y": [1, None, 3, None, 5], "z": [None, 7, 8, 9, 9]})
    batch = only(Windows(Part.whole(panel), history=2, horizon=2, batch_size=9))
    assert batch.target[..., 0].tolist() == [[3, 0], [0, 5]]
    assert batch.weight[..., 0].tolist() == [[1, 0], [0, 1]]
    assert batch.x.tolist() == [[[1, 0], [0, 7]], [[0, 7], [3, 8]]]
    assert batch.observed.tolist() == [[[True, False], [False, True]], [[False, True], [True, True]]]
    np.testing.assert_array_equal(batch.with_nan()[0], [[1, np.nan], [np.nan, 7]])


def test_windows_without_targets_are_left_out() -> None:
    y = [1, 2, None, None, 5, None, None, None, None, None]
    panel = read_series({"t": [0, 1, 2, 3, 4] * 2, "id": [*"aaaaabbbbb"], "y": y})
    windows = Windows(Part.whole(panel), history=1, horizon=1, batch_size=9)
    # To tell 5 there is no value to read; it is told where two steps are told from row 1.
    assert only(windows).row.tolist() == [1]
    assert windows.left_out == ("b",)
    assert only(Windows(Part.whole(panel), history=1, horizon=3, batch_size=9)).row.tolist() == [1, 2]
    anything = Windows(Part.whole(panel), history=1, horizon=1, batch_size=9, least_history=0)
    assert only(anything).row.tolist() == [0, 1, 4]
    with pytest.raises(DataError, match=r"^no window of the part 'all' has a target that is there and counts\.$"):
        Windows(Part.whole(panel.select([1])), history=1, horizon=1, batch_size=9)


def test_row_weights_count() -> None:
    panel = read_series({"t": [0, 1, 2, 3], "y": [1, 2, 3, 4], "weight": [1, 1, 0.5, 0]})
    batch = only(Windows(Part.whole(panel), history=1, horizon=1, batch_size=9))
    assert batch.weight.flatten().tolist() == [1, 0.5]


def test_steps_that_are_read_count_as_their_rows_do() -> None:
    panel = numbered(7, 3)
    assert only(Windows(Part.whole(panel), history=2, horizon=1, batch_size=9)).history_weight is None
    late = Part(panel=panel, start=np.array([2, 7]), stop=np.array([7, 10]))
    batch = only(Windows(late, history=3, horizon=1, batch_size=9, least_history=1))
    # What lies before the part may be read, but is nothing to learn to tell.
    assert batch.x[:2, :, 0].tolist() == [[0, 1, 0], [0, 1, 2]]
    assert batch.history_weight is not None
    assert batch.history_weight[:2].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert batch.history_weight[-2:].tolist() == [[1, 0, 0], [1, 1, 0]]
    weighted = read_series({"t": range(6), "y": range(6), "w": [1, 0, 2, 1, 1, 1]}, Columns(weight="w"))
    batch = only(Windows(Part.whole(weighted), history=3, horizon=1, batch_size=9))
    assert batch.history_weight is not None
    assert batch.history_weight.tolist() == [[1, 0, 2], [0, 2, 1], [2, 1, 1]]


def test_what_is_known_of_the_future_and_of_the_series_stands_beside() -> None:
    columns = {
        "t": [0, 1, 2, 3],
        "y": [1.0, 2, 3, 4],
        "price": [10.0, 20, 30, 40],
        "wind": [*"nsne"],
        "holiday": [*"abab"],
        "size": [5.0] * 4,
        "kind": ["x"] * 4,
    }
    roles = Columns(targets="y", known_future=["price", "holiday"], past_only="wind", static=["size", "kind"])
    batch = only(Windows(Part.whole(read_series(columns, roles)), history=2, horizon=1, batch_size=9))
    assert batch.x[0].tolist() == [[1, 10], [2, 20]]
    assert batch.future.tolist() == [[[30]], [[40]]]
    assert batch.future_observed.all()
    assert batch.codes.tolist() == [[[2, 1], [3, 2]], [[3, 2], [2, 1]]]
    assert batch.future_codes.tolist() == [[[1]], [[2]]]
    assert batch.static.tolist() == [[5], [5]]
    assert batch.static_codes.tolist() == [[1], [1]]


def test_scaled_windows_come_back() -> None:
    panel = numbered(6, 6)
    split = Split.by_time(panel, valid=0, test=2)
    scaler = Scaler.fit(split.train)
    batch = only(Windows(split.test, history=3, horizon=2, batch_size=9, scaler=scaler))
    np.testing.assert_allclose(
        batch.target[..., 0], [[(4 - 1.5) / np.sqrt(1.25), (5 - 1.5) / np.sqrt(1.25)]] * 2, rtol=1e-6
    )
    np.testing.assert_allclose(batch.unscaled(batch.target)[..., 0], [[4, 5], [10, 11]], rtol=1e-6)
    # Draws beside each other, (B, P, draws, C), come back too.
    draws = batch.target[:, :, None].expand(2, 2, 7, 1)
    np.testing.assert_allclose(batch.unscaled(draws)[:, :, 3, 0], [[4, 5], [10, 11]], rtol=1e-6)


def test_unseen_series_are_scaled_by_what_the_window_reads() -> None:
    scaler = Scaler.fit(Part.whole(numbered(4)))
    other = Panel.of_rows(["new"], [4], [[100.0], [102.0], [104.0], [999.0]])
    batch = only(Windows(Part.whole(other), history=2, horizon=1, batch_size=9, scaler=scaler))
    np.testing.assert_allclose(batch.centre[:, 0], [101, 103])
    # Two rows tell half of how much it varies; what is usual, in proportion to the size, tells the rest.
    scale = np.sqrt(1 + (np.array([101, 103]) / 1.5) ** 2 * 1.25 / 2)
    np.testing.assert_allclose(batch.scale[:, 0], scale, rtol=1e-6)
    np.testing.assert_allclose(batch.x[..., 0], [[-1, 1], [-1, 1]] / scale[:, None], rtol=1e-6)


def test_times_are_in_steps_or_seconds() -> None:
    columns = {"t": ["2024-01-31", "2024-02-29", "2024-03-31"], "y": [1, 2, 3]}
    months = only(Windows(Part.whole(read_series(columns)), history=2, horizon=1, batch_size=1))
    assert months.times.tolist() == [[0, 1]]
    columns = {"t": ["2024-01-31", "2024-02-29", "2024-04-30", "2024-05-31"], "y": [1, 2, 3, 4]}
    skipped = read_series(columns, assembly=Assembly(gaps="keep"))
    assert only(Windows(Part.whole(skipped), history=3, horizon=1, batch_size=1)).times.tolist() == [[0, 1, 3]]
    columns = {"t": ["2024-01-01 00:00:05", "2024-01-01 00:00:07", "2024-01-01 00:01:00"], "y": [1, 2, 3]}
    odd = only(Windows(Part.whole(read_series(columns)), history=2, horizon=1, batch_size=1))
    assert (odd.times.tolist(), odd.future_times.tolist()) == ([[0, 2]], [[55]])
    gaps = read_series({"t": [0, 2, 4, 8], "y": [1, 2, 3, 4]}, assembly=Assembly(gaps="keep"))
    kept = only(Windows(Part.whole(gaps), history=3, horizon=1, batch_size=1))
    assert (kept.times.tolist(), kept.future_times.tolist()) == ([[0, 1, 2]], [[4]])


def test_how_long_the_step_before_is_ago() -> None:
    panel = Panel.of_rows(["a", "b"], [4, 3], np.ones((7, 1)), times=np.array([0.0, 2, 3, 9, 5, 6, 10]))
    batch = only(Windows(Part.whole(panel), history=2, horizon=1, batch_size=9, time_unit=2.0))
    since = np.log1p(np.array([0, 2, 1, 6, 0, 1, 4]) / 2)
    np.testing.assert_allclose(batch.x[..., 1], since[[[0, 1], [1, 2], [4, 5]]], rtol=1e-6)
    assert batch.future is not None
    np.testing.assert_allclose(batch.future[..., 0], since[[[2], [3], [6]]], rtol=1e-6)
    assert Windows(Part.whole(panel), history=2, horizon=1, batch_size=9, time_unit=2.0).channels == ("y", "since_last")
    dates = read_series({"t": ["2024-01-01 00:00", "2024-01-01 00:10", "2024-01-02 03:00"], "y": [1.0, 2.0, 3.0]})
    batch = only(Windows(Part.whole(dates), history=2, horizon=1, batch_size=9, calendar=(), time_unit=600.0))
    assert batch.future is not None
    np.testing.assert_allclose(batch.x[0, :, 1], np.log1p([0, 1]), rtol=1e-6)
    np.testing.assert_allclose(batch.future[0, :, 0], np.log1p([26 * 6 + 5]), rtol=1e-6)


def test_layers_with_time_stamps_take_a_batch() -> None:
    panel = read_series({"t": [0.0, 1.0, 5.5, 6.0, 20.0], "y": [1, None, 3, 4, 5]})
    batch = next(iter(Windows(Part.whole(panel), history=3, horizon=1, batch_size=2)))
    layer = GRUD(batch.x.shape[2], 4, batch_first=True)
    by_nan, _ = layer(batch.with_nan(), times=batch.times, lengths=batch.lengths)
    by_mask, _ = layer(batch.x, mask=batch.observed, times=batch.times, lengths=batch.lengths)
    assert torch.isfinite(by_nan).all()
    torch.testing.assert_close(by_nan, by_mask, rtol=0, atol=0)


# --- order and resuming ---------------------------------------------------------------------------------------------


def rows_of(batches: object) -> list[list[int]]:
    return [batch.row.tolist() for batch in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def make(seed: int | None = 5, batch_size: int = 4) -> Windows:
    return Windows(Part.whole(numbered(20)), history=3, horizon=1, batch_size=batch_size, seed=seed)


def test_an_epoch_has_every_window_once_and_the_next_another_order() -> None:
    windows = make()
    first, second = rows_of(windows), rows_of(windows)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(3, 20))
    assert first != second
    assert len(first) == len(windows) == 5
    assert rows_of(make()) == first
    assert flat(rows_of(make(seed=None))) == list(range(3, 20))


@pytest.mark.parametrize("seen", [0, 2, 5, 7])
def test_a_saved_position_goes_on_with_the_same_batches(seen: int) -> None:
    windows = make()
    full = [*rows_of(windows), *rows_of(windows), *rows_of(windows)]
    stopped = make()
    handed = []
    for _ in range(2):
        for batch in stopped:
            if len(handed) == seen:
                break
            handed.append(batch.row.tolist())
            state = stopped.state_dict()
        if len(handed) == seen:
            break
    state = make().state_dict() if seen == 0 else state
    other = make()
    other.load_state_dict(state)
    rest = [*rows_of(other), *rows_of(other)]
    assert [*full[:seen], *rest] == full[: seen + len(rest)]
    assert len(rest) > 5


def test_a_position_of_something_else_is_refused() -> None:
    state = make().state_dict()
    with pytest.raises(RunError, match=r"^the saved position counts on seed 5, but here it is 6; resume with the same"):
        make(seed=6).load_state_dict(state)
    with pytest.raises(RunError, match=r"^the saved position counts on batch size 4, but here it is 3; resume with"):
        make(batch_size=3).load_state_dict(state)
    with pytest.raises(RunError, match=r"^the saved position is damaged: epoch 0, position 99\.$"):
        make().load_state_dict(state | {"position": 99})


# --- the end of the series ------------------------------------------------------------------------------------------


def test_last_windows_tell_what_comes() -> None:
    panel = numbered(4, 2).extended(3)
    batch = only(LastWindows(panel, history=3, horizon=3, batch_size=9))
    assert batch.lengths.tolist() == [3, 2]
    assert batch.x[..., 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert not batch.weight.any()
    assert batch.future_times.tolist() == [[3, 4, 5], [2, 3, 4]]


def test_future_covariates_that_are_missing_are_named() -> None:
    columns = {"t": [0, 1, 2, 3], "y": [1, 2, None, None], "promo": [0, 1, 1, 0]}
    panel = read_series(columns)
    assert only(LastWindows(panel, history=2, horizon=2, batch_size=1)).future[..., 0].tolist() == [[1, 0]]
    with pytest.raises(
        DataError,
        match=r"has 2 rows after its last target, but the horizon is 3; give rows for the future with 'promo' and "
        r"'y' left empty, one for each step, or tell fewer steps, horizon=2\.$",
    ):
        LastWindows(panel, history=2, horizon=3, batch_size=1)
    missing = read_series(columns | {"promo": [0, 1, 1, None]})
    with pytest.raises(
        DataError, match=r"^series 'series': 'promo' is missing at 3, but is known of the future; fill it in"
    ):
        LastWindows(missing, history=2, horizon=2, batch_size=1)
    with pytest.raises(
        DataError, match=r"has 0 rows after its last target, .* or make them with panel\.extended\(horizon\)"
    ):
        LastWindows(numbered(3), history=2, horizon=1, batch_size=1)
    empty = read_series({"t": [0, 1, 0, 1], "id": [*"aabb"], "y": [1, 2, None, None]})
    with pytest.raises(DataError, match=r"^series 'b' has no target to go on from; leave it out\.$"):
        LastWindows(empty, history=2, horizon=1, batch_size=1)


# --- whole series ---------------------------------------------------------------------------------------------------


def test_whole_series_have_lengths_and_labels() -> None:
    values = np.array([[[1.0], [2], [np.nan]], [[3], [4], [5]]])
    panel = panel_of_array(values, ["u", "t"])
    batch = only(WholeSeries(Part.whole(panel), batch_size=9))
    assert batch.x[..., 0].tolist() == [[1, 2, 0], [3, 4, 5]]
    assert batch.lengths.tolist() == [2, 3]
    assert batch.target.tolist() == [1, 0]
    assert batch.target.dtype == torch.int64
    assert batch.weight.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"^SeriesBatch: there is no scaling of the targets to undo"):
        batch.unscaled(batch.x)


def test_labels_of_steps_are_padded_and_missing_ones_do_not_count() -> None:
    columns = {"t": [0, 1, 2, 0, 1], "id": [*"aaabb"], "y": [1, 2, 3, 4, 5], "label": [0.5, None, 1.5, 2.5, 3.5]}
    batch = only(WholeSeries(Part.whole(read_series(columns)), batch_size=9))
    assert batch.target.tolist() == [[0.5, 0, 1.5], [2.5, 3.5, 0]]
    assert batch.weight.tolist() == [[1, 0, 1], [1, 1, 0]]


def test_whole_series_are_shuffled_by_their_seed_and_empty_ones_left_out() -> None:
    panel = numbered(*[2] * 9, 0)
    order = [batch.index.tolist() for batch in WholeSeries(Part.whole(panel), batch_size=2, seed=1)]
    assert sorted(flat(order)) == list(range(9))
    assert flat(order) != list(range(9))


def test_a_batch_moves_as_a_whole() -> None:
    batch = only(WholeSeries(Part.whole(numbered(2)), batch_size=1))
    assert batch.to(batch.x.device) is batch
    moved = batch.to(torch.device("meta"))
    assert {moved.x.device.type, moved.observed.device.type, moved.row.device.type} == {"meta"}
    assert moved.future is None


# --- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"history": 0}, OptionError, r"^history: expected a number of steps from 1 on, got 0\.$"),
        ({"horizon": 1.5}, OptionError, r"^horizon: expected a number of steps from 1 on, got 1\.5\.$"),
        ({"stride": 0}, OptionError, r"^stride: expected a number of steps from 1 on, got 0\.$"),
        ({"batch_size": 0}, OptionError, r"^batch_size: expected a number from 1 on, got 0\.$"),
        ({"seed": -1}, OptionError, r"^seed: expected a number from 0 on or None, got -1\.$"),
        ({"least_history": 3}, OptionError, r"^least_history: expected a number from 0 to history, 2, got 3\.$"),
        (
            {"horizon": 9},
            DataError,
            r"^no window fits into the part 'all': it needs 1 to read and 9 to tell, but the longest",
        ),
    ],
)
def test_windows_that_make_no_sense_are_refused(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Windows(Part.whole(numbered(5)), **{"history": 2, "horizon": 1, "batch_size": 4} | options)


def test_series_shorter_than_a_window_are_named() -> None:
    windows = Windows(Part.whole(numbered(9, 2, 9)), history=3, horizon=2, batch_size=4)
    assert windows.left_out == ("1",)


def test_series_without_targets_have_no_windows() -> None:
    with pytest.raises(DataError, match=r"^the series have no targets to forecast; name some with targets="):
        Windows(Part.whole(panel_of_array(np.zeros((2, 3, 1)), [0, 1])), history=1, horizon=1, batch_size=1)
    empty = Part(panel=numbered(3), start=np.array([3]), stop=np.array([3]), name="valid")
    with pytest.raises(DataError, match=r"^the part 'valid' has no rows\.$"):
        WholeSeries(empty, batch_size=1)
