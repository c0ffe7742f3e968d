"""What the estimators that tell classes have in common: classes as y has them, and their probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from recur.errors import DataError
from recur.estimators.base import ClassifierMixin, RunEstimator
from recur.run import RunFolder
from recur.tasks.labels.evaluation import EVALUATION

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]


class ClassEstimator(ClassifierMixin, RunEstimator):  # type: ignore[misc]
    """What tells classes.

    Attributes:
        classes_: The classes, (K,), sorted, as y has them.
    """

    evaluation: ClassVar[str] = EVALUATION

    classes_: Array

    def _name_classes(self, run: RunFolder, classes: Array) -> None:
        """Write into a run what the classes are, for what they are called there are texts."""
        run.write_json("config.json", run.config() | {"classes": classes.tolist()})

    def _keep(self, run: RunFolder, device: str | torch.device = "cpu") -> None:
        super()._keep(run, device)
        classes = run.config().get("classes")
        self.classes_ = np.array(self.trained_.classes if classes is None else classes)

    def _probabilities(self, found: Any) -> Array:
        """Return the probabilities of a dataframe as `predict` of the trained model returns it, (N, K) float32.

        A class of which nothing was there to learn from has 0.
        """
        frame = nw.from_native(found)
        columns = [f"p({name})" for name in self.classes_.tolist()]
        every = [frame[name].to_numpy() if name in frame.columns else np.zeros(len(frame)) for name in columns]
        return np.stack(every, 1).astype(np.float32)


def labels_of(y: Any, count: int, *, of: str = "series") -> Array:
    """Return labels as an array.

    Args:
        y: The labels.
        count: How many there must be.
        of: What has one each, several of them.

    Raises:
        DataError: There is not one for each.
    """
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise DataError(f"y: expected a label for each of the {count} {of}, got shape {labels.shape}.")
    return labels


def classes_of(labels: Array, *, instead: str = "") -> tuple[Array, Array]:
    """Return the classes, sorted, and which of them each label is.

    Args:
        labels: (N,).
        instead: What to take where labels are numbers.

    Raises:
        DataError: They cannot be classes.
    """
    if labels.dtype.kind == "f" and (labels != np.round(labels)).any():
        raise DataError("y: holds fractions or gaps, which are no classes" + (f"; take {instead}." if instead else "."))
    kinds = {type(label) for label in labels.tolist()}
    if labels.dtype.kind == "O" and len(kinds) > 1:
        named = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"y: classes must be of one kind, got {named}.")
    classes, codes = np.unique(labels, return_inverse=True)
    if classes.dtype.kind not in "fiubUO" or (classes.dtype.kind == "O" and kinds != {str}):
        raise DataError(f"y: classes must be numbers, text or bool, got {classes.dtype}.")
    return classes, codes
