"""Classes of texts, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
import polars as pl

from recur.data.texts.labels import read_labels, read_names
from recur.data.texts.options import LabelledTextOptions
from recur.data.texts.places import Places
from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vector_options import VectorOptions
from recur.errors import DataError
from recur.estimators.classes import Array, ClassEstimator, classes_of, labels_of
from recur.models.texts.options import TextClassifierOptions
from recur.tasks.text_source import entries_of
from recur.tasks.texts.evaluation import judge_texts
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.train.options import TextTrainingOptions
from recur.train.texts import train_text_classifier
from recur.wording import enumerated


class TextClassifier(ClassEstimator):
    """Tells of which class a text is, or of which ones, as `recur.train_text_classifier` trains it.

    Its parameters are the fields of `LabelledTextOptions`, `TokenOptions`, `VectorOptions`, `TextClassifierOptions` and
    `TextTrainingOptions`, and `out`, `overwrite` and `verbose`, as those of `recur.Forecaster`. `test` is 0 by default,
    for whoever uses an estimator holds out what is to be judged on; a tenth is still held out to choose the weights and
    to calibrate the probabilities.

    Attributes:
        trained_: The `recur.TrainedTextClassifier`.
        run_: Path of the run folder; None where it was a temporary one.
        classes_: The classes, (K,), sorted, as y has them.
        evaluation_: How good it is on the held-out part, as `judge_texts` returns it.

    Example:
        >>> texts = ["so good", "very good day", "so bad", "a bad day"] * 8
        >>> classifier = TextClassifier(hidden_size=4, embedding_size=4, members=1, max_steps=20)
        >>> classifier.fit(texts, ["praise", "praise", "blame", "blame"] * 8).predict_proba(["good"]).shape
        (1, 2)
    """

    task: ClassVar[str] = "classify-text"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "texts": LabelledTextOptions,
        "tokens": TokenOptions,
        "vectors": VectorOptions,
        "model": TextClassifierOptions,
        "training": TextTrainingOptions,
    }
    defaults: ClassVar[Mapping[str, Any]] = {"test": 0.0}

    trained_: TrainedTextClassifier

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on texts and their classes.

        Args:
            X: With y the texts, (N,): a list, an array or a column of a dataframe. Without y whatever
                `recur.train_text_classifier` takes, such as a table with a column of labels, or the path of a file.
            y: The class of each text, (N,): numbers, text or bool. Where a text may have several classes, a list of
                them for each, or which ones it has, (N, K) of 0 and 1. The name of a class is not empty, nor is white
                space around it.

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
        """
        data, classes, reading = X, None, self._chosen()["texts"]
        if y is not None:
            texts = texts_of(X)
            classes, labels = _labels(y, len(texts))
            data = (texts, labels)
            if reading.label_separator is None:
                # A class is what it is, whatever stands in its name.
                reading = replace(reading, label_separator="")
            _check_kept(labels, reading)
        with self._run(train_text_classifier, data, texts=reading) as run:
            if classes is not None:
                self._name_classes(run, classes)
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        return self

    @property
    def is_multi(self) -> bool:
        """Whether a text may have several classes, or none."""
        self._check_fitted()
        return self.trained_.setup.is_multi

    def predict(self, X: Any) -> Any:
        """Return the class of each text.

        Args:
            X: Texts, as of `fit` with y; or a file or dataframe, as without.

        Returns:
            Of texts, the classes (N,); where a text may have several, which ones it has in the order of `classes_`,
            (N, K) int64 of 0 and 1. Of files and dataframes a dataframe as of `TrainedTextClassifier.predict`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
        """
        found = self._told(X)
        if not are_texts(X):
            return found
        if not self.is_multi:
            return self.classes_[self._probabilities(found).argmax(1)]
        return self._indicators(found[self.trained_.setup.label].to_list())

    def predict_proba(self, X: Any) -> Array:
        """Return calibrated probabilities, (N, K) float32, of the classes in the order of `classes_`.

        Where a text may have several classes, each is by itself, and they do not add up to 1. Arguments and errors are
        those of `predict`.
        """
        return self._probabilities(self._told(X))

    def explain(self, X: Any, *, label: Any = None) -> pl.DataFrame:
        """Return what each token of each text contributes to a class, as `TrainedTextClassifier.explain` does.

        Args:
            X: As of `predict`.
            label: A class that is explained in place of the one that is told.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
            OptionError: There is no such class.
        """
        self._check_fitted()
        texts = texts_of(X) if are_texts(X) else X
        return self.trained_.explain(texts, label=None if label is None else str(label))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of texts that are told right: of several classes those all of whose classes are.

        Args:
            X: As of `predict`; without y with labels.
            y: The classes, as of `fit`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or there are no labels.
        """
        self._check_fitted()
        if y is None:
            figures = judge_texts(self.trained_, self.trained_.setup.read(X), "given")["figures"]
            return float(figures["exact" if self.is_multi else "accuracy"])
        found = self.predict(texts_of(X))
        if not self.is_multi:
            return float(np.mean(found == labels_of(y, len(found), of="texts")))
        _, labels = _labels(y, len(found))
        known = {str(name) for name in self.classes_.tolist()}
        is_known = np.array([known.issuperset(own) for own in labels])
        return float(np.mean((found == self._indicators(labels)).all(1) & is_known))

    def _told(self, X: Any) -> pl.DataFrame:
        self._check_fitted()
        return self.trained_.predict(texts_of(X) if are_texts(X) else X)

    def _indicators(self, labels: Sequence[Sequence[str]]) -> Array:
        """Return which of the classes are named, (N, K) int64."""
        names = [str(name) for name in self.classes_.tolist()]
        found = [[name in own for name in names] for own in map(set, labels)]
        return np.array(found, np.int64).reshape(len(labels), len(names))


def texts_of(X: Any, *, name: str = "X") -> list[str]:
    """Return texts that came as a list, an array or a column of a dataframe.

    Args:
        X: The texts.
        name: What they are called where they are none.

    Raises:
        DataError: They are no texts, or one is missing.
    """
    found = entries_of(X)
    if not isinstance(found, list | tuple):
        raise DataError(f"{name}: expected a list, an array or a column of texts, got {type(X).__name__}.")
    for place, one in enumerate(found):
        if not isinstance(one, str):
            raise DataError(f"{name}: expected texts, but entry {place} is {one!r}, of type {type(one).__name__}.")
    return list(found)


def are_texts(X: Any) -> bool:
    """Return whether X are texts themselves, and not a file or a table with them."""
    return isinstance(entries_of(X), list | tuple)


def _labels(y: Any, count: int) -> tuple[Array, list[Any]]:
    """Return the classes, sorted, and the name of that of each text, or the names of those that it has.

    Raises:
        DataError: There is not one for each text, or they cannot be classes.
    """
    column = nw.from_native(y, pass_through=True, allow_series=True, eager_only=True)
    if isinstance(column, nw.Series):
        y = column.to_list()
    elif isinstance(column, nw.DataFrame):
        y = column.to_numpy()
    if isinstance(y, list | tuple) and any(isinstance(one, list | tuple | set | frozenset) for one in y):
        if len(y) != count or not all(isinstance(one, list | tuple | set | frozenset) for one in y):
            raise DataError(f"y: expected a list of labels for each of the {count} texts.")
        classes, _ = classes_of(np.array([label for own in y for label in own]))
        return classes, [[str(label) for label in own] for own in y]
    labels = np.asarray(y)
    if labels.ndim == 2 and len(labels) == count and labels.dtype.kind in "iubf" and np.isin(labels, (0, 1)).all():
        return np.arange(labels.shape[1]), [[str(label) for label in np.flatnonzero(row)] for row in labels]
    classes, codes = classes_of(labels_of(labels, count, of="texts"))
    return classes, [str(name) for name in classes[codes].tolist()]


def _check_kept(labels: Sequence[Any], reading: LabelledTextOptions) -> None:
    """Raise where classes would be called otherwise in the run than y calls them, so that they could not be told apart.

    Raises:
        DataError: One would be.
    """
    is_list = any(isinstance(own, list) for own in labels)
    cells = pl.Series(labels, dtype=pl.List(pl.String) if is_list else pl.String)
    names = None if reading.label_names is None else read_names(reading.label_names, reading.codec)
    places = Places.of("y", np.arange(1, len(labels) + 1), "row")
    found = read_labels(cells, places, separator=reading.label_separator, names=names)
    for place, (own, read) in enumerate(zip(labels, found.labels, strict=True)):
        given = tuple(dict.fromkeys(own)) if is_list else (own,)
        if (read or ()) != given:
            said = enumerated([*map(repr, read)]) if read else "none"
            raise DataError(
                f"y: entry {place}, {own!r}, would be read as {said}; give classes as they are to be called, none of "
                "them empty or with white space around it, several of a text as a list."
            )
