from __future__ import annotations

import inspect
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import recur
from recur.errors import DataError, OptionError, RunError
from recur.estimators.forecaster import Forecaster

TINY = {"history": 12, "hidden_size": 4, "max_steps": 4, "validate_every": 4, "batch_size": 16}


def tiny(**parameters: Any) -> Forecaster:
    return Forecaster(**(TINY | {"horizon": 3} | parameters))


@pytest.fixture(scope="module")
def table(seasonal_table: Callable[..., Any]) -> pl.DataFrame:
    return seasonal_table(240, series=2)


@pytest.fixture(scope="module")
def fitted(table: pl.DataFrame) -> Forecaster:
    return tiny().fit(table)


# --- parameters -------------------------------------------------------------------------------------------------------


def test_every_option_is_a_parameter_by_name() -> None:
    names = inspect.signature(Forecaster).parameters
    assert names["horizon"].default is None
    assert names["hidden_size"].kind is inspect.Parameter.KEYWORD_ONLY
    # Others hold out what is judged on.
    assert names["test"].default == 0.0
    assert names["valid"].default == 0.1
    assert repr(Forecaster(horizon=3, seed=1)) == "Forecaster(horizon=3, seed=1)"


def test_a_parameter_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match=r"^Forecaster: there is no parameter 'horizons'; did you mean horizon\?$"):
        Forecaster(horizons=3)
    with pytest.raises(TypeError, match=r"^Forecaster: there is no parameter 'xyzzy'; there are out, overwrite, "):
        Forecaster(xyzzy=3)


def test_parameters_are_checked_when_fitted_and_not_before(table: pl.DataFrame) -> None:
    wrong = Forecaster(horizon=0)
    assert wrong.get_params()["horizon"] == 0
    with pytest.raises(OptionError, match=r"^horizon must be a whole number from 1 on, not 0\.$"):
        wrong.fit(table)


def test_a_clone_has_the_parameters_and_is_not_fitted(fitted: Forecaster) -> None:
    copied = clone(fitted).set_params(hidden_size=5)
    assert copied.get_params() == fitted.get_params() | {"hidden_size": 5}
    check_is_fitted(fitted)
    with pytest.raises(NotFittedError, match=r"^this Forecaster is not fitted yet; call fit first, or load a run\.$"):
        copied.predict()


# --- fit and predict --------------------------------------------------------------------------------------------------


def test_what_is_predicted_is_what_the_trained_forecaster_says(fitted: Forecaster, table: pl.DataFrame) -> None:
    expected = fitted.trained_.predict(table, levels=(0.2, 0.8))
    assert fitted.predict(table, levels=(0.2, 0.8)).equals(expected)
    assert expected.columns == ["series_id", "time", "target", "mean", "q0.2", "q0.8"]
    assert len(fitted.predict(table, horizon=2)) == 4
    # Without data it goes on from those that it was fitted to.
    assert fitted.predict(levels=(0.2, 0.8)).equals(expected)
    assert fitted.evaluation_["part"] == "valid"
    assert "model" in fitted.evaluation_["figures"]
    assert fitted.run_ is None


def test_a_dataframe_comes_back_in_its_kind(fitted: Forecaster, table: pl.DataFrame) -> None:
    found = fitted.predict(table.to_pandas())
    assert isinstance(found, pd.DataFrame)
    np.testing.assert_array_equal(found["mean"], fitted.predict(table)["mean"])


def test_a_table_that_is_changed_after_the_fit_is_not_gone_on_from(table: pl.DataFrame) -> None:
    frame = table.to_pandas()
    forecaster = tiny().fit(frame)
    before = forecaster.predict()
    frame["load"] = 0.0
    pd.testing.assert_frame_equal(forecaster.predict(), before)


