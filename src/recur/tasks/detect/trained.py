"""A trained detector in use: from a run folder, or for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recur.calibration.surprise import NUM_BINS
from recur.calibration.tail import Tail, fit_tail
from recur.data.series import Frequency, Panel, SeriesBatch, Split
from recur.errors import DataError, RunError
from recur.kinds import is_whole
from recur.models.detector_choice import build_detector
from recur.models.detector_options import DetectorOptions
from recur.run import FORMAT, RunFolder
from recur.tasks.detect.alarms import alarm_begins
from recur.tasks.detect.marked_steps import marked_steps, without_marked
from recur.tasks.detect.moving_gaussian import moving_gaussian
from recur.tasks.detect.pieces import Pieces
from recur.tasks.detect.scoring import Scores, Scoring, ScoringState
from recur.tasks.forecast.season_choice import season_of_calendar
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.run_weights import with_its_size, with_weights
from recur.tasks.series_frame import native_frame

ORDINARY = "detector.safetensors"
"""File of a run with what errors and scores were ordinary in training."""

_SERIES_AT_ONCE = 256
_MOST_LONGER = 1.5
"""How many times as long as the shortest of those at once a series may be."""
_COMMON = 1_000.0
"""Errors that a series which was not seen is taken to have had, as large as those of all others."""
_LEAST_SCORES = 100
_LEAST_FOR_SHAPE = 200
"""Scores in the tail from which on it may be heavier than an exponential one."""

_TAIL = ("level", "share", "shape", "scale", "num_excesses")
_RULE = "rule_"
"""Before the names of the rule's tail in the file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ordinary:
    """What was ordinary in the training and the validation part.

    Attributes:
        ids: Names of the series that were seen, (N,).
        errors: How large the errors of each were, (N, C, views, bins) float64, see `SurpriseScale`.
        tail: Of the scores of all, without dimension.
        rule: Of what the moving Gaussian said there, by which it raises alarms when the detector is judged beside it.
        left_out: How many steps of these parts a label marks as anomalies, which were not learned from.
    """

    ids: tuple[str, ...]
    errors: Tensor
    tail: Tail
    rule: Tail
    left_out: int = 0

    @property
    def common(self) -> Tensor:
        """How large errors are in a series that was not seen, (C, views, bins)."""
        total = self.errors.sum(0)
        return total * (_COMMON / total.sum(-1, keepdim=True).clamp(min=_COMMON))

    def of(self, ids: Sequence[str]) -> Tensor:
        """Return how large errors are in some series, (B, C, views, bins)."""
        place = {name: number for number, name in enumerate(self.ids)}
        common = self.common
        return torch.stack([self.errors[place[name]] if name in place else common for name in ids])


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What is said of the rows of a panel.

    Attributes:
        score: (R,) float64; NaN where nothing can be said.
        channels: (R, C) float64, what each channel adds to it.
        highest: (R,) float64, of the scores of the last `quiet` steps before each; -infinity where there was none.
    """

    score: NDArray[np.float64]
    channels: NDArray[np.float64]
    highest: NDArray[np.float64]


class TrainedDetector:
    """A network with all that it needs to read data, to say what is strange, and from where on that is an alarm.

    Scores are made step by step, from what came before alone, with the state as an argument and a result: `begin` makes
    one, `advance` takes and returns one. Whole series in one go, in pieces, or one step at a time get the same scores.

    Args:
        network: With `views` and `errors(batch, state)`, as those of `recur.models`; put in evaluation mode.
        setup: How data become what it reads.
        options: Complete.
        ordinary: What was ordinary in training; None before `fitted`.
        has_network: Whether the network counts; without it the seasonal rule alone does, for comparison.

    Attributes:
        network: As given.
        setup: As given.
        options: As given.
        ordinary: As given.
        scoring: What makes scores of errors.

    Raises:
        OptionError: The options are incomplete.
    """

    def __init__(
        self,
        network: nn.Module,
        setup: ForecastSetup,
        options: DetectorOptions,
        *,
        ordinary: Ordinary | None = None,
        has_network: bool = True,
    ) -> None:
        self.network = network.eval()
        self.setup, self.options, self.ordinary = setup, options, ordinary
        self.scoring = Scoring(
            network,
            len(setup.schema.targets),
            memory=options.memory,
            quiet=options.quiet,
            has_rules=not options.no_rules,
            has_network=has_network,
        )

    def __repr__(self) -> str:
        return with_its_size(self, self.network)

    # --- files ---

    @classmethod
    def load(cls, run: str | Path | RunFolder, *, device: str | torch.device = "cpu") -> Self:
        """Return the detector of a run folder. Nothing in the folder is executed.

        Args:
            run: The folder.
            device: Where the network shall compute.

        Raises:
            RunError: The folder is missing, damaged, of a newer format, or of another task.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.config()
        if config.get("task") != "detect":
            raise RunError(f"{folder.path}: is a run of task {config.get('task')!r}, expected 'detect'.")
        setup = ForecastSetup.load(folder)
        content = config.get("model")
        if not isinstance(content, dict):
            raise RunError(f"{folder.path / 'config.json'}: damaged: model is no object.")
        network = with_weights(folder, lambda: build_detector(DetectorOptions.from_json(**content), setup.shape))
        detector = cls(network.to(device), setup, DetectorOptions.from_json(**content))
        if folder.has(ORDINARY):
            detector.ordinary = detector._read_ordinary(folder)
        return detector

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
        self.save_ordinary(folder)
        # Last, for it makes the folder a run.
        folder.write_json("config.json", {"format": FORMAT, "task": "detect", "model": asdict(self.options)})
        return folder

    def save_ordinary(self, folder: RunFolder) -> None:
        """Write what was ordinary into a run folder that has the rest, if it is known, and of which weights that is.

        Raises:
            RunError: It cannot be written.
        """
        if self.ordinary is not None:
            tails = {
                f"{whose}{name}": getattr(tail, name).reshape(1)
                for whose, tail in (("", self.ordinary.tail), (_RULE, self.ordinary.rule))
                for name in _TAIL
            }
            folder.write_json("detector.json", {"series": list(self.ordinary.ids), "left_out": self.ordinary.left_out})
            weights = folder.weights_checksum()
            # Of all sizes that errors could have, series have few.
            bins = self.ordinary.errors.reshape(-1, NUM_BINS).any(0).nonzero().squeeze(1)
            folder.write_tensors(
                ORDINARY,
                {"errors": self.ordinary.errors[..., bins].contiguous(), "bins": bins, **tails},
                metadata=None if weights is None else {"weights": weights},
            )

    def _read_ordinary(self, folder: RunFolder) -> Ordinary | None:
        """Return what was ordinary; None where it is of weights before the training went on."""
        tensors, said = folder.read_tensors_and_metadata(ORDINARY)
        if said.get("weights") != folder.weights_checksum():
            return None
        content = folder.read_json("detector.json")
        ids, left_out = content.get("series"), content.get("left_out", 0)
        wanted = (len(self.setup.schema.targets), self.scoring.num_views)
        if not (isinstance(ids, list) and all(isinstance(name, str) for name in ids)):
            raise RunError(f"{folder.path / 'detector.json'}: damaged: series must be names.")
        if not is_whole(left_out, 0):
            raise RunError(f"{folder.path / 'detector.json'}: damaged: left_out must be a number of steps.")
        try:
            seen, bins = tensors["errors"], tensors["bins"]
            tail, rule = (
                Tail(**{name: tensors[f"{whose}{name}"].reshape(()) for name in _TAIL}) for whose in ("", _RULE)
            )
        except (KeyError, RuntimeError) as error:
            raise RunError(f"{folder.path / ORDINARY}: damaged: {error}.") from error
        shape = (len(ids), *wanted, len(bins))
        if tuple(seen.shape) != shape:
            raise RunError(
                f"{folder.path / ORDINARY}: damaged: errors are of shape {tuple(seen.shape)}, expected {shape}."
            )
        if bins.dtype != torch.int64 or bool(((bins < 0) | (bins >= NUM_BINS)).any()):
            raise RunError(f"{folder.path / ORDINARY}: damaged: bins must be whole numbers below {NUM_BINS}.")
        errors = torch.zeros(*shape[:-1], NUM_BINS, dtype=torch.float64)
        errors[..., bins] = seen.double()
        return Ordinary(ids=tuple(ids), errors=errors, tail=tail, rule=rule, left_out=left_out)

    # --- step by step ---

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))

    @property
    def threshold(self) -> float:
        """The score above which a step is an alarm: a share of `options.false_alarms` of ordinary steps has more.

        Raises:
            RunError: Nothing is known of what is ordinary.
        """
        return float(self._known().tail.threshold(self.options.false_alarms))

    @property
    def rule_threshold(self) -> float:
        """Above which the moving Gaussian raises an alarm, when the detector is judged beside it; as of `threshold`.

        Raises:
            RunError: Nothing is known of what is ordinary.
        """
        return float(self._known().rule.threshold(self.options.false_alarms))

    def begin(
        self, ids: Sequence[str], *, frequencies: Sequence[Frequency | None] | None = None, is_fresh: bool = False
    ) -> ScoringState:
        """Return the state of series before their first step.

        Args:
            ids: Their names; one that was in the training part has errors as large as there, others as all of them.
            frequencies: Of each, where the series of the training part had different ones.
            is_fresh: Whether what is ordinary is not known beforehand of any; then the first 50 steps have no score.
        """
        seasons = self._seasons(frequencies or [None] * len(ids))
        return self.scoring.begin(seasons, None if is_fresh else self._known().of(ids))

    def advance(self, batch: SeriesBatch, state: ScoringState) -> tuple[Scores, ScoringState]:
        """Return the scores of the next steps of each series, and the state after them.

        Args:
            batch: Steps, scaled as in training, a row for each series of `begin`; `target` is not looked at.
            state: After the steps before.
        """
        return self.scoring.advance(batch.to(self.device), state)

    def _seasons(self, frequencies: Sequence[Frequency | None]) -> Tensor:
        """Return after how many steps series repeat, by their own steps where the run's series had different ones."""
        own = self.setup.season.steps
        has_one = self.setup.frequency is not None
        steps = [own if has_one or each is None else season_of_calendar(each) for each in frequencies]
        return torch.tensor(steps, dtype=torch.int64)

    # --- whole series ---

    def scored(self, panel: Panel, *, is_fresh: bool = False) -> Scored:
        """Return the scores of all rows of a panel, each from the rows of its series before it.

        Args:
            panel: As `setup.read` returns it.
            is_fresh: As of `begin`; series that were not seen in training have no score in their first
                `setup.history` rows in any case.
        """
        return self._scored(panel, panel.offsets[1:], is_fresh=is_fresh)[0]

    def quiet_of(self, panel: Panel) -> NDArray[np.int64]:
        """Return after how many steps without an alarm another one is a new one, of each series, (N,)."""
        return np.asarray(self.scoring.quiet_of(self._seasons(panel.frequencies)).numpy())

    def fitted(self, split: Split) -> Self:
        """Return the detector with what is ordinary learned from the training and the validation part.

        Both count, for the network knows the training part better than what is to come, and the validation part alone
        is often too short for a tail. Steps that a label marks as anomalies do not: they count as missing.

        Args:
            split: Of the run's own data, as `ForecastSetup.fit` returned it.

        Raises:
            DataError: They have fewer than 100 steps that can be scored.
        """
        left_out = int(marked_steps(split).sum())
        panel = without_marked(split).train.panel
        stop = np.maximum(panel.offsets[:-1], np.maximum(split.train.stop, split.valid.stop))
        is_own = (split.train.stop > split.train.start) | (split.valid.stop > split.valid.start)
        stop = np.where(is_own, stop, panel.offsets[:-1])
        scored, errors = self._scored(panel, stop, is_fresh=True)
        is_known = ~np.isnan(scored.score)
        known, rule = scored.score[is_known], moving_gaussian(panel)[is_known]
        if len(known) < _LEAST_SCORES:
            raise DataError(
                f"the training and the validation part have {len(known)} steps that can be scored, after the first "
                f"50 of each series; a threshold needs {_LEAST_SCORES} at least."
            )
        # One of which nothing is known is as one that was not seen.
        chosen = np.flatnonzero(is_own & errors.flatten(1).any(1).numpy())
        ordinary = Ordinary(
            ids=tuple(panel.ids[number] for number in chosen.tolist()),
            errors=errors[torch.from_numpy(chosen)],
            tail=tail_of_scores(torch.from_numpy(known)),
            rule=fit_tail(torch.from_numpy(rule)),
            left_out=left_out,
        )
        return type(self)(
            self.network, self.setup, self.options, ordinary=ordinary, has_network=self.scoring.has_network
        )

    def _scored(self, panel: Panel, stop: NDArray[np.int64], *, is_fresh: bool) -> tuple[Scored, Tensor]:
        """Return the scores of the rows of each series up to `stop`, (N,), and how large errors are in the end."""
        num_targets, count = len(self.setup.schema.targets), len(panel.rows)
        score, channels = np.full(count, np.nan), np.full((count, num_targets), np.nan)
        highest = np.full(count, -np.inf)
        errors = torch.zeros(len(panel), num_targets, self.scoring.num_views, NUM_BINS, dtype=torch.float64)
        for numbers in _groups(stop - panel.offsets[:-1]):
            frequencies = [panel.frequencies[number] for number in numbers.tolist()]
            state = self.begin(
                [panel.ids[number] for number in numbers.tolist()], frequencies=frequencies, is_fresh=is_fresh
            )
            for batch, rows, _, is_judged in Pieces(self.setup, panel, numbers, stop[numbers]):
                scores, state = self.advance(batch, state)
                place = rows[is_judged]
                score[place] = scores.score.numpy()[is_judged]
                channels[place] = scores.channels.numpy()[is_judged]
                highest[place] = scores.highest.numpy()[is_judged]
            errors[torch.from_numpy(numbers)] = state.ordinary
        return Scored(score=score, channels=channels, highest=highest), errors

    def predict(self, data: Any) -> Any:
        """Return what is strange in series: a row for each of their steps.

        Data are read as those of the run were; a column that says which steps are anomalies is not looked at. Each step
        is judged by those before it alone, and by how large errors were in the training and the validation part: of the
        very data that it was trained on, early rows are thus judged by later ones too. Of a series that the training
        part did not have, the first `setup.history` steps say how large its values are, and get no score.

        Args:
            data: What `recur.data.series.read_series` takes: a file, a folder, any dataframe; or a panel.

        Returns:
            A dataframe of the kind that came in, else of polars: `series_id`, `time`; `score`, NaN where nothing can be
            said; `alarm`, whether it is above the threshold; `begins`, whether that is a new one, with
            none in the last `quiet` steps; and `because <channel>`, what each channel adds to the score.

        Raises:
            DataError: The data cannot be read.
            RunError: The training did not come to its end, so that there is no threshold.
        """
        panel = self.setup.read(data, with_labels=False)
        threshold = self.threshold
        found = self.scored(panel)
        cells: Mapping[str, Any] = {
            "series_id": [panel.ids[number] for number in panel.series_of_rows.tolist()],
            "time": panel.times,
            "score": found.score,
            "alarm": found.score > threshold,
            "begins": alarm_begins(found.score, found.highest, threshold),
            **{
                f"because {name}": np.ascontiguousarray(found.channels[:, place])
                for place, name in enumerate(self.setup.schema.targets)
            },
        }
        return native_frame(panel, cells, data)

    def _known(self) -> Ordinary:
        if self.ordinary is None:
            raise RunError(
                "the detector does not know what is ordinary; finish its training with recur train --resume."
            )
        return self.ordinary


def tail_of_scores(scores: Tensor) -> Tail:
    """Return the tail of ordinary scores, (N,).

    A score is a sum of -log10 of likelihoods, whose tail is exponential or heavier. From few scores a free shape is
    often found to be below 0, and the threshold to be just above the highest of them, which more than the stated share
    of later ones exceeds.
    """
    return fit_tail(scores, least_shape=0.0, least_excesses=_LEAST_FOR_SHAPE)


def _groups(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of series to be scored at once: of like length, so that little is padded."""
    order = np.argsort(lengths, kind="stable")
    while len(order):
        count = np.searchsorted(lengths[order], _MOST_LONGER * lengths[order[0]] + 1, side="right")
        yield order[: min(int(count), _SERIES_AT_ONCE)]
        order = order[min(int(count), _SERIES_AT_ONCE) :]
