"""Runs of forecasters on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.judging import show_judgement
from recur.cli.handling.run_handling import OF_TABLES, RunHandling, loaded, show_next
from recur.cli.handling.series_inspection import check_table, inspect_series_run
from recur.cli.handling.streams import answer_stream
from recur.cli.parser import check_seed, options_from
from recur.data.series.options import OtherTableOptions
from recur.errors import OptionError
from recur.run import RunFolder
from recur.wording import measured

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console


def handling() -> RunHandling:
    """Return what the commands do with forecasters."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=show_finished,
        predict=_predict,
        stream=_stream,
        inspect=inspect_series_run,
        check_inspection=check_table,
        options={
            "evaluate": {"batch_size", "stride", *OF_TABLES},
            "predict": {"batch_size", "horizon", "levels", "paths", "seed", "uncalibrated", *OF_TABLES},
            "inspect": {"data", "series", "at", *OF_TABLES},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.cli.console import plain_console
    from recur.data.series.files import one_source
    from recur.tasks.forecast.backtest import BacktestOptions
    from recur.tasks.forecast.evaluation import evaluate_forecaster

    options = BacktestOptions(stride=chosen.stride, batch_size=chosen.batch_size or BacktestOptions.batch_size)
    with plain_console(stderr=True).status("judging") as status:
        return evaluate_forecaster(
            chosen.run,
            one_source(chosen.data) if chosen.data else None,
            part=chosen.part,
            table=options_from(chosen, OtherTableOptions),
            options=options,
            device=chosen.device,
            progress=lambda done, total: status.update(f"judging: {done:,} of {total:,} windows"),
        )


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    check_seed(chosen.seed)
    if chosen.seed is not None and chosen.paths is None:
        raise OptionError("seed: only paths are drawn; give --paths, too.")
    for name, is_given in (("levels", chosen.levels is not None), ("uncalibrated", chosen.uncalibrated)):
        if is_given and chosen.paths is not None:
            raise OptionError(f"{name}: paths have none; leave --paths out.")
    from recur.cli.console import plain_console
    from recur.tasks.forecast.trained import TrainedForecaster

    trained = loaded(TrainedForecaster.load, folder, chosen)
    console = plain_console(stderr=True)
    if trained.calibration is None and chosen.paths is None and not chosen.uncalibrated:
        console.print(f"note     the intervals are the network's own: {trained.why_uncalibrated}")
    with console.status("forecasting"):
        common = {"horizon": chosen.horizon, "batch_size": chosen.batch_size}
        if chosen.paths is not None:
            drawn: pl.DataFrame = trained.sample_paths(chosen.data, num_paths=chosen.paths, seed=chosen.seed, **common)
            return drawn
        levels = {} if chosen.levels is None else {"levels": chosen.levels}
        found: pl.DataFrame = trained.predict(chosen.data, use_calibration=not chosen.uncalibrated, **levels, **common)
        return found


def _stream(folder: RunFolder, chosen: Namespace) -> None:
    answer_stream(folder, chosen, levels=chosen.levels, use_calibration=not chosen.uncalibrated)


def _show(found: Mapping[str, Any], console: Console) -> None:
    console.print(found["verdict"]["text"])
    _show_figures(found, console)


def show_finished(path: Path, console: Console) -> None:
    """Print the verdict and the held-out figures of a finished forecaster, and what can be done with it."""
    from recur.report.columns import rows_ahead

    folder = RunFolder.open(path)
    found, schema = folder.read_json("forecast_evaluation.json"), folder.read_json("schema.json")
    show_judgement(found, _show, console)
    ahead = rows_ahead(schema)
    if ahead:
        console.print(f"note     to forecast, new.csv has to go on {ahead}")
    show_next(path, console, forecast="recur predict {run} new.csv")


def _show_figures(found: Mapping[str, Any], console: Console) -> None:
    """Print the figures of a judgement of forecasts: one row for the model and one for each rule."""
    from rich.table import Table

    shares = list(found["figures"]["model"]["coverage"])
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    columns = {"mae": "MAE", "rmse": "RMSE", "smape": "sMAPE", "mase": "MASE", "crps": "CRPS"}
    for title in (*columns.values(), *(f"in {float(share):.0%}" for share in shares)):
        table.add_column(title, justify="right")
    for name, figures in found["figures"].items():
        values = [figures[key] for key in columns]
        held = [figures["coverage"][share] for share in shares]
        cells = ["" if value is None else measured(value) for value in values]
        table.add_row(name, *cells, *("" if value is None else f"{value:.1%}" for value in held))
    console.print(table)
