"""What the networks of detectors have in common: how they read series."""

from __future__ import annotations

from recur.errors import OptionError
from recur.models.detector_options import DetectorOptions
from recur.models.forecaster_options import ForecasterOptions, Normalize
from recur.models.series_shape import SeriesShape


def reader_options(options: DetectorOptions, normalize: Normalize) -> ForecasterOptions:
    """Return the options of the reader and of the head that tells a point."""
    return ForecasterOptions(
        kind="encoder-decoder",
        history=options.history,
        cell=options.cell,
        num_layers=options.num_layers,
        hidden_size=options.hidden_size,
        dropout=options.dropout,
        head="point",
        loss="crps",
        normalize=normalize,
        level=options.level,
    )


def check_detector(name: str, options: DetectorOptions, shape: SeriesShape) -> None:
    """Raise unless a network can be built.

    Raises:
        OptionError: Options are incomplete, or the shape has no target or another horizon than 1.
    """
    if not options.is_complete:
        raise OptionError(
            f"{name}: options must give history, hidden_size and level; choose_detector chooses what is missing."
        )
    if shape.horizon != 1 or not shape.num_targets:
        raise OptionError(
            f"{name}: the shape must have targets and a horizon of 1, but has {shape.num_targets} and {shape.horizon}."
        )
