"""Forecasts in scikit-learn's manner."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from recur.data.series import Panel, Part
from recur.data.series.options import SeriesOptions
from recur.data.series.succession import following
from recur.errors import DataError, RunError
from recur.estimators.base import RunEstimator
from recur.models.forecaster_options import ForecasterOptions
from recur.plots.forecast import plot_forecast
from recur.tasks.forecast.backtest import MODEL
from recur.tasks.forecast.evaluation import EVALUATION, judge_forecasts
from recur.tasks.forecast.trained import TrainedForecaster
from recur.train.forecast import train_forecaster
from recur.train.options import SeriesTrainingOptions
from recur.train.series_preparation import one_source


class Forecaster(RunEstimator):
    """Reads the past of one or many series and tells what comes next, as `recur.train_forecaster` trains it.

    Its parameters are the fields of `recur.data.series.options.SeriesOptions`, `recur.models.ForecasterOptions` and
    `recur.train.SeriesTrainingOptions`, all by keyword and all optional, such as `horizon`, `history`, `hidden_size`,
    `max_epochs` and `seed`; and `out`, the run folder to make (a temporary one by default), `overwrite`, whether a run
    that stands there is replaced, and `verbose`, whether progress is shown. `test` is 0 by default, for whoever uses an
    estimator holds out what is to be judged on; the last tenth is still held out to choose the best weights by.

    Attributes:
        trained_: The `recur.TrainedForecaster`, which also draws paths.
        run_: Path of the run folder; None where it was a temporary one.
        evaluation_: How good the forecasts of the held-out part are beside the naive rules, as `judge_forecasts`
            returns it; `evaluation_["verdict"]["text"]` says it in words.

    Example:
        >>> day = np.sin(np.arange(120) * 2 * np.pi / 12)
        >>> forecaster = Forecaster(horizon=3, history=12, hidden_size=4, max_steps=2)
        >>> forecaster.fit(day).predict().shape
        (3,)
    """

    task: ClassVar[str] = "forecast"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "series": SeriesOptions,
        "model": ForecasterOptions,
        "training": SeriesTrainingOptions,
    }
    defaults: ClassVar[Mapping[str, Any]] = {"test": 0.0}
    evaluation: ClassVar[str] = EVALUATION

    trained_: TrainedForecaster
    _fitted_to: Any
    _past: Panel | None

    def fit(self, X: Any, y: None = None) -> Self:
        """Train on series.

        Args:
            X: A table in long form, wide form or with a series in each row, as `form` says: a dataframe of any kind, or
                the path of a file; or an array of shape (T,), (T, C) or (N, T, C), see `recur.data.series.read_series`.
            y: None. What is to be told is among the columns of X.

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
            TypeError: y is given.
        """
        _check_no_y(y)
        source = one_source(X)
        is_path = isinstance(source, str | os.PathLike)
        with self._run(train_forecaster, source) as run:
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        # So that data that are changed later are not taken for these.
        self._fitted_to = source if is_path else copy.deepcopy(source)
        if hasattr(self, "_past"):
            del self._past
        return self

    def predict(self, X: Any = None, *, horizon: int | None = None, levels: Sequence[float] = (0.1, 0.5, 0.9)) -> Any:
        """Return what comes after the last step of each series.

        Args:
            X: What is gone on from, of the kind that `fit` took; what it took itself where None.
            horizon: Steps to tell, as many as the forecaster was trained for or fewer; those where None.
            levels: Probabilities of the quantiles in a dataframe, between 0 and 1, growing.

        Returns:
            For a table a dataframe as of `TrainedForecaster.predict`, of the kind that came in (of polars for a file),
            with a row for each step and target. For an array of shape (T,), (T, C) or (N, T, C) the means, float32 of
            the same shape but for `horizon` in place of T.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, there are none, or a series has nothing to go on from.
            OptionError: `horizon` is longer than the forecaster's, or a level is out of range.
        """
        data = self._given(X)
        found = self.trained_.predict(data, horizon=horizon, levels=levels)
        if not isinstance(data, np.ndarray | list | tuple):
            return found
        shape = np.shape(data)
        means = found["mean"].to_numpy()
        return means.reshape(-1) if len(shape) == 1 else means.reshape(*shape[:-2], -1, shape[-1])

    def score(self, X: Any, y: None = None) -> float:
        """Return the skill of forecasts from every origin within X: 1 - MAE / MAE of the best naive rule.

        1 is perfect, 0 as good as the rule, and below 0 worse. Where the rows of a table come after those of the fit,
        these are read as their past, so that all of X is told: as they were then, at the first call from their file as
        long as that is there, in which rows may have come after them. Of other series, and of arrays, which have no
        times that say what follows what, the first steps are only read, so that X must have more than `history` and
        `horizon` together for many origins.

        Args:
            X: What came, of the kind that `fit` took.
            y: None.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or are too short.
            RunError: The file that it was fitted to is another one now.
            TypeError: y is given.
        """
        _check_no_y(y)
        self._check_fitted()
        if not hasattr(self, "_past"):
            self._past = self._own()
        setup, past = self.trained_.setup, self._past
        panel = setup.read(one_source(X))
        part = (
            Part.whole(panel, name="given")
            if past is None
            else following(panel, past, longest_gap=setup.history, has_all_steps=setup.time_unit is None)
        )
        found = judge_forecasts(self.trained_, part)
        rule = found["figures"][found["best_rule"]]["mae"]
        own = found["figures"][MODEL]["mae"]
        if not rule:
            # Nothing is better than a rule without any error.
            return 0.0 if own == rule else -np.inf
        return float(1 - own / rule)

    def plot(self, X: Any = None, **options: Any) -> Any:
        """Return a picture of what comes after the last step of a series, with intervals, as a plotly figure.

        Args:
            X: As of `predict`.
            options: As of `recur.plots.plot_forecast`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: As of `plot_forecast`.
            OptionError: As of `plot_forecast`.
        """
        data = self._given(X)
        return plot_forecast(self.trained_, data, **options)

    def _own(self) -> Panel | None:
        """Return what X may come after; None of arrays, which have no times, and where it is not there any more.

        Raises:
            RunError: It was in a file, which is another one now.
        """
        setup = self.trained_.setup
        path = None if setup.source is None else setup.source.path
        # Of a run that was loaded the data are where it says.
        data = getattr(self, "_fitted_to", None) if path is None else None
        is_there = data is not None if path is None else Path(path).exists()
        if setup.schema.roles is None or not is_there:
            return None
        try:
            return setup.own_panel(data).recoded(setup.schema.categories)
        except RunError as error:
            raise RunError(
                f"{path}: is not what the forecaster was fitted to any more, so that what came before X is not known; "
                "put it back, or move it away to judge X by its own rows alone."
            ) from error

    def _given(self, X: Any) -> Any:
        self._check_fitted()
        if X is not None:
            return one_source(X)
        if not hasattr(self, "_fitted_to"):
            source = self.trained_.setup.source
            if source is None or source.path is None:
                raise DataError("X: the data of the run were not in a file; give the series to go on from.")
            return source.path
        return self._fitted_to


def _check_no_y(y: object) -> None:
    if y is not None:
        raise TypeError("y: a forecaster finds what it is to tell among the columns of X; leave y out.")
