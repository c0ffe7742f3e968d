"""Anomalies found in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Panel
from recur.data.series.options import DetectionOptions
from recur.estimators.base import OutlierMixin, RunEstimator
from recur.models.detector_options import DetectorOptions
from recur.plots.alarms import plot_alarms
from recur.run import RunFolder
from recur.tasks.detect.judgement import EVALUATION
from recur.tasks.detect.trained import TrainedDetector
from recur.train.detect import train_detector
from recur.train.options import SeriesTrainingOptions
from recur.train.series_preparation import one_source

Scores = NDArray[np.float64]


class Detector(OutlierMixin, RunEstimator):  # type: ignore[misc]
    """Says which steps of series are strange, each by those before it, as `recur.train_detector` trains it.

    Its parameters are the fields of `recur.data.series.options.DetectionOptions`, `recur.models.DetectorOptions` and
    `recur.train.SeriesTrainingOptions`, and `out`, `overwrite` and `verbose`, as those of `recur.Forecaster`;
    `false_alarms` is what scikit-learn calls contamination, but of ordinary steps. `test` is 0 by default, for whoever
    uses an estimator holds out what is to be judged on; the last tenth is still held out to choose the best weights by,
    and the threshold is fitted to all.

    Attributes:
        trained_: The `recur.TrainedDetector`, which also tells the channel that is to blame, and goes step by step.
        run_: Path of the run folder; None where it was a temporary one.
        offset_: What `score_samples` is below in an alarm: `decision_function` is `score_samples` less this.
        evaluation_: What alarms it raises in the held-out part, as `judge_detector` returns it.

    Example:
        >>> day = np.sin(np.arange(400) * 2 * np.pi / 24) + 0.1 * np.random.default_rng(0).normal(size=400)
        >>> detector = Detector(history=48, hidden_size=4, max_steps=5).fit(day)
        >>> day[200] += 5
        >>> int(np.nanargmin(detector.score_samples(day)))
        200
    """

    task: ClassVar[str] = "detect"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "series": DetectionOptions,
        "model": DetectorOptions,
        "training": SeriesTrainingOptions,
    }
    defaults: ClassVar[Mapping[str, Any]] = {"test": 0.0}
    evaluation: ClassVar[str] = EVALUATION

    trained_: TrainedDetector

    def fit(self, X: Any, y: None = None) -> Self:
        """Train on series, of which most steps should be ordinary.

        Args:
            X: A table in long form, wide form or with a series in each row, as `form` says: a dataframe of any kind, or
                the path of a file; or an array of shape (T,), (T, C) or (N, T, C), see `recur.data.series.read_series`.
            y: None. Nothing is learned from labels; `label` names a column of X to judge by.

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
            TypeError: y is given.
        """
        if y is not None:
            raise TypeError(
                "y: a detector learns from no labels; leave y out, or name a column of X to judge by with label=."
            )
        with self._run(train_detector, X) as run:
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        return self

    def predict(self, X: Any) -> Any:
        """Return which steps are strange.

        Args:
            X: Of the kind that `fit` took.

        Returns:
            Of an array of shape (T,), (T, C) or (N, T, C), -1 for a step that raises an alarm and 1 for every other,
            also where nothing can be said: int64 of shape (T,) or (N, T). Of a table a dataframe as of
            `TrainedDetector.predict`, with scores, alarms, and what each channel adds.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
        """
        self._check_fitted()
        data = one_source(X)
        if not _is_array(data):
            return self.trained_.predict(data)
        # Of scores alone, for a difference may round to zero.
        return np.where(self.score_samples(X) < self.offset_, -1, 1)

    def fit_predict(self, X: Any, y: None = None) -> Any:
        """Return what `predict` says of the series that were trained on; arguments and errors are those of `fit`."""
        return self.fit(X, y).predict(X)

    def score_samples(self, X: Any) -> Scores:
        """Return how ordinary each step is: its score with the sign turned, the lower the stranger.

        Args:
            X: As of `predict`.

        Returns:
            Of an array of shape (T,), (T, C) or (N, T, C), float64 of shape (T,) or (N, T); of a table (R,), row by row
            as `predict` has them. NaN where nothing can be said: of missing values, and of the first `history` steps of
            a series that is not known.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
        """
        self._check_fitted()
        data = one_source(X)
        panel = self.trained_.setup.read(data)
        scores = -self.trained_.scored(panel).score
        return _in_shape(scores, panel, np.shape(data)) if _is_array(data) else scores

    def decision_function(self, X: Any) -> Scores:
        """Return `score_samples` less `offset_`: below 0 for an alarm. Arguments and errors are those of it."""
        return self.score_samples(X) - self.offset_

    def plot(self, X: Any, **options: Any) -> Any:
        """Return a picture of a series with its alarms, as a plotly figure.

        Args:
            X: As of `predict`.
            options: As of `recur.plots.plot_alarms`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: As of `plot_alarms`.
            OptionError: As of `plot_alarms`.
        """
        self._check_fitted()
        return plot_alarms(self.trained_, X, **options)

    def _keep(self, run: RunFolder, device: str | torch.device = "cpu") -> None:
        super()._keep(run, device)
        self.offset_ = -self.trained_.threshold


def _is_array(X: Any) -> bool:
    return isinstance(X, np.ndarray | list | tuple)


def _in_shape(scores: Scores, panel: Panel, shape: tuple[int, ...]) -> Scores:
    """Return scores of rows in the shape of the array that they were read from, whose last steps may be padding."""
    steps = shape[-2] if len(shape) > 1 else shape[0]
    found = np.full((len(panel), steps), np.nan)
    found[np.arange(steps) < panel.lengths[:, None]] = scores
    return found if len(shape) == 3 else found[0]
