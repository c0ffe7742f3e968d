"""Steps that a label marks as anomalies in the parts that are learned from: they are no part of what is ordinary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel, Part, Split
from recur.tasks.detect.truth import true_anomalies


def marked_steps(split: Split) -> NDArray[np.bool_]:
    """Return which rows of the training and the validation part are known to be anomalies, (R,).

    Raises:
        DataError: A label does not say which steps are anomalies.
    """
    truth = true_anomalies(split.train.panel)
    learned = split.train.has_row | split.valid.has_row
    return np.zeros_like(learned) if truth is None else truth[0] & learned


def without_marked(split: Split) -> Split:
    """Return the parts with the values of `marked_steps` missing, as a detector learns from them.

    Raises:
        DataError: As of `marked_steps`.
    """
    panel = _without_values(split.train.panel, marked_steps(split))
    return Split(**{part.name: replace(part, panel=panel) for part in (split.train, split.valid, split.test)})


def panel_before(split: Split, part: Part) -> Panel:
    """Return a panel as a detector that is judged on one of the parts reads it.

    What is marked in the others is missing, as it was when they were learned from; in the part itself nobody has said
    yet what is strange.

    Raises:
        DataError: As of `marked_steps`.
    """
    return _without_values(part.panel, marked_steps(split) & ~part.has_row)


def _without_values(panel: Panel, rows: NDArray[np.bool_]) -> Panel:
    """Return a panel with the numbers of some rows missing, but for those that are known of the future."""
    if not rows.any():
        return panel
    values = panel.values.copy()
    values[rows, : len(panel.schema.targets) + len(panel.schema.past_only)] = np.nan
    return replace(panel, rows=replace(panel.rows, values=values))


def left_out_note(count: int) -> str:
    """Return what is said of so many marked steps."""
    what = "step that is marked as an anomaly" if count == 1 else "steps that are marked as anomalies"
    return (
        f"{count:,} {what} in the training and the validation part {'was' if count == 1 else 'were'} left out: neither "
        "the network nor the threshold learned from them."
    )
