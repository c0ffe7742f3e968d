"""Using a trained forecaster: load a run, forecast what comes after new data, draw paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from recur.data.series import LastWindows, Part, SeriesBatch
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_whole
from recur.models.distributions import Distribution
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.run import FORMAT, RunFolder
from recur.score.quantiles import growing_levels
from recur.tasks.forecast.calibration import ForecastCalibration, original_scale
from recur.tasks.forecast.frame import forecast_frame
from recur.tasks.forecast.known_rows import KnownRows
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.yardstick import Yardstick
from recur.tasks.run_weights import with_its_size, with_weights

CALIBRATION = "calibration.safetensors"
"""File of a run with the margins of its intervals."""

PIECE = 128
"""Steps of long histories that are read at once; work and memory of the normalisation grow with its square."""

Build = Callable[[Mapping[str, Any], ForecastSetup], nn.Module]
"""What makes a network, with fresh weights, of `config.json`'s entry "model" and the setup of the run."""


def build_network(options: Mapping[str, Any], setup: ForecastSetup) -> ForecastNetwork | ForecastEnsemble:
    """Return the network that recur trains with these options on such data; of several seeds the ensemble.

    Raises:
        OptionError: An option makes no sense.
        TypeError: An option is unknown.
    """
    chosen = ForecasterOptions.from_json(**options)
    if chosen.members == 1:
        return ForecastNetwork(chosen, setup.shape)
    single = dataclasses.replace(chosen, members=1)
    return ForecastEnsemble([ForecastNetwork(single, setup.shape) for _ in range(chosen.members)])


