"""The last word on a trained forecaster: figures beside the naive rules, a verdict, and what the report shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Part, Split
from recur.data.series.moments import on_the_clock
from recur.data.series.options import OtherTableOptions
from recur.errors import OptionError
from recur.kinds import json_number
from recur.run import RunFolder
from recur.tasks.forecast.backtest import MODEL, Backtest, BacktestOptions
from recur.tasks.forecast.calibration import COVERAGES
from recur.tasks.forecast.examples import choose_examples
from recur.tasks.forecast.known_rows import KnownRows
from recur.tasks.forecast.residuals import residual_structure
from recur.tasks.forecast.scores import ForecastScores
from recur.tasks.forecast.trained import Build, TrainedForecaster
from recur.tasks.forecast.verdict import Verdict, compare
from recur.tasks.forecast.yardstick import Yardstick
from recur.tasks.noise import short_intervals
from recur.wording import enumerated, quantity

EVALUATION = "forecast_evaluation.json"
"""File of a run with what `judge_forecasts` returns."""

_MOST_SERIES = 500
"""Series whose figures are told one by one: those that the model is worst at, beside the best rule, and best."""

_BEFORE = 200
"""Steps before an example's origin that are shown at most."""

Progress = Callable[[int, int], None]
"""Called with the windows judged so far, and how many there are."""


