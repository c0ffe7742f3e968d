"""Nothing of what is judged on reaches what is learned; and the test that says so does see a leak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recur.data.series import Columns, Panel, Part, Scaler, SeriesBatch, Split, Windows, read_series, seen_categories

Preparation = Callable[[Panel], Iterator[SeriesBatch]]
"""From all rows to the batches that are trained on."""


def table(*, is_changed: bool) -> Panel:
    """Two series of twelve steps; where `is_changed`, all but what is known ahead is different in the last four."""
    rng = np.random.default_rng(0)
    y, z, known = (rng.normal(size=(2, 12)) for _ in range(3))
    word = np.full((2, 12), "a")
    if is_changed:
        y[:, 8:], z[:, 8:], word[:, 8:] = 1e4, -1e4, "b"
    columns = {
        "t": np.tile(np.arange(12), 2),
        "id": np.repeat(["one", "two"], 12),
        "y": y.ravel(),
        "z": z.ravel(),
        "word": word.ravel(),
        "known": known.ravel(),
    }
    roles = Columns(series_id="id", time="t", targets="y", past_only=["z", "word"], known_future="known", static=())
    return read_series(columns, roles)


def split(panel: Panel) -> Split:
    return Split.at(panel, test=8)


def honest(panel: Panel) -> Iterator[SeriesBatch]:
    parts = split(panel)
    panel = panel.recoded(seen_categories(parts.train))
    train = replace(parts.train, panel=panel)
    yield from Windows(train, history=3, horizon=2, batch_size=5, scaler=Scaler.fit(train), seed=0)


def scaler_fitted_on_all(panel: Panel) -> Iterator[SeriesBatch]:
    scaler = Scaler.fit(Part.whole(panel))
    yield from Windows(split(panel).train, history=3, horizon=2, batch_size=5, scaler=scaler, seed=0)


def windows_that_run_over(panel: Panel) -> Iterator[SeriesBatch]:
    train = split(panel).train
    longer = replace(train, stop=train.stop + 1)
    yield from Windows(longer, history=3, horizon=2, batch_size=5, scaler=Scaler.fit(train), seed=0)


def measurements_of_the_step_after(panel: Panel) -> Iterator[SeriesBatch]:
    values = panel.values.copy()
    # As a join by the wrong day does it.
    values[:-1, 1] = panel.values[1:, 1]
    panel = replace(panel, rows=replace(panel.rows, values=values))
    train = split(panel).train
    last = replace(train, start=train.stop - 1, stop=train.stop)
    yield from Windows(last, history=3, horizon=1, batch_size=5, scaler=Scaler.fit(train))


def filled_from_the_future(panel: Panel) -> Iterator[SeriesBatch]:
    values = panel.values.copy()
    values[6:8, 0] = values[8, 0]
    panel = replace(panel, rows=replace(panel.rows, values=values))
    yield from Windows(split(panel).train, history=3, horizon=2, batch_size=5, seed=0)


def tensors(batch: SeriesBatch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}


def leaks(prepare: Preparation) -> set[str]:
    """Return the fields of training batches that change when what comes after the training part does."""
    one, other = ([tensors(batch) for batch in prepare(table(is_changed=changed))] for changed in (False, True))
    if len(one) != len(other):
        return {"batches"}
    return {
        name
        for batch, changed in zip(one, other, strict=True)
        for name in batch
        if batch[name].shape != changed[name].shape or not torch.equal(batch[name], changed[name])
    }


def test_training_batches_do_not_depend_on_what_comes_after() -> None:
    assert leaks(honest) == set()


@pytest.mark.parametrize(
    ("prepare", "field"),
    [
        (scaler_fitted_on_all, "scale"),
        (windows_that_run_over, "target"),
        (filled_from_the_future, "target"),
        (measurements_of_the_step_after, "x"),
    ],
)
def test_a_planted_leak_is_caught(prepare: Preparation, field: str) -> None:
    assert field in leaks(prepare)


def test_a_window_reads_nothing_of_the_steps_that_it_tells() -> None:
    """What lies in the horizon changes only target and future; past-only numbers there change nothing."""
    panel = table(is_changed=False)
    scaler = Scaler.fit(split(panel).train)
    values = panel.values.copy()
    values[8:12, 1] = 77
    codes = panel.rows.codes.copy()
    codes[8:12] = 0
    other = replace(panel, rows=replace(panel.rows, values=values, codes=codes))
    part = Part(panel=panel, start=np.array([8, 24]), stop=np.array([12, 24]))
    one = tensors(next(iter(Windows(part, history=3, horizon=4, batch_size=1, scaler=scaler))))
    changed = tensors(
        next(iter(Windows(replace(part, panel=other), history=3, horizon=4, batch_size=1, scaler=scaler)))
    )
    assert all(torch.equal(one[name], changed[name]) for name in one)


def test_an_unseen_series_is_not_scaled_by_what_is_to_be_told() -> None:
    scaler = Scaler.fit(split(table(is_changed=False)).train)
    found = []
    for last in (0.0, 1e6):
        new = Panel.of_rows(
            ["new"],
            [5],
            np.float32([[1, 1, 1], [2, 2, 2], [3, 3, 3], [last, last, 4], [last, last, 4]]),
            schema=replace(table(is_changed=False).schema, past_categorical=(), categories={}),
        )
        batch = next(iter(Windows(Part.whole(new), history=3, horizon=2, batch_size=1, scaler=scaler)))
        found.append((batch.x, batch.centre, batch.scale, batch.future))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