@pytest.mark.parametrize("shape", [(90,), (90, 2), (3, 90, 2)])
def test_arrays_come_back_in_their_shape(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    forecaster = tiny().fit(values)
    found = forecaster.predict()
    assert isinstance(found, np.ndarray)
    assert found.shape == ((3,) if len(shape) == 1 else (*shape[:-2], 3, 2))
    frame = forecaster.trained_.predict(values)
    channels = ("y",) if len(shape) == 1 else ("y_1", "y_2")
    for series in range(shape[0] if len(shape) == 3 else 1):
        for place, channel in enumerate(channels):
            own = frame.filter((pl.col("series_id") == str(series)) & (pl.col("target") == channel))["mean"]
            chosen = found if len(shape) == 1 else (found[series] if len(shape) == 3 else found)[:, place]
            np.testing.assert_array_equal(chosen, own)


def test_the_skill_compares_with_the_best_rule(fitted: Forecaster, table: pl.DataFrame, tmp_path: Path) -> None:
    from recur.data.series import Part
    from recur.tasks.forecast.evaluation import judge_forecasts

    figures = judge_forecasts(fitted.trained_, Part.whole(fitted.trained_.setup.read(table)))["figures"]
    best = min(own["mae"] for name, own in figures.items() if name != "model")
    assert fitted.score(table) == pytest.approx(1 - figures["model"]["mae"] / best)


def test_a_rule_without_error_cannot_be_beaten() -> None:
    ramp = np.arange(120.0)
    assert tiny().fit(ramp).score(ramp) == -np.inf


def test_a_run_folder_that_is_named_is_made_once(table: pl.DataFrame, tmp_path: Path) -> None:
    forecaster = tiny(out=tmp_path / "run", no_report=True).fit(table)
    assert forecaster.run_ == tmp_path / "run"
    assert isinstance(recur.load(tmp_path / "run"), recur.TrainedForecaster)
    with pytest.raises(RunError, match="exists already"):
        forecaster.fit(table)
    forecaster.set_params(overwrite=True).fit(table)


@pytest.mark.parametrize("call", ["fit", "score"])
def test_targets_of_their_own_are_refused(call: str, fitted: Forecaster, table: pl.DataFrame) -> None:
    message = r"^y: a forecaster finds what it is to tell among the columns of X; leave y out\.$"
    with pytest.raises(TypeError, match=message):
        getattr(fitted, call)(table, table["load"])


def test_progress_is_shown_when_asked_for(table: pl.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    tiny().fit(table)
    assert capsys.readouterr() == ("", "")
    tiny(verbose=True).fit(table)
    assert "training 16 windows a step" in capsys.readouterr().err


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(fitted: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "run"
    fitted.save(path)
    return path


def test_saved_and_loaded_it_says_the_same(fitted: Forecaster, saved: Path, table: pl.DataFrame) -> None:
    loaded = Forecaster.load(saved)
    assert loaded.run_ == saved
    assert loaded.predict(table).equals(fitted.predict(table))
    assert loaded.evaluation_ == fitted.evaluation_
    assert loaded.get_params()["horizon"] == 3
    assert loaded.get_params()["max_steps"] == 4
    assert recur.load(saved).predict(table).equals(fitted.predict(table))
    assert (saved / "report.html").stat().st_size > 100_000
    with pytest.raises(DataError, match=r"^X: the data of the run were not in a file; give the series to go on from"):
        loaded.predict()
    with pytest.raises(RunError, match=r"exists already; .* with path=\.$"):
        fitted.save(saved)


def test_a_loaded_run_goes_on_from_its_file(table: pl.DataFrame, tmp_path: Path) -> None:
    source = tmp_path / "meter.parquet"
    table.write_parquet(source)
    tiny(out=tmp_path / "run", no_report=True).fit(source)
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.predict().equals(loaded.predict(table))


def test_a_run_of_another_task_is_refused(tmp_path: Path) -> None:
    from recur.run import FORMAT, RunFolder

    RunFolder.create(tmp_path / "run").write_json("config.json", {"format": FORMAT, "task": "language"})
    with pytest.raises(RunError, match=r"is a run of task 'language', but Forecaster is of 'forecast'\.$"):
        Forecaster.load(tmp_path / "run")


def test_damaged_options_are_told(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    text = (saved / "config.json").read_text()
    (tmp_path / "run" / "config.json").write_text(text.replace('"max_steps": 4', '"max_steps": -4'))
    with pytest.raises(RunError, match=r"config\.json: damaged: training: max_steps must be a whole number"):
        Forecaster.load(tmp_path / "run")


def test_a_fitted_one_is_pickled_whole(fitted: Forecaster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copied = pickle.load(io.BytesIO(pickle.dumps(fitted)))
    assert copied.predict().equals(fitted.predict())
    monkeypatch.setattr("recur.estimators.base.write_report", lambda run: None)
    copied.save(tmp_path / "run")
    assert Forecaster.load(tmp_path / "run").evaluation_ == fitted.evaluation_


# --- inside scikit-learn ----------------------------------------------------------------------------------------------


def test_searches_and_pipelines_take_it(table: pl.DataFrame) -> None:
    one = table.filter(pl.col("meter") == "m0").drop("meter")
    scores = cross_val_score(tiny(), one, cv=TimeSeriesSplit(2))
    assert scores.shape == (2,)
    assert (scores < 1).all()
    search = GridSearchCV(tiny(), {"hidden_size": [2, 4]}, cv=TimeSeriesSplit(2)).fit(one)
    assert search.best_params_["hidden_size"] in (2, 4)
    assert len(search.predict(one)) == 3
    values = one["load"].to_numpy()[:, None]
    piped = make_pipeline(StandardScaler(), tiny()).fit(values)
    assert piped.predict(values).shape == (3, 1)
    np.testing.assert_allclose(piped.predict(values), piped[-1].predict(piped[0].transform(values)))


def test_without_scikit_learn_all_works_but_what_it_would_call() -> None:
    code = """
import sys
sys.modules["sklearn"] = None
import recur
forecaster = recur.Forecaster(horizon=3, history=12, hidden_size=4, max_steps=2)
try:
    forecaster.predict()
except ValueError as error:
    print(error)
print(forecaster.horizon, hasattr(forecaster, "get_params"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "this Forecaster is not fitted yet; call fit first, or load a run.",
        "3 False",
    ]


def test_it_is_plotted_in_one_call(fitted: Forecaster, table: pl.DataFrame) -> None:
    assert fitted.plot(series="m1", past=9) == recur.plot(fitted.trained_, table, series="m1", past=9)


def test_a_column_says_what_is_judged_on(table: pl.DataFrame) -> None:
    step = pl.int_range(pl.len()).over(table.columns[0])
    parted = table.with_columns(
        split=pl.when(step < 160).then(pl.lit("train")).when(step < 200).then(pl.lit("valid")).otherwise(pl.lit("test"))
    )
    for parameters in ({}, {"part": "split"}, {"split": "column"}):
        made = tiny(**parameters).fit(parted)
        assert made.evaluation_["part"] == "test"
        # Of 40 rows to judge on in each series, 38 origins have 3 steps after them.
        assert made.evaluation_["windows"] == 2 * 38
    with pytest.raises(OptionError, match=r"^test: a column says which rows are judged on; leave one of them out"):
        tiny(part="split", test=0.3).fit(parted)


def test_a_saved_run_is_not_trained_anew(fitted: Forecaster, saved: Path) -> None:
    from rich.console import Console

    from recur.train.resumption import resume

    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match="has weights, but no checkpoint of the training that made them"):
        resume(saved, data=fitted._fitted_to, bounds={"max_steps": 5}, console=Console(file=io.StringIO()))
    assert (saved / "model.safetensors").read_bytes() == before


def test_rows_after_the_fit_are_judged_with_its_history(fitted: Forecaster, table: pl.DataFrame) -> None:
    """Fewer rows than the history has, each of which is told all the same."""
    from recur.data.series import Part
    from recur.tasks.forecast.evaluation import judge_forecasts

    step = pl.duration(hours=240)
    later = table.group_by("meter", maintain_order=True).head(8).with_columns(pl.col("hour") + step)
    assert len(later) // 2 < fitted.trained_.setup.history
    panel = fitted.trained_.setup.read(pl.concat([table, later]))
    part = Part(panel=panel, start=panel.offsets[1:] - 8, stop=panel.offsets[1:].copy(), name="given")
    figures = judge_forecasts(fitted.trained_, part)["figures"]
    best = min(own["mae"] for name, own in figures.items() if name != "model")
    assert fitted.score(later) == pytest.approx(1 - figures["model"]["mae"] / best)
    strangers = later.with_columns(pl.lit("x").alias("meter") + pl.col("meter"))
    with pytest.raises(DataError, match=r"no window fits into the part 'given'"):
        fitted.score(strangers)


def test_gaps_that_are_kept_are_kept_where_it_is_judged(table: pl.DataFrame) -> None:
    from recur.data.series import Part
    from recur.tasks.forecast.evaluation import judge_forecasts

    has_row = np.random.default_rng(0).random(240) < 0.8
    one = table[:240].filter(pl.Series(has_row))
    fitted = tiny(gaps="keep").fit(one[:150])
    panel = fitted.trained_.setup.read(one)
    assert len(panel.rows) == len(one)
    part = Part(panel=panel, start=np.array([150]), stop=panel.offsets[1:].copy(), name="given")
    figures = judge_forecasts(fitted.trained_, part)["figures"]
    best = min(own["mae"] for name, own in figures.items() if name != "model")
    assert fitted.score(one[150:]) == pytest.approx(1 - figures["model"]["mae"] / best)


@pytest.fixture
def meter(table: pl.DataFrame, tmp_path: Path) -> tuple[Path, pl.DataFrame]:
    """A file with the first rows of both series, and those that come after them."""
    later = table.group_by("meter", maintain_order=True).tail(8)
    table.join(later, on=["meter", "hour"], how="anti").write_csv(tmp_path / "meter.csv")
    return tmp_path / "meter.csv", later


def test_a_file_that_changes_is_not_what_it_was_fitted_to(
    meter: tuple[Path, pl.DataFrame], table: pl.DataFrame, tmp_path: Path
) -> None:
    source, later = meter
    fitted = tiny(out=tmp_path / "run", no_report=True).fit(source)
    found = fitted.score(later)
    assert found == tiny().fit(pl.read_csv(source, try_parse_dates=True)).score(later)
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.score(later) == found
    # It grows by what came; is changed; and is gone.
    table.write_csv(source)
    assert fitted.score(later) == found
    assert Forecaster.load(tmp_path / "run").score(later) == found
    table[1:].write_csv(source)
    assert fitted.score(later) == found
    message = r"meter\.csv: is not what the forecaster was fitted to any more, so that what came before X is not known;"
    with pytest.raises(RunError, match=message):
        Forecaster.load(tmp_path / "run").score(later)
    assert loaded.score(later) == found
    source.unlink()
    assert fitted.score(later) == found
    with pytest.raises(DataError, match=r"no window fits into the part 'given'"):
        Forecaster.load(tmp_path / "run").score(later)


def test_a_file_may_change_while_it_is_fitted_to(
    meter: tuple[Path, pl.DataFrame], table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once; rows that came after it are not what came before others."""
    source, later = meter
    expected = tiny().fit(pl.read_csv(source, try_parse_dates=True)).score(later)
    from recur.estimators import forecaster

    train, written = forecaster.train_forecaster, table

    def growing(*given: Any, **options: Any) -> Any:
        run = train(*given, **options)
        written.write_csv(source)
        return run

    monkeypatch.setattr(forecaster, "train_forecaster", growing)
    fitted = tiny().fit(source)
    assert not hasattr(fitted, "_past")
    assert fitted.score(later) == expected
    # Fitted again, it is scored after what it is fitted to then.
    written = table.with_columns(load=pl.col("load") + 1)
    fitted.fit(source)
    message = r"meter\.csv: is not what the forecaster was fitted to any more, so that what came before X is not known;"
    with pytest.raises(RunError, match=message):
        fitted.score(later)


def test_a_list_of_one_file_is_that_file(meter: tuple[Path, pl.DataFrame]) -> None:
    source, later = meter
    fitted, other = tiny().fit([source]), tiny().fit(source)
    assert fitted.predict().equals(other.predict())
    assert fitted.predict([source]).equals(other.predict())
    assert fitted.score(later) == other.score(later)
    assert fitted.score([source]) == other.score(source)
    with pytest.raises(OptionError, match=r"^data: expected one table, or a folder of them, got 2 names"):
        fitted.score([source, source])
