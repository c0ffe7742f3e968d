"""Using a trained classifier or regressor of series: load a run, tell labels of new data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from recur.calibration import Temperature
from recur.calibration.conformal import conformal_quantile
from recur.data.series import Panel, Part
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_number
from recur.models.series_classifier import SeriesClassifierNetwork
from recur.models.series_ensemble import SeriesEnsemble
from recur.models.series_labels import SeriesLabelNetwork
from recur.models.series_options import SeriesClassifierOptions, SeriesLabelOptions, SeriesRegressorOptions
from recur.models.series_regressor import SeriesRegressorNetwork
from recur.run import FORMAT, RunFolder
from recur.tasks.labels.classes import calibrate
from recur.tasks.labels.outcomes import SeriesOutcomes, collect_outcomes
from recur.tasks.labels.setup import LabelSetup
from recur.tasks.run_weights import with_its_size, with_weights
from recur.tasks.series_frame import Column, native_frame

CALIBRATION = "calibration.safetensors"
"""File of a run with the temperature of its probabilities, or the errors that its intervals are made of."""


MOST_ERRORS = 10_000
"""Held-out errors that are kept; of more, as many that divide them evenly."""

LabelNetwork = SeriesLabelNetwork | SeriesEnsemble


def build_network(options: SeriesLabelOptions, setup: LabelSetup) -> LabelNetwork:
    """Return the network that recur trains with these options on such data, its weights freshly drawn.

    Raises:
        OptionError: The options are of classes where numbers are told, or the other way round.
    """

    def one() -> SeriesLabelNetwork:
        if isinstance(options, SeriesClassifierOptions):
            return SeriesClassifierNetwork(options, setup.shape, len(setup.classes))
        assert isinstance(options, SeriesRegressorOptions)
        return SeriesRegressorNetwork(options, setup.shape)

    members = [one() for _ in range(options.members or 1)]
    return members[0] if len(members) == 1 else SeriesEnsemble(members)


class TrainedLabels(ABC):
    """A network that tells labels, with all that it needs to read data; of classes or of numbers.

    Args:
        network: Put in evaluation mode.
        setup: How data become what it reads.
        options: What it was built with.

    Attributes:
        network: As given.
        setup: As given.
        options: As given.
    """

    task: ClassVar[str]
    """As `config.json` has it."""

    options_type: ClassVar[type[SeriesLabelOptions]]
    """Of the network."""

    def __init__(self, network: LabelNetwork, setup: LabelSetup, options: SeriesLabelOptions) -> None:
        self.network = network.eval()
        self.setup, self.options = setup, options

    def __repr__(self) -> str:
        return with_its_size(self, self.network)

    # --- files ---

    @classmethod
    def load(cls, run: str | Path | RunFolder, *, device: str | torch.device = "cpu") -> Self:
        """Return what a run trained. Nothing in the folder is executed.

        Args:
            run: The folder.
            device: Where the network shall compute.

        Raises:
            RunError: The folder is missing, damaged, of a newer format, or of another task.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.config()
        if config.get("task") != cls.task:
            raise RunError(f"{folder.path}: is a run of task {config.get('task')!r}, expected {cls.task!r}.")
        setup = LabelSetup.load(folder)
        try:
            options = cls.options_type.from_json(**config["model"])
        except (KeyError, TypeError, OptionError) as error:
            raise RunError(f"{folder.path / 'config.json'}: damaged: model: {str(error).rstrip('.')}.") from error
        found = cls(with_weights(folder, lambda: build_network(options, setup)).to(device), setup, options)
        if folder.has(CALIBRATION):
            tensors, said = folder.read_tensors_and_metadata(CALIBRATION)
            try:
                # One that was made for other weights, before the training went on, says nothing of these.
                if said.get("weights") == folder.weights_checksum():
                    found._take_calibration(tensors)
            except (KeyError, ValueError) as error:
                raise RunError(f"{folder.path / CALIBRATION}: damaged: {error}.") from error
        return found

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write a run folder that `load` reads, and return it.

        Args:
            path: Where.
            overwrite: Whether a run that stands there may be replaced.

        Raises:
            RunError: The folder exists, or cannot be written.
        """
        folder = RunFolder.create(path, overwrite=overwrite, named="path")
        self.setup.save(folder)
        folder.save_weights(self.network.state_dict())
        self.save_calibration(folder)
        # Last, for it makes the folder a run.
        folder.write_json("config.json", {"format": FORMAT, "task": self.task, "model": asdict(self.options)})
        return folder

    def save_calibration(self, folder: RunFolder) -> None:
        """Write `calibration.safetensors` into a run folder that has the rest; without a calibration delete it there.

        It notes which weights it is of.

        Raises:
            RunError: It cannot be written.
        """
        tensors = self._calibration()
        if not tensors:
            folder.delete(CALIBRATION)
            return
        weights = folder.weights_checksum()
        folder.write_tensors(CALIBRATION, tensors, metadata=None if weights is None else {"weights": weights})

    @abstractmethod
    def _calibration(self) -> dict[str, Tensor]:
        """Return what `_take_calibration` takes; nothing where nothing was calibrated."""

    @abstractmethod
    def _take_calibration(self, saved: Mapping[str, Tensor]) -> None:
        """Take the calibration.

        Raises:
            KeyError: Something is missing.
            ValueError: A number is out of range.
        """

    @abstractmethod
    def calibrate(self, outcomes: SeriesOutcomes) -> None:
        """Make what is told fit held-out outcomes.

        Args:
            outcomes: Of a part that the network was not trained on.

        Raises:
            DataError: No label counts.
        """

    # --- telling ---

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    def outcomes(self, part: Part, *, only_last: bool = False, batch_size: int = 64) -> SeriesOutcomes:
        """Return what the network says of a part, as it says it, beside the labels.

        Args:
            part: Of a panel as `setup` reads it.
            only_last: Of the last step of each series alone, where steps are told of.
            batch_size: Series, or windows, at once.

        Raises:
            DataError: The part is empty.
        """
        if self.setup.way == "windows":
            batches = self.setup.batches(part, batch_size=8 * batch_size, which="last" if only_last else "all")
            return collect_outcomes(self.network, batches)
        found = collect_outcomes(self.network, self.setup.batches(part, batch_size=batch_size))
        if not only_last or self.setup.way == "series":
            return found
        return found.of(torch.isin(found.row, torch.from_numpy(part.stop - 1)))

    def _told(self, data: Any, only_last: bool, batch_size: int) -> tuple[Panel, SeriesOutcomes, dict[str, Column]]:
        """Return data as they were read, what the network says of them, and the columns that say of what."""
        panel = self.setup.read(data, with_labels=False)
        found = self.outcomes(Part.whole(panel), only_last=only_last, batch_size=batch_size)
        cells: dict[str, Column] = {"series_id": [panel.ids[number] for number in found.series.tolist()]}
        if self.setup.way != "series":
            cells["time"] = panel.times[found.row.numpy()]
        return panel, found, cells


class TrainedClassifier(TrainedLabels):
    """A classifier of series, or of their steps, with all that it needs to read data and to say how sure it is.

    Args:
        network: Put in evaluation mode.
        setup: How data become what it reads.
        options: What it was built with.

    Attributes:
        network: As given.
        setup: As given.
        options: As given.
        temperature: What its logits are divided by.
        is_calibrated: Whether that was fitted to held-out labels.
    """

    task = "classify"
    options_type = SeriesClassifierOptions

    def __init__(self, network: LabelNetwork, setup: LabelSetup, options: SeriesLabelOptions) -> None:
        super().__init__(network, setup, options)
        self.temperature, self.is_calibrated = Temperature(), False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.setup.classes

    def predict(self, data: Any, *, only_last: bool = False, batch_size: int = 64) -> Any:
        """Return the class of each series, or of each of its steps where these have one.

        Data are read as those of the run were; labels are not looked at.

        Args:
            data: What `recur.data.series.read_series` takes: a file, a folder, any dataframe; or a panel.
            only_last: Tell of the last step of each series alone, where steps are told of.
            batch_size: Series at once; changes memory, not what is told.

        Returns:
            A dataframe of the kind that came in, else of polars: `series_id`, `time` where steps are told of, the class
            in a column called as the label is, `probability` of it, and that of each class K in `p(K)`, float32.

        Raises:
            DataError: The data cannot be read.
        """
        panel, found, cells = self._told(data, only_last, batch_size)
        probability = self.probabilities(found.output)
        told = probability.argmax(-1)
        cells[self.setup.label] = [self.classes[code] for code in told.tolist()]
        cells["probability"] = probability.amax(-1).numpy()
        for code, name in enumerate(self.classes):
            cells[f"p({name})"] = probability[:, code].contiguous().numpy()
        return native_frame(panel, cells, data)

    def probabilities(self, output: Tensor) -> Tensor:
        """Return the calibrated probabilities of each class by the logits of the network, (N, K): likewise, float32."""
        return self.temperature(output.double()).softmax(-1).float()

    def calibrate(self, outcomes: SeriesOutcomes) -> None:
        """Set the temperature by held-out outcomes; arguments and errors as of `TrainedLabels.calibrate`."""
        self.temperature, self.is_calibrated = calibrate(outcomes), True

    def _calibration(self) -> dict[str, Tensor]:
        if not self.is_calibrated:
            return {}
        return {"temperature": torch.tensor(self.temperature.value, dtype=torch.float64)}

    def _take_calibration(self, saved: Mapping[str, Tensor]) -> None:
        value = float(saved["temperature"])
        if not 0 < value < np.inf:
            raise ValueError(f"the temperature is {value}, expected a number above 0")
        self.temperature.load_state_dict({"value": value})
        self.is_calibrated = True


class TrainedRegressor(TrainedLabels):
    """A regressor of series, or of their steps, with all that it needs to read data and to say how sure it is.

    Args:
        network: Put in evaluation mode.
        setup: How data become what it reads.
        options: What it was built with.

    Attributes:
        network: As given.
        setup: As given.
        options: As given.
        errors: Absolute errors of held-out labels, growing, (E,) float64; empty where there were none.
    """

    task = "regress"
    options_type = SeriesRegressorOptions

    def __init__(self, network: LabelNetwork, setup: LabelSetup, options: SeriesLabelOptions) -> None:
        super().__init__(network, setup, options)
        self.errors = torch.zeros(0, dtype=torch.float64)

    @property
    def train_mean(self) -> float:
        """Mean of the labels of the training part."""
        one = self.network.networks[0] if isinstance(self.network, SeriesEnsemble) else self.network
        assert isinstance(one, SeriesRegressorNetwork)
        return float(one.centre)

    def predict(self, data: Any, *, only_last: bool = False, coverage: float = 0.9, batch_size: int = 64) -> Any:
        """Return the number of each series, or of each of its steps where these have one.

        Data are read as those of the run were; labels are not looked at.

        Args:
            data: What `recur.data.series.read_series` takes: a file, a folder, any dataframe; or a panel.
            only_last: Tell of the last step of each series alone, where steps are told of.
            coverage: Share of true numbers that the intervals should hold, between 0 and 1.
            batch_size: Series at once; changes memory, not what is told.

        Returns:
            A dataframe of the kind that came in, else of polars: `series_id`, `time` where steps are told of, the
            number in a column called as the label is, and the ends of its interval, `lower` and `upper`, float32; NaN
            where too few labels were held out to say.

        Raises:
            OptionError: `coverage` is out of range.
            DataError: The data cannot be read.
        """
        check_coverage(coverage)
        panel, found, cells = self._told(data, only_last, batch_size)
        names = (self.setup.label, "lower", "upper")
        cells |= {
            name: values.contiguous().numpy()
            for name, values in zip(names, self.said(found.output, coverage).unbind(-1), strict=True)
        }
        return native_frame(panel, cells, data)

    def said(self, output: Tensor, coverage: float) -> Tensor:
        """Return the numbers that the network says, (N,), and the ends of their intervals: (N, 3) float32."""
        told = self.bounded(output.double())
        return torch.stack([told, *self.interval(told, coverage)], -1).float()

    def bounded(self, told: Tensor) -> Tensor:
        """Return numbers as they are, but a remaining life no shorter than 0 and no longer than its cap."""
        life = self.setup.life
        return told if life is None else told.clamp(min=0, max=life.cap)

    def interval(self, told: Tensor, coverage: float) -> tuple[Tensor, Tensor]:
        """Return both ends of the intervals around numbers, by split conformal prediction; NaN where errors lack.

        Source: as of `recur.calibration.SplitConformal`, one margin for all.
        """
        margin = conformal_quantile(self.errors, torch.ones_like(self.errors, dtype=torch.bool), coverage)
        margin = torch.where(margin.isfinite(), margin, torch.nan)
        return self.bounded(told - margin), self.bounded(told + margin)

    def calibrate(self, outcomes: SeriesOutcomes) -> None:
        """Take held-out errors for the intervals; arguments and errors as of `TrainedLabels.calibrate`."""
        counts = (outcomes.weight > 0) & ~outcomes.is_bound
        if not bool(counts.any()):
            raise DataError("no label counts, so that intervals cannot be calibrated.")
        told = self.bounded(outcomes.output[counts].double())
        errors = (told - outcomes.target[counts].double()).abs().sort().values
        if len(errors) > MOST_ERRORS:
            errors = errors[torch.linspace(0, len(errors) - 1, MOST_ERRORS).round().long()]
        self.errors = errors

    def _calibration(self) -> dict[str, Tensor]:
        return {"errors": self.errors.contiguous()} if len(self.errors) else {}

    def _take_calibration(self, saved: Mapping[str, Tensor]) -> None:
        errors = saved["errors"]
        if errors.dim() != 1 or not bool((errors.isfinite() & (errors >= 0)).all()):
            raise ValueError("the errors must be numbers from 0 on")
        self.errors = errors.double().sort().values


def check_coverage(coverage: object) -> None:
    """Raise unless a share is one that intervals can hold.

    Raises:
        OptionError: It is not.
    """
    if not (is_number(coverage) and 0 < coverage < 1):
        raise OptionError(f"coverage must be a number between 0 and 1, not {coverage!r}.")
