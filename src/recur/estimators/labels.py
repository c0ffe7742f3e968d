"""Classes and numbers told of series, in scikit-learn's manner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np

from recur.data.series import Part, panel_of_array
from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.errors import DataError
from recur.estimators.base import RegressorMixin, RunEstimator
from recur.estimators.classes import Array, ClassEstimator, classes_of, labels_of
from recur.models.series_options import SeriesClassifierOptions, SeriesRegressorOptions
from recur.plots.labels import plot_labels
from recur.tasks.labels.evaluation import EVALUATION, judge_labels
from recur.tasks.labels.trained import TrainedClassifier, TrainedRegressor
from recur.train.labels import train_classifier, train_regressor
from recur.train.options import LabelTrainingOptions


class LabelEstimator(RunEstimator, ABC):
    """What tells labels of series that come as arrays with labels beside them, or as tables with labels inside."""

    defaults: ClassVar[Mapping[str, Any]] = {"test": 0.0}
    evaluation: ClassVar[str] = EVALUATION

    trained_: TrainedClassifier | TrainedRegressor

    @property
    def _reads_arrays(self) -> bool:
        """Whether series were arrays when it was fitted, or dataframes with a series in each row."""
        return self.trained_.setup.schema.roles is None

    def _told(self, X: Any) -> Any:
        """Return what the trained model says, a dataframe; of polars where series are arrays."""
        self._check_fitted()
        return self.trained_.predict(panel_of_array(series_of(X)) if self._reads_arrays else X)

    def plot(self, X: Any, y: Any = None) -> Any:
        """Return a picture of what is told of what, as a plotly figure: a confusion matrix, or numbers beside the true.

        Args:
            X: As of `predict`; of tables with labels.
            y: The labels, (N,), where X are arrays.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or there are no labels.
        """
        self._check_fitted()
        if y is None:
            return plot_labels(self.trained_, X)
        values = series_of(X)
        return plot_labels(self.trained_, panel_of_array(values, self._as_told(labels_of(y, len(values)))))

    @abstractmethod
    def _as_told(self, labels: Array) -> Array:
        """Return labels of a user as the trained model has them."""

    def _judged(self, X: Any) -> dict[str, Any]:
        """Return the figures of labels that are in the data."""
        self._check_fitted()
        found: dict[str, Any] = judge_labels(self.trained_, Part.whole(self.trained_.setup.read(X)))["figures"]
        return found


class SeriesClassifier(ClassEstimator, LabelEstimator):
    """Tells of which class a series is, or each of its steps, as `recur.train_classifier` trains it.

    Its parameters are the fields of `LabelOptions`, `recur.models.SeriesClassifierOptions` and `LabelTrainingOptions`,
    and `out`, `overwrite` and `verbose`, as those of `recur.Forecaster`. `test` is 0 by default, for whoever uses an
    estimator holds out what is to be judged on; a tenth is still held out to calibrate the probabilities.

    Attributes:
        trained_: The `recur.TrainedClassifier`.
        run_: Path of the run folder; None where it was a temporary one.
        classes_: The classes, (K,), sorted, as y has them.
        evaluation_: How good it is on the held-out part, as `judge_labels` returns it.

    Example:
        >>> rising = np.linspace(-1, 1, 12) * np.array([[1.0], [-1.0]] * 8)
        >>> classifier = SeriesClassifier(members=1, hidden_size=4, max_steps=30).fit(rising, ["up", "down"] * 8)
        >>> classifier.predict_proba(rising).shape
        (16, 2)
    """

    task: ClassVar[str] = "classify"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "series": LabelOptions,
        "model": SeriesClassifierOptions,
        "training": LabelTrainingOptions,
    }

    trained_: TrainedClassifier

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on series and their classes.

        Args:
            X: With y an array, or a dataframe with a series in each row: (N, T) or (N, T, C) numbers, NaN where
                missing, also past the end of a shorter series. Without y whatever `recur.train_classifier` takes, such
                as a table with a column of labels, or the path of a file.
            y: The class of each series, (N,): numbers, text or bool.

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
        """
        if y is None:
            data, classes = X, None
        else:
            values = series_of(X)
            classes, codes = classes_of(labels_of(y, len(values)), instead="SeriesRegressor for numbers")
            data = panel_of_array(values, np.array([str(name) for name in classes.tolist()])[codes], name="X")
        with self._run(train_classifier, data) as run:
            if classes is not None:
                self._name_classes(run, classes)
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        return self

    def predict(self, X: Any) -> Any:
        """Return the class of each series.

        Args:
            X: Of the kind that `fit` took; without labels.

        Returns:
            Of arrays, as of `fit` with y, the classes (N,); of tables a dataframe as of `TrainedClassifier.predict`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
        """
        found = self._told(X)
        return self.classes_[self._probabilities(found).argmax(1)] if self._reads_arrays else found

    def predict_proba(self, X: Any) -> Array:
        """Return calibrated probabilities, (N, K) float32, of the classes in the order of `classes_`.

        Of tables in which steps have labels they are of each step, row by row as `predict` has them. Arguments and
        errors are those of `predict`.
        """
        return self._probabilities(self._told(X))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of series, or of steps, that are told right.

        Args:
            X: As of `predict`; of tables with labels.
            y: The classes, (N,), where X are arrays.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or there are no labels.
        """
        if y is None:
            return float(self._judged(X)["accuracy"])
        found = self.predict(X)
        return float(np.mean(found == labels_of(y, len(found))))

    def _as_told(self, labels: Array) -> Array:
        new = [label for label in labels.tolist() if label not in self.classes_.tolist()]
        if new:
            raise DataError(f"y: the class {new[0]!r} is none of those of the classifier.")
        return np.array([str(label) for label in labels.tolist()])


class SeriesRegressor(RegressorMixin, LabelEstimator):  # type: ignore[misc]
    """Tells a number of a series, or of each of its steps, as `recur.train_regressor` trains it.

    Its parameters are the fields of `NumberOptions`, `recur.models.SeriesRegressorOptions` and `LabelTrainingOptions`,
    else as those of `recur.SeriesClassifier`.

    Attributes:
        trained_: The `recur.TrainedRegressor`, which also tells intervals.
        run_: Path of the run folder; None where it was a temporary one.
        evaluation_: How good it is on the held-out part, as `judge_labels` returns it.

    Example:
        >>> slope = np.arange(16.0)
        >>> series = slope[:, None] * np.linspace(0, 1, 12)
        >>> SeriesRegressor(members=1, hidden_size=4, max_steps=30).fit(series, slope).predict(series).shape
        (16,)
    """

    task: ClassVar[str] = "regress"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "series": NumberOptions,
        "model": SeriesRegressorOptions,
        "training": LabelTrainingOptions,
    }

    trained_: TrainedRegressor

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on series and their numbers.

        Args:
            X: As of `SeriesClassifier.fit`; without y whatever `recur.train_regressor` takes, with `remaining_life` a
                table without labels.
            y: The number of each series, (N,).

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
        """
        data: Any = X
        if y is not None:
            values = series_of(X)
            data = panel_of_array(values, _numbers(labels_of(y, len(values))), name="X")
        with self._run(train_regressor, data) as run:
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        return self

    def predict(self, X: Any) -> Any:
        """Return the number of each series.

        Args:
            X: Of the kind that `fit` took; without labels.

        Returns:
            Of arrays, as of `fit` with y, the numbers (N,) float32; of tables a dataframe as of
            `TrainedRegressor.predict`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
        """
        found = self._told(X)
        return found[self.trained_.setup.label].to_numpy() if self._reads_arrays else found

    def _as_told(self, labels: Array) -> Array:
        return _numbers(labels)

    def score(self, X: Any, y: Any = None) -> float:
        """Return R^2: 1 is perfect, 0 as good as the mean of the numbers, and below 0 worse; 0 where all are the same.

        Args:
            X: As of `predict`; of tables with labels.
            y: The numbers, (N,), where X are arrays.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or there are no labels.
        """
        if y is None:
            return float(self._judged(X)["explained"] or 0.0)
        found = self.predict(X).astype(np.float64)
        true = _numbers(labels_of(y, len(found)))
        spread = float(((true - true.mean()) ** 2).sum())
        return 1 - float(((true - found) ** 2).sum()) / spread if spread else 0.0


# --- what comes in ---------------------------------------------------------------------------------------------------


def series_of(X: Any) -> Array:
    """Return series that came as an array, or in the rows of a dataframe, as (N, T, C).

    Raises:
        DataError: They are not numbers of such a shape.
    """
    frame = nw.from_native(X, pass_through=True, eager_only=True)
    values = np.asarray(frame.to_numpy() if isinstance(frame, nw.DataFrame) else X)
    if values.dtype.kind not in "fiub" or values.ndim not in (2, 3):
        raise DataError(
            f"X: expected numbers of shape (N, T) or (N, T, C), a series in each row, got {values.dtype} of shape "
            f"{values.shape}."
        )
    return values if values.ndim == 3 else values[:, :, None]


def _numbers(labels: Array) -> Array:
    if labels.dtype.kind not in "fiub":
        raise DataError(f"y: expected numbers, got {labels.dtype}; take SeriesClassifier for classes.")
    return labels.astype(np.float64)
