from __future__ import annotations

from typing import Any

import pytest

from recur.report.chart import MAX_POINTS, Chart
from recur.report.curves import rows_of_kind, training_charts


def train_row(step: int, **values: Any) -> dict[str, Any]:
    return {"kind": "train", "step": step, **values}


def chart(rows: list[dict[str, Any]], key: str, **options: Any) -> Chart:
    return {one.key: one for one in training_charts(rows, **options)}[key]


def test_rows_come_in_the_order_of_their_steps_and_only_with_one() -> None:
    rows = [train_row(3), {"kind": "valid", "step": 1}, train_row(1), {"kind": "train"}, {"kind": "train", "step": "x"}]
    assert rows_of_kind(rows, "train") == [train_row(1), train_row(3)]


def test_no_rows_give_no_charts() -> None:
    assert training_charts([]) == []


def test_rows_of_nulls_give_no_charts() -> None:
    assert training_charts([train_row(1, loss=None, grad_norm=None, learning_rate=None)]) == []


def test_one_row_gives_one_point() -> None:
    loss = chart([train_row(10, loss=2.5)], "loss", unit="byte")
    assert loss.y_label == "nats per byte"
    assert [(series.role, series.x, series.y) for series in loss.series] == [("train", (10.0,), (2.5,))]


def test_the_loss_has_training_validation_best_and_baselines() -> None:
    rows = [train_row(step, loss=3.0 - step / 100) for step in range(1, 101)]
    rows += [{"kind": "valid", "step": step, "loss": loss} for step, loss in ((50, 2.4), (80, 2.2), (100, 2.3))]
    loss = chart(rows, "loss", unit="character", baselines={"trigram": 2.05})
    assert [series.role for series in loss.series] == ["raw", "train", "valid", "best"]
    assert (loss.series[3].x, loss.series[3].y) == ((80.0,), (2.2,))
    assert [(level.name, level.y) for level in loss.levels] == [("trigram 2.05", 2.05)]
    assert loss.summary == "The validation loss went from 2.400 to its best of 2.200 nats per character at step 80."


def test_a_wild_batch_stays_drawn_but_does_not_squeeze_the_axis() -> None:
    rows = [train_row(step, loss=2.0) for step in range(1, 201)]
    rows[100]["loss"] = 500.0
    loss = chart(rows, "loss")
    assert max(y for y in loss.series[0].y if y is not None) == 500.0
    rows[100]["loss"] = None
    assert None in chart(rows, "loss").series[0].y


def test_the_reach_of_the_gradient_lies_between_the_lags_that_were_looked_at() -> None:
    rows = [
        # Half a step from lag 2 to 4, on a logarithmic scale.
        {"kind": "probe", "step": 100, "lags": [0, 1, 2, 4], "by_lag": [1.0, 0.5, 0.2, 0.05]},
        {"kind": "probe", "step": 200, "lags": [0, 1, 2, 4], "by_lag": [1.0, 0.9, 0.9, 0.9]},
        {"kind": "probe", "step": 300, "lags": [0, 1], "by_lag": [None, 0.9]},
        {"kind": "probe", "step": 400, "lags": [0, 1, 2], "by_lag": [1.0, 0.2, 0.0]},
    ]
    memory = chart(rows, "memory")
    assert memory.series[0].x == (100, 200, 300, 400)
    assert memory.series[0].y[:3] == (3.0, 4.0, None)
    assert memory.series[0].y[3] == pytest.approx(1.01, abs=0.001)
    assert memory.summary == "From 3 steps at first to 1 in the end; seen no further than the window."


def test_validated_once_says_so() -> None:
    loss = chart([{"kind": "valid", "step": 5, "loss": 2.0}], "loss")
    assert loss.summary == "Validated once, at step 5: 2.000 nats per token."


def test_the_gradient_norm_is_logarithmic_and_shows_the_clipping() -> None:
    rows = [train_row(step, grad_norm=norm) for step, norm in ((1, 4.0), (2, 0.0), (3, 0.5), (4, 0.4), (5, 0.25))]
    norm = chart(rows, "gradient_norm", clip_norm=1.0)
    assert norm.is_log
    assert norm.series[0].y == (4.0, None, 0.5, 0.4, 0.25)
    assert [(level.name, level.y) for level in norm.levels] == [("clipped above 1", 1.0)]
    assert norm.summary == "Median 0.5, at most 4."
    assert norm.y_range == (0.2, 5.0)
    assert chart(rows, "gradient_norm").levels == ()


def test_the_gradient_norm_tells_how_much_was_clipped() -> None:
    shares = ((1.0, 0.5), (0.5, 0.1), (None, None), (0.0, 0.0))
    rows = [train_row(step, grad_norm=1.0, clipped=a, removed=b) for step, (a, b) in enumerate(shares, 1)]
    found = chart(rows, "gradient_norm").summary
    assert found.endswith(". Clipped in 50% of the steps, which took 20% off the norm in the mean.")


def test_the_throughput_starts_at_zero_and_falls_back_to_tokens() -> None:
    rows = [train_row(step, tokens_per_second=100.0 * step) for step in (1, 2, 3)]
    speed = chart(rows, "throughput")
    assert speed.y_label == "tokens per second"
    assert speed.y_range == (0.0, pytest.approx(336.0))
    assert speed.summary == "Median 200 tokens a second."


@pytest.mark.parametrize("unit", ["windows", "series"])
def test_the_throughput_of_series_is_in_their_units(unit: str) -> None:
    speed = chart([train_row(step, **{f"{unit}_per_second": 100.0 * step}) for step in (1, 2, 3)], "throughput")
    assert (speed.y_label, speed.summary) == (f"{unit} per second", f"Median 200 {unit} a second.")


def test_a_long_run_is_thinned() -> None:
    rows = [train_row(step, loss=1.0, learning_rate=0.1) for step in range(1, 30_001)]
    assert all(len(series.x) <= MAX_POINTS for one in training_charts(rows) for series in one.series)


def test_a_learning_rate_that_ends_at_nothing_says_so() -> None:
    rows = [train_row(step, learning_rate=rate) for step, rate in ((1, 0.001), (2, 0.004), (3, 3.4e-10))]
    assert chart(rows, "learning_rate").summary == "At most 0.004, almost nothing in the end."
    assert chart(rows[:2], "learning_rate").summary == "At most 0.004, 0.004 in the end."
