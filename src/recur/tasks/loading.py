"""From a run folder of any task to what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur._lazy import function_of
from recur.errors import RunError
from recur.run import RunFolder

if TYPE_CHECKING:
    import torch

LOADERS = {
    "language": "recur.tasks.language.trained:load",
    "forecast": "recur.tasks.forecast.trained:TrainedForecaster.load",
    "classify": "recur.tasks.labels.trained:TrainedClassifier.load",
    "regress": "recur.tasks.labels.trained:TrainedRegressor.load",
    "detect": "recur.tasks.detect.trained:TrainedDetector.load",
    "classify-text": "recur.tasks.texts.trained:TrainedTextClassifier.load",
    "tag": "recur.tasks.tags.trained:TrainedTagger.load",
    "translate": "recur.tasks.translate.trained:TrainedTranslator.load",
    "write": "recur.tasks.write.trained:TrainedWriter.load",
}
"""What loads the runs of each task, "module:function": (run, *, device) -> what was trained."""


def load(run: str | Path | RunFolder, *, device: str | torch.device = "cpu") -> Any:
    """Return what a run trained, ready for use. Nothing in the folder is executed.

    Args:
        run: The folder.
        device: Where the network shall compute.

    Returns:
        By the task of the run: `recur.TrainedLanguageModel`, `recur.TrainedForecaster`, `recur.TrainedClassifier`,
        `recur.TrainedRegressor`, `recur.TrainedDetector`, `recur.TrainedTextClassifier`, `recur.TrainedTagger`,
        `recur.TrainedTranslator` or `recur.TrainedWriter`.

    Raises:
        RunError: The folder is missing, damaged, of a newer format, or of a task that this version does not know.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    task = folder.config().get("task")
    if task not in LOADERS:
        raise RunError(f"{folder.path}: is a run of task {task!r}, which this version does not know.")
    return function_of(LOADERS[task])(folder, device=device)