def judge_forecasts(
    trained: TrainedForecaster,
    part: Part,
    *,
    train: Part | None = None,
    valid: Part | None = None,
    yardstick: Yardstick | None = None,
    options: BacktestOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return how good forecasts are, beside the naive rules: what `forecast_evaluation.json` holds.

    | entry | holds |
    | --- | --- |
    | `verdict` | whether the model beats the best rule, in words and figures |
    | `figures` | of model, members, rules: `mae`, `rmse`, `smape`, `mase`, `crps`; by share `coverage` and `width` |
    | `intervals` | coverage and width of the model's intervals, as the network says them and calibrated |
    | `by_step`, `by_target`, `by_series`, `over_time` | errors of the model beside those of the rules |
    | `residuals` | whether errors hang together, and how they are spread |
    | `examples` | the worst forecasts, ordinary ones, the best |
    | `notes` | what a reader has to know |

    A run's judgement has `weights` too, the checksum of what was judged.

    Of more than 500 series `by_series` has those where the model is worst beside the best rule, and those where it is
    best. Everything is on the original scale, but the errors of residuals and examples, which are in units of the
    scaling so that those of several series can be compared. What nothing counted for is None.

    Args:
        trained: As of `Backtest`.
        part: As of `Backtest`.
        train: The training part of the run's own data, by whose errors MASE is scaled; without it there is no MASE.
        valid: The validation part, which makes the intervals of the rules; without it they have neither intervals nor
            CRPS.
        yardstick: What these two would say, where it is known already.
        options: As of `Backtest`.
        progress: Called as judging goes on.

    Raises:
        DataError: No window fits into the part.
        TrainingError: The model's forecast is not a number.
    """
    yardstick = yardstick or Yardstick.of(trained.setup, train=train, valid=valid)
    backtest = Backtest(trained, part, yardstick=yardstick, options=options)
    backtest.run(progress)
    return _Evaluation(backtest).to_json()


def finish_forecaster(
    folder: RunFolder, trained: TrainedForecaster, split: Split, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Calibrate a trained forecaster, judge it on the test part, write all into its run, and return the judgement.

    What it was measured by is written too, so that `evaluate_forecaster` measures other data by the same, and the last
    rows of each series, so that a training that goes on with other data takes none of these for new.

    Where there is no test part the validation part is judged, whose figures flatter: the weights were chosen by it, and
    the intervals are calibrated on it.

    Args:
        folder: The run, which has all else.
        trained: The forecaster with its best weights.
        split: Of the run's own data, as `ForecastSetup.fit` returned it.
        progress: Called as judging goes on.

    Raises:
        DataError: No window fits into the part that is judged.
        RunError: The folder cannot be written.
        TrainingError: The model's forecast is not a number.
    """
    trained = trained.calibrated(split.valid)
    trained.save_calibration(folder)
    yardstick = Yardstick.of(trained.setup, train=split.train, valid=split.valid)
    yardstick.save(folder)
    KnownRows.of_panel(split.train.panel, trained.setup).save(folder)
    part = split.test if len(split.test) else split.valid
    found = judge_forecasts(trained, part, yardstick=yardstick, progress=progress) | _weights(folder)
    folder.write_json(EVALUATION, found)
    return found


def _weights(folder: RunFolder) -> dict[str, Any]:
    """Return the entry of a judgement by which it is known whether it is still that of the run's weights."""
    return {"weights": folder.weights_checksum()}


def evaluate_forecaster(
    run: str | Path | RunFolder,
    data: Any = None,
    *,
    part: str = "test",
    table: OtherTableOptions | None = None,
    options: BacktestOptions | None = None,
    device: str = "cpu",
    build: Build | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the judgement of a run's forecaster, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Series to judge on, every one of their windows; by default a part of the run's own.
        part: Which part of the run's own: train, valid or test.
        table: How `data` are written, where not as the run's own.
        options: As of `Backtest`.
        device: Where the network computes.
        build: As of `TrainedForecaster.load`.
        progress: Called as judging goes on.

    Raises:
        RunError: The run is missing or damaged, or its data are needed and cannot be found.
        DataError: The data cannot be used, or no window fits into them.
        OptionError: There is no such part.
    """
    if part not in ("train", "valid", "test"):
        raise OptionError(f"part: expected 'train', 'valid' or 'test', got {part!r}.")
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    trained = TrainedForecaster.load(folder, device=device, build=build)
    if data is not None:
        setup = trained.setup if table is None else trained.setup.for_other(table)
        given = Part.whole(setup.read(data), name="given")
        yardstick = Yardstick.load(folder)
    else:
        split = trained.setup.own_data()
        given = {"train": split.train, "valid": split.valid, "test": split.test}[part]
        yardstick = Yardstick.of(trained.setup, train=split.train, valid=split.valid)
    return judge_forecasts(trained, given, yardstick=yardstick, options=options, progress=progress) | _weights(folder)


class _Evaluation:
    """What a finished backtest found, in words and figures."""

    def __init__(self, backtest: Backtest) -> None:
        self.backtest = backtest
        self.panel, self.setup, self.options = backtest.part.panel, backtest.trained.setup, backtest.options
        self.figures = {name: _figures(scores, self.options.coverages) for name, scores in backtest.scores.items()}
        self.verdict = self._verdict()
        compared = self.verdict.comparisons
        self.best = compared[0].rule if compared else backtest.rules.names[0]

    def to_json(self) -> dict[str, Any]:
        """Return the judgement."""
        backtest, setup = self.backtest, self.setup
        scores = {name: backtest.scores[name] for name in (MODEL, *backtest.rules.names)}
        series = np.searchsorted(self.panel.offsets, backtest.row, side="right")
        times = self.panel.times[backtest.row]
        return {
            "part": backtest.part.name,
            "horizon": setup.horizon,
            "history": setup.history,
            "step": None if setup.frequency is None else str(setup.frequency),
            "targets": list(setup.schema.targets),
            "windows": len(backtest.row),
            "stride": backtest.stride,
            "series": len(np.unique(series)),
            "first": self._time(times.min()),
            "last": self._time(times.max()),
            "season": {"steps": setup.season.steps, "why": setup.season.why},
            "verdict": self.verdict.to_json(),
            "best_rule": self.best,
            "figures": self.figures,
            "intervals": self._intervals(),
            "by_step": {name: self._by_step(own) for name, own in scores.items()},
            "by_target": self._by_target(),
            "by_series": self._by_series(),
            "over_time": {
                "times": [self._time(edge) for edge in backtest.edges],
                "mae": {name: _listed(own.mean("mae", "time")) for name, own in scores.items()},
            },
            "residuals": residual_structure(
                self.panel, backtest.row, backtest.residuals, backtest.stride, setup.season.steps
            ),
            "examples": self._examples(),
            "notes": self._notes(),
        }

    def _verdict(self) -> Verdict:
        backtest = self.backtest
        # Origins at one time in several series are one observation, for what moves one may move all.
        origins, place = np.unique(self.panel.times[backtest.row], return_inverse=True)
        losses = {
            name: {loss: np.bincount(place, sums).astype(np.float64) for loss, sums in by_loss.items()}
            for name, by_loss in backtest.sums.items()
        }
        # Errors of several series or targets have units and sizes of their own.
        has_several = len(self.panel) > 1 or len(self.setup.schema.targets) > 1
        first = "MASE" if has_several and self.figures[MODEL]["mase"] is not None else "MAE"
        last = self.panel.times[backtest.row + self.setup.horizon - 1]
        # Where series do not begin together, their origins may lie closer than a stride.
        overlap = int((np.searchsorted(origins, last, side="right") - place).max())
        found = [compare(one, self.figures, losses, overlap, backtest.rules.names) for one in (first, "RMSE")]
        return Verdict(comparisons=tuple(one for one in found if one is not None), part=backtest.part.name)

    def _intervals(self) -> dict[str, Any]:
        scores = self.backtest.scores[MODEL]
        found: dict[str, Any] = {
            "shares": list(COVERAGES),
            "is_calibrated": self.backtest.trained.calibration is not None,
        }
        for key, name in (("raw", "{:g} raw"), ("calibrated", "{:g}")):
            for what in ("coverage", "width"):
                means = [scores.mean(f"{what} {name.format(share)}") for share in COVERAGES]
                found[f"{what}_{key}"] = [json_number(mean) for mean in means]
        return found

    def _by_step(self, scores: ForecastScores) -> dict[str, Any]:
        found: dict[str, Any] = {loss: _listed(scores.mean(loss, "step")) for loss in ("mae", "rmse", "crps")}
        for what in ("coverage", "width"):
            found[what] = {f"{s:g}": _listed(scores.mean(f"{what} {s:g}", "step")) for s in self.options.coverages}
        return found

    def _by_target(self) -> dict[str, Any]:
        return {
            target: {
                name: {
                    loss: json_number(self.backtest.scores[name].mean(loss, "target")[place])
                    for loss in ("mae", "rmse", "mase", "crps")
                }
                for name in (MODEL, *self.backtest.rules.names)
            }
            for place, target in enumerate(self.setup.schema.targets)
        }

    def _by_series(self) -> list[dict[str, Any]]:
        model, rule = (self.backtest.scores[name] for name in (MODEL, self.best))
        weight, own, other = model.weight("mae", "series"), model.mean("mae", "series"), rule.mean("mae", "series")
        judged = np.flatnonzero(weight > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = own[judged] / other[judged]
        order = judged[np.argsort(-np.nan_to_num(ratio, nan=1.0), kind="stable")]
        if len(order) > _MOST_SERIES:
            order = np.concatenate([order[: _MOST_SERIES // 2], order[-_MOST_SERIES // 2 :]])
        rmse, mase = model.mean("rmse", "series"), model.mean("mase", "series")
        return [
            {
                "series": self.panel.ids[number],
                "weight": json_number(weight[number]),
                "mae": json_number(own[number]),
                "rmse": json_number(rmse[number]),
                "mase": json_number(mase[number]),
                "rule": json_number(other[number]),
            }
            for number in order.tolist()
        ]

    def _examples(self) -> list[dict[str, Any]]:
        backtest, horizon = self.backtest, self.setup.horizon
        chosen = choose_examples(backtest.errors, backtest.row, horizon)
        if not chosen:
            return []
        batch = backtest.windows.batch(np.array([one.window for one in chosen]))
        judged = backtest.judged(batch)
        target = backtest.targets(batch).numpy()
        shown = [f"{share:g}" for share in (min(self.options.coverages), max(self.options.coverages))]
        found = []
        for number, (kind, window, column, error) in enumerate(chosen):
            row, series = int(backtest.row[window]), int(batch.index[number])
            begin = max(int(self.panel.offsets[series]), row - min(_BEFORE, max(2 * horizon, 48)))
            own = judged[MODEL]
            found.append(
                {
                    "kind": kind,
                    "series": self.panel.ids[series],
                    "target": self.setup.schema.targets[column],
                    "error": error,
                    "before": {
                        "times": [self._time(time) for time in self.panel.times[begin:row]],
                        "values": _listed(self.panel.values[begin:row, column]),
                    },
                    "times": [self._time(time) for time in self.panel.times[row : row + horizon]],
                    "actual": _listed(target[number, :, column]),
                    "median": _listed(own.median[number, :, column].numpy()),
                    "intervals": {
                        share: [_listed(end[number, :, column].numpy()) for end in own.intervals[share]]
                        for share in shown
                    },
                    "rule": _listed(judged[self.best].median[number, :, column].numpy()),
                }
            )
        return found

    def _notes(self) -> list[str]:
        """Return what a reader of the figures has to know."""
        backtest, found = self.backtest, []
        if backtest.stride > 1:
            found.append(
                f"one origin in {backtest.stride} is judged, {len(backtest.row):,} of {backtest.all_windows:,} windows."
            )
        own, rule = (backtest.scores[name].mean("mae", "step") for name in (MODEL, self.best))
        worse = (np.flatnonzero(own >= rule) + 1).tolist()
        if 0 < len(worse) < len(own):
            steps = "step" if len(worse) == 1 else "steps"
            found.append(f"the model's MAE is not below that of {self.best} at {steps} {_spans(worse)} of {len(own)}.")
        if backtest.part.name == "valid":
            found.append(
                "the figures flatter the model: its weights were chosen and its intervals calibrated on this part."
            )
        elif backtest.part.name == "train":
            found.append("the figures flatter the model: it was trained on this part.")
        if not backtest.has_sure_rules:
            found.append(
                "the rules have neither intervals nor CRPS, for nothing is known of their errors on a validation part."
            )
        calibration = backtest.trained.calibration
        if calibration is None:
            found.append(f"the intervals are the network's own: {backtest.trained.why_uncalibrated}.")
        elif calibration.reach < max(self.options.coverages):
            found.append(
                "the validation part is too small to calibrate intervals beyond a coverage of "
                f"{calibration.reach:g}; wider ones are moved as far as these."
            )
        held = {float(share): held for share, held in self.figures[MODEL]["coverage"].items()}
        short = short_intervals(held, "rows")
        if short is not None:
            found.append(short)
        if backtest.left_out:
            targets = quantity(backtest.left_out, "target")
            found.append(f"{targets} of which a rule can say nothing, having seen no value before, count for no one.")
        names = backtest.windows.left_out
        if names:
            more = f" and {len(names) - 3:,} others" if len(names) > 3 else ""
            found.append(f"nothing to judge in series {enumerated(names[:3])}{more}: too short, or without targets.")
        return found

    def _time(self, time: Any) -> str | float:
        """Return a time of the panel as JSON has it: by the clock, or a number."""
        if not isinstance(time, np.datetime64):
            return float(time) if isinstance(time, np.floating) else int(time)
        clock = on_the_clock(np.array([time]), self.panel.schema.zone)[0]
        seconds = None if self.setup.frequency is None else self.setup.frequency.seconds
        if seconds is not None and seconds >= 86400:
            return str(clock.astype("datetime64[D]"))
        return str(clock.astype("datetime64[s]" if seconds is None or seconds >= 1 else "datetime64[us]"))


def _spans(steps: list[int]) -> str:
    """Return growing numbers in words, those that follow each other together.

    Example:
        >>> _spans([1, 2, 3, 7])
        '1 to 3 and 7'
    """
    begins = [place for place, step in enumerate(steps) if place == 0 or step > steps[place - 1] + 1]
    spans = [(steps[begin], steps[end - 1]) for begin, end in zip(begins, [*begins[1:], len(steps)], strict=True)]
    return enumerated([str(first) if first == last else f"{first} to {last}" for first, last in spans])


def _figures(scores: ForecastScores, coverages: tuple[float, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {loss: json_number(scores.mean(loss)) for loss in ("mae", "rmse", "smape", "mase", "crps")}
    for what in ("coverage", "width"):
        found[what] = {f"{share:g}": json_number(scores.mean(f"{what} {share:g}")) for share in coverages}
    return found | {"targets": json_number(scores.weight("mae"))}


def _listed(values: NDArray[Any]) -> list[float | None]:
    return [json_number(value) for value in values.tolist()]
