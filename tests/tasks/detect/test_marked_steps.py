"""Which steps are left out of what is learned from, and what stays for those that judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recur.data.series import Panel, Schema, Split
from recur.tasks.detect.marked_steps import left_out_note, marked_steps, panel_before, without_marked


@pytest.fixture
def split() -> Split:
    """Two series of ten rows with a target, a past and a known number; 2, 7, 9 and 13 are marked, 15 is unknown."""
    schema = Schema(targets=("y",), past_only=("x",), known_future=("k",), label="is_anomaly")
    panel = Panel.of_rows(["a", "b"], [10, 10], np.arange(60.0).reshape(20, 3), schema=schema)
    labels = np.zeros(20, np.float32)
    labels[[2, 7, 9, 13]], labels[15] = 1, np.nan
    return Split.by_time(replace(panel, rows=replace(panel.rows, labels=labels)), valid=0.2, test=0.2)


def missing(panel: Panel) -> list[list[int]]:
    return [np.flatnonzero(np.isnan(column)).tolist() for column in panel.values.T]


def test_marked_steps_of_the_parts_that_are_learned_from_are_missing(split: Split) -> None:
    assert np.flatnonzero(split.valid.has_row).tolist() == [6, 7, 16, 17]
    assert np.flatnonzero(marked_steps(split)).tolist() == [2, 7, 13]
    own = without_marked(split)
    assert missing(own.train.panel) == [[2, 7, 13], [2, 7, 13], []]
    assert own.valid.panel is own.train.panel
    assert [len(part) for part in (own.train, own.valid, own.test)] == [12, 4, 4]
    # Twice is as once, and what was given stays.
    assert missing(without_marked(own).train.panel) == missing(own.train.panel)
    assert missing(split.train.panel) == [[], [], []]


def test_of_the_part_that_is_judged_nothing_is_missing(split: Split) -> None:
    for part, wanted in ((split.test, [2, 7, 13]), (split.valid, [2, 13]), (split.train, [7])):
        assert missing(panel_before(split, part))[0] == wanted


def test_without_labels_all_stays(split: Split) -> None:
    panel = replace(split.train.panel, rows=replace(split.train.panel.rows, labels=None))
    plain = Split.by_time(replace(panel, schema=replace(panel.schema, label=None)), valid=0.2, test=0.2)
    assert without_marked(plain).train.panel is plain.train.panel


def test_one_step_is_told_as_one() -> None:
    assert left_out_note(1).startswith(
        "1 step that is marked as an anomaly in the training and the validation part was"
    )