class TrainedForecaster:
    """A forecast network with all that it needs to read data and to say how sure it is.

    The network is called as `network(batch, state=None)` with a `recur.data.series.SeriesBatch` and returns the
    distributions (B, P, C) of the scaled targets, and a state. It keeps none.

    Args:
        network: Put in evaluation mode.
        setup: How data become what it reads.
        options: What `config.json` says of the network, from which it can be built again.
        calibration: What makes its intervals hold what they say; None for the network's own.
        why_uncalibrated: Why there is none.
        yardstick: What its forecasts are measured by beside the naive rules; saved with it.
        known: The last rows of each series that it was trained with, or learnt on from; None where nobody says. Saved
            with it.

    Attributes:
        network: As given.
        setup: As given.
        options: As given.
        calibration: As given.
        why_uncalibrated: As given.
        yardstick: As given.
        known: As given.
    """

    def __init__(
        self,
        network: nn.Module,
        setup: ForecastSetup,
        *,
        options: Mapping[str, Any] | None = None,
        calibration: ForecastCalibration | None = None,
        why_uncalibrated: str = "the run has no calibration",
        yardstick: Yardstick | None = None,
        known: KnownRows | None = None,
    ) -> None:
        self.network = network.eval()
        self.setup = setup
        self.options = dict(options or {})
        self.calibration = calibration
        self.why_uncalibrated = why_uncalibrated
        self.yardstick = yardstick or Yardstick()
        self.known = known

    def __repr__(self) -> str:
        return with_its_size(self, self.network)

    # --- files ---

    @classmethod
    def load(
        cls, run: str | Path | RunFolder, *, device: str | torch.device = "cpu", build: Build | None = None
    ) -> Self:
        """Return the forecaster of a run folder. Nothing in the folder is executed.

        A calibration that was made for other weights, before the training went on, is left out.

        Args:
            run: The folder.
            device: Where the network shall compute.
            build: Makes the network; by default `build_network`. For networks of your own.

        Raises:
            RunError: The folder is missing, damaged, of a newer format, or of another task.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.config()
        if config.get("task") != "forecast":
            raise RunError(f"{folder.path}: is a run of task {config.get('task')!r}, expected 'forecast'.")
        setup = ForecastSetup.load(folder)
        options = config.get("model")
        if not isinstance(options, dict):
            raise RunError(f"{folder.path / 'config.json'}: damaged: model is no object.")
        network = with_weights(folder, lambda: (build or build_network)(options, setup))
        why: dict[str, Any] = {}
        calibration = None
        if folder.has(CALIBRATION):
            state, said = folder.read_tensors_and_metadata(CALIBRATION)
            try:
                calibration = ForecastCalibration.from_state(state)
                _check_shape(calibration, setup)
            except DataError as error:
                raise RunError(f"{folder.path / CALIBRATION}: {error}") from error
            if said.get("weights") != folder.weights_checksum():
                calibration = None
                why["why_uncalibrated"] = (
                    "the run's calibration is of weights before the training went on; make a new one with: recur train "
                    f"--resume {folder.path}"
                )
        return cls(
            network.to(device),
            setup,
            options=options,
            calibration=calibration,
            yardstick=Yardstick.load(folder),
            known=KnownRows.load(folder, setup),
            **why,
        )

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
        self.yardstick.save(folder)
        if self.known is not None:
            self.known.save(folder)
        # Last, for it makes the folder a run.
        folder.write_json("config.json", {"format": FORMAT, "task": "forecast", "model": self.options})
        return folder

    def save_calibration(self, folder: RunFolder) -> None:
        """Write `calibration.safetensors` into a run folder that has the rest; without a calibration delete it there.

        It notes which weights it is of.

        Raises:
            RunError: It cannot be written.
        """
        if self.calibration is None:
            folder.delete(CALIBRATION)
            return
        weights = folder.weights_checksum()
        folder.write_tensors(
            CALIBRATION, self.calibration.state_dict(), metadata=None if weights is None else {"weights": weights}
        )

    # --- forecasting ---

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))

    @property
    def members(self) -> tuple[TrainedForecaster, ...]:
        """The networks of an ensemble, each as a forecaster without a calibration; of a single network none."""
        networks = self.network.members if isinstance(self.network, ForecastEnsemble) else ()
        return tuple(TrainedForecaster(network, self.setup) for network in networks)

    def scaled(self, batch: SeriesBatch) -> Distribution:
        """Return what the network says of a batch: distributions (B, P, C) of the scaled targets, on the CPU.

        It gets NaN in place of what it is to tell, so that one that looks there says nothing.

        Raises:
            TypeError: The network returns something else.
            ValueError: It returns another shape.
        """
        blind = replace(batch, target=torch.full_like(batch.target, torch.nan), weight=torch.zeros_like(batch.weight))
        with torch.inference_mode():
            said = self.network(blind.to(self.device))
        return self._checked(said[0] if isinstance(said, tuple) else said, len(batch.row))

    def _checked(self, forecast: Any, num_rows: int) -> Distribution:
        """Return what a network said, on the CPU, or raise as of `scaled`."""
        if not isinstance(forecast, Distribution):
            raise TypeError(
                f"TrainedForecaster: the network must return a Distribution and a state, but it returned "
                f"{type(forecast).__name__}."
            )
        wanted = (num_rows, self.setup.horizon, len(self.setup.schema.targets))
        if tuple(forecast.shape) != wanted:
            raise ValueError(
                f"TrainedForecaster: the network's distributions have shape {tuple(forecast.shape)}, but must have "
                f"{wanted}: windows, steps, targets."
            )
        parameters = ((one.name, getattr(forecast, one.name)) for one in dataclasses.fields(forecast))
        return replace(forecast, **{n: value.cpu() for n, value in parameters if isinstance(value, Tensor)})

    def calibrated(self, valid: Part, *, batch_size: int = 256) -> Self:
        """Return the forecaster with intervals calibrated on a validation part; without, where no window fits there.

        Args:
            valid: Rows that the network was not trained on, of a panel that `setup` made.
            batch_size: Windows forecast at once.
        """
        windows = self.setup.calibration_windows(valid, batch_size=batch_size)
        calibration = None if windows is None else ForecastCalibration.fit(self.scaled, windows)
        return type(self)(
            self.network,
            self.setup,
            options=self.options,
            calibration=calibration,
            yardstick=self.yardstick,
            known=self.known,
        )

    def predict(
        self,
        data: Any,
        *,
        horizon: int | None = None,
        levels: Sequence[float] = (0.1, 0.5, 0.9),
        use_calibration: bool = True,
        batch_size: int = 256,
        history: Literal["window", "all"] = "window",
    ) -> Any:
        """Return what comes after the last target of each series.

        Data are read as those of the run were. A series that the training part did not have is scaled by its own
        history; one that is shorter than the network's history is read as far as it goes. Steps for which only the
        future is known may follow the last target; where the model reads what is known of the future there must be as
        many as are to be told.

        Args:
            data: What `recur.data.series.read_series` takes: a file, a folder, any dataframe; or a panel.
            horizon: Steps to tell, as many as the model was trained for or fewer.
            levels: Probabilities of the quantiles, between 0 and 1, growing.
            use_calibration: Whether quantiles are calibrated, where the run has a calibration.
            batch_size: Series forecast at once.
            history: What is read of each series: the model's window before the forecast, or all of it, as a stream
                does. Then a series that the training part did not have is scaled by as much of its beginning as the
                window is long.

        Returns:
            A dataframe of the kind that came in, else of polars, with a row for each step and target: `series_id`,
            `time`, `target`, `mean`, and the quantiles `q0.1`, `q0.5` and so on, float32 on the original scale.

        Raises:
            OptionError: `horizon` is longer than the model's, a level is out of range, or `history` is none of the two.
            DataError: The data cannot be read, or a series has nothing to go on from.
        """
        asked = asked_levels(levels)
        names = ["mean", *(f"q{level:g}" for level in asked)]
        steps, windows = self._begun(data, horizon, batch_size, history)
        found: list[Tensor] = []
        place: list[Tensor] = []
        for batch in windows:
            forecast = self.scaled(batch) if history == "window" else self.after_all(batch)
            found.append(self.said(forecast, *original_scale(batch), asked, use_calibration=use_calibration)[:, :steps])
            place.append(torch.stack([batch.index, batch.row], dim=1))
        values = torch.cat(found).float().numpy()
        columns = {name: values[..., number] for number, name in enumerate(names)}
        return self._frame(windows, torch.cat(place), steps, columns, data)

    def said(
        self, forecast: Distribution, loc: Tensor, size: Tensor, levels: Sequence[float], *, use_calibration: bool
    ) -> Tensor:
        """Return means and quantiles of forecasts on the original scale, (B, P, C, 1 + Q) float64.

        Args:
            forecast: On the scaled values, (B, P, C); of fewer steps P than the model tells the first ones.
            loc: As `original_scale` tells it, as `size`.
            size: (B, 1, C).
            levels: Q probabilities, growing.
            use_calibration: As of `predict`.
        """
        forecast = forecast.rescaled(loc, size)
        if self.calibration is None or not use_calibration:
            quantiles = forecast.quantile(levels)
        else:
            quantiles = self.calibration.first(forecast.shape[1]).quantiles(forecast, levels, size)
        return self.setup.bounded(torch.cat([forecast.mean[..., None].double(), quantiles.double()], dim=-1))

    def after_all(self, batch: SeriesBatch) -> Distribution:
        """Return as `scaled` does what a network says that goes over a batch piece by piece, its state carried.

        Raises:
            OptionError: The network has no method `read`, so that it has no state to carry.
        """
        read = getattr(self.network, "read", None)
        if read is None:
            raise OptionError(f"history: the network, {type(self.network).__name__}, cannot carry its state on.")
        state = None
        num_steps = batch.x.shape[1]
        with torch.inference_mode():
            for begin in range(0, num_steps, PIECE):
                state = read(batch.piece(begin, min(begin + PIECE, num_steps)).to(self.device), state)
            # One step that no row has.
            end = replace(batch.piece(num_steps - 1, num_steps), lengths=torch.zeros_like(batch.lengths))
            end = replace(end, future=batch.future, future_observed=batch.future_observed)
            said, _ = self.network(replace(end, future_codes=batch.future_codes).to(self.device), state)
        return self._checked(said, len(batch.row))

    def sample_paths(
        self,
        data: Any,
        *,
        num_paths: int = 100,
        horizon: int | None = None,
        seed: int | None = None,
        batch_size: int = 256,
    ) -> Any:
        """Return paths that may come after the last target of each series, drawn at random.

        Unlike quantiles, which are of one step each, the steps of a path belong together: sums, maxima and crossings
        can be counted over many. They are as the network draws them, without calibration.

        Args:
            data: As of `predict`.
            num_paths: How many of each series.
            horizon: As of `predict`.
            seed: The same draws the same; None draws one.
            batch_size: Series at once.

        Returns:
            As of `predict`, with `path`, from 0 on, and `value` for the mean and the quantiles.

        Raises:
            OptionError: A number is out of range, or the network cannot draw paths.
            DataError: As of `predict`.
        """
        if not is_whole(num_paths, 1):
            raise OptionError(f"num_paths: expected a number from 1 on, got {num_paths!r}.")
        draw = getattr(self.network, "sample", None)
        if draw is None:
            raise OptionError(f"num_paths: the network, {type(self.network).__name__}, cannot draw paths.")
        generator = torch.Generator(self.device)
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        steps, windows = self._begun(data, horizon, batch_size)
        found: list[Tensor] = []
        place: list[Tensor] = []
        for batch in windows:
            with torch.inference_mode():
                paths = draw(batch.to(self.device), num_paths, generator).cpu()
            values = batch.unscaled(paths.permute(1, 2, 0, 3)).permute(0, 1, 3, 2)
            found.append(self.setup.bounded(values)[:, :steps])
            place.append(torch.stack([batch.index, batch.row], dim=1))
        columns = {"path": np.arange(num_paths)[None, None, None], "value": torch.cat(found).float().numpy()}
        return self._frame(windows, torch.cat(place), steps, columns, data)

    def _begun(
        self, data: Any, horizon: int | None, batch_size: int, history: str = "window"
    ) -> tuple[int, LastWindows]:
        """Return how many steps are to be told, and the windows from which."""
        steps = self.setup.horizon if horizon is None else horizon
        if not is_whole(steps, 1):
            raise OptionError(f"horizon: expected a number of steps from 1 on, got {steps!r}.")
        if steps > self.setup.horizon:
            raise OptionError(
                f"horizon: the model was trained to tell {self.setup.horizon} steps, not {steps}; train one with "
                f"horizon {steps}."
            )
        if history not in ("window", "all"):
            raise OptionError(f"history: expected 'window' or 'all', got {history!r}.")
        panel = self.setup.read(data)
        return steps, self.setup.last_windows(panel, batch_size=batch_size, steps=steps, reads_all=history == "all")

    def _frame(
        self, windows: LastWindows, place: Tensor, steps: int, columns: Mapping[str, np.ndarray[Any, Any]], data: Any
    ) -> Any:
        series, row = place.T.numpy()
        return forecast_frame(windows.panel, series, row[:, None] + np.arange(steps), columns, data)


def asked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities of quantiles, checked.

    Raises:
        OptionError: They do not grow, or one is not between 0 and 1.
    """
    try:
        return growing_levels("levels", levels)
    except (TypeError, ValueError) as error:
        raise OptionError(str(error)) from None


def _check_shape(calibration: ForecastCalibration, setup: ForecastSetup) -> None:
    wanted = (setup.horizon, len(setup.schema.targets))
    if tuple(calibration.margin.shape[1:]) != wanted:
        raise DataError(
            f"damaged: its margins are of {tuple(calibration.margin.shape[1:])} steps and targets, expected {wanted}."
        )
