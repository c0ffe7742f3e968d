"""What the report shows of forecasts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from recur.report import figures, write_report
from recur.report.forecast import forecast_of
from recur.report.forecast_charts import forecast_charts
from recur.run import RunFolder

Make = Callable[..., Any]
CHARTS = {
    *(f"forecast_example_{number}" for number in range(1, 6)),
    *("forecast_by_step", "forecast_over_time", "forecast_coverage", "forecast_coverage_by_step"),
    *("forecast_autocorrelation", "forecast_residuals"),
}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--\u202e\x00\ud800"


def report(run: RunFolder) -> str:
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(forecast_run: RunFolder) -> str:
    return (forecast_run.path / "report.html").read_text(encoding="utf-8")


def without_charts(judged: dict[str, Any]) -> dict[str, Any]:
    """Return a judgement of which only text is shown, for drawing takes seconds."""
    return judged | dict.fromkeys(("examples", "by_step", "over_time", "residuals", "intervals"))


def test_the_page_says_what_was_judged(page: str, said: Any) -> None:
    text = said(page)
    assert "MASE 0.7, 33.3% below seasonal naive (1.0)." in text
    assert "this model 2 seasonal naive 3 naive 3.5 drift 3.6 mean 5" in text
    assert "MAE 2 3 3.5 3.6 5" in text
    assert "80% interval holds 79.0% 79.0% 79.0% 79.0% 79.0%" in text
    assert (
        "Judged from 2,100 origins in the test part, 6 steps of 1h ahead, in 30 series, from 2024-03-01 00:00:00 to "
        "2024-05-01 00:00:00. Each figure counts the same targets for all, on their original scale. The season is 24 "
        "steps, found in the training part." in text
    )
    assert "Every second origin is judged." in text
    assert "trained on meters.csv, 2,000 steps" in text
    assert "The validation loss went from" in text
    assert "nats" not in text
    assert "What it writes" not in text
    assert "tokens" not in text.split("How it was made")[0].split("Throughput")[0]


def test_series_are_told_from_the_worst_to_the_best(page: str, said: Any) -> None:
    table = said(page).split("By series")[1].split("Of 30 series")[0]
    assert "m0 4 3 33% higher" in table
    assert "m29 1.1 3 63% lower" in table
    assert "m10" not in table
    assert table.index("m0") < table.index("m29")


def test_a_model_that_is_no_better_is_warned_of(
    page: str, make_forecast_run: Make, make_forecasts: Make, parsed: Any
) -> None:
    assert parsed(page).of_class("warning") == 0
    run = make_forecast_run(without_charts(make_forecasts(is_better=False)))
    assert parsed(report(run)).of_class("warning") == 1


def test_every_chart_is_drawn_on_the_page_and_as_a_picture(forecast_run: RunFolder, page: str, parsed: Any) -> None:
    assert set(figures(forecast_run)) == CHARTS | {"loss", "learning_rate", "gradient_norm", "throughput"}
    ids = (found.get("id") or "" for _, found in parsed(page).found)
    assert {one.removeprefix("chart-") for one in ids if one.startswith("chart-")} == set(figures(forecast_run))
    for name in CHARTS:
        assert (forecast_run.path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_and_figures_go_with_their_run(make_forecast_run: Make, make_forecasts: Make) -> None:
    run = make_forecast_run(make_forecasts())
    for name in ("forecast_by_step.png", "scaler.safetensors", "calibration.safetensors"):
        (run.path / name).write_bytes(b"")
    (run.path / "forecast_notes.txt").write_text("mine", encoding="utf-8")
    RunFolder.create(run.path, overwrite=True)
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "forecast_notes.txt"]


def test_an_example_by_hand(make_forecasts: Make) -> None:
    found = make_forecasts()
    chart = forecast_charts(found)["examples"][0]
    example = found["examples"][0]
    came, rule, forecast = chart.series
    assert (came.name, rule.name, forecast.name) == ("what came", "seasonal naive", "forecast")
    assert came.y == (*example["before"]["values"], *example["actual"])
    assert came.y[0] is None
    assert came.y[-1] is None
    assert forecast.y == tuple(example["median"])
    assert forecast.x == came.x[48:]
    # Milliseconds since 1970, an hour apart.
    assert chart.is_dated
    assert came.x[1] - came.x[0] == 3_600_000
    assert came.x[0] == 1_709_251_200_000
    assert [(band.name, band.low) for band in chart.bands] == [
        ("95% interval", tuple(example["intervals"]["0.95"][0])),
        ("80% interval", tuple(example["intervals"]["0.8"][0])),
    ]


def test_bands_and_dates_reach_the_figure(forecast_run: RunFolder) -> None:
    drawn = figures(forecast_run)["forecast_example_1"]
    assert drawn.layout.xaxis.type == "date"
    bands = [trace for trace in drawn.data if trace.fill == "toself"]
    assert [trace.name for trace in bands] == ["95% interval", "80% interval"]
    # Or their names in the legend would look alike.
    assert bands[0].opacity < bands[1].opacity
    # There and back again.
    assert bands[0].x == (*bands[0].x[:6], *reversed(bands[0].x[:6]))
    assert all(trace.meta["role"] for trace in drawn.data)


def test_times_that_are_numbers_stay_numbers(make_forecasts: Make) -> None:
    found = make_forecasts()
    for example in found["examples"]:
        example["before"]["times"], example["times"] = list(range(48)), list(range(48, 54))
    chart = forecast_charts(found)["examples"][0]
    assert not chart.is_dated
    assert chart.series[0].x == tuple(float(step) for step in range(54))
    assert chart.x_range == (0, 53)


def test_only_the_best_rules_are_drawn(make_forecasts: Make) -> None:
    by_step, over_time = forecast_charts(make_forecasts())["errors"]
    assert [line.name for line in by_step.series] == ["drift", "naive", "seasonal naive", "this model"]
    assert [line.name for line in over_time.series] == ["seasonal naive", "this model"]
    assert by_step.y_range is not None
    assert by_step.y_range[0] == 0


def test_before_it_is_judged_it_says_so(make_forecast_run: Make, said: Any) -> None:
    run = make_forecast_run({})
    run.save_weights({"weight": torch.zeros(2)})
    text = said(report(run))
    assert "Not judged on held-out data yet" in text
    assert "recur predict" in text
    assert "recur generate" not in text
    assert forecast_of({}) is None


@pytest.mark.parametrize("damage", [None, 3, "x", [], {}, [None], {"model": None}, [{"series": 3}], 1e300, EVIL])
def test_damaged_entries_are_left_out(make_forecasts: Make, damage: Any) -> None:
    found = make_forecasts(3)

    def drawn(changes: dict[str, Any]) -> None:
        forecast = forecast_of({**found, **changes})
        for chart in () if forecast is None else forecast.charts:
            for line in chart.series:
                assert all(value is None or math.isfinite(value) for value in (*line.x, *line.y))

    for key in found:
        drawn({key: damage})
    for key in ("examples", "by_series"):
        drawn({key: [dict.fromkeys(found[key][0], damage)]})
    for key in ("examples", "over_time", "residuals", "intervals", "by_step", "figures", "season"):
        entry = found[key][0] if isinstance(found[key], list) else found[key]
        for part in entry:
            spoiled = {**entry, part: damage}
            drawn({key: [spoiled] if isinstance(found[key], list) else spoiled})


def test_a_damaged_judgement_still_makes_a_page(make_forecast_run: Make, make_forecasts: Make) -> None:
    found = make_forecasts()
    page = report(
        make_forecast_run({**found, "examples": [EVIL], "verdict": EVIL, "by_step": [EVIL], "notes": [EVIL, 3]})
    )
    assert "<script>alert" not in page
    assert "How it learned" in page


def test_names_are_shown_as_they_are_written(make_forecast_run: Make, make_forecasts: Make) -> None:
    found = make_forecasts()
    found["best_rule"] = found["part"] = found["notes"][0] = EVIL
    for one in (*found["by_series"], *found["examples"]):
        one["series"] = EVIL
    found["examples"] = found["examples"][:1]
    page = report(make_forecast_run(found))
    assert "<script>alert" not in page
    assert "49" not in page.split("By series")[1].split("</table>")[0]


def test_one_step_and_one_series_have_no_tables(make_forecasts: Make) -> None:
    found = make_forecasts(1)
    found["by_series"] = found["by_series"][:1]
    forecast = forecast_of(found)
    assert forecast is not None
    assert forecast.series == ()
    assert forecast.targets == ()
    assert [chart.key for chart in forecast.errors] == ["forecast_over_time"]
