"""A stream's file: going on from it is going on; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from recur.errors import RunError
from recur.streaming import stream
from recur.streaming.saved import FORMAT
from recur.tasks.forecast.trained import TrainedForecaster

Make = Callable[..., TrainedForecaster]


@pytest.mark.parametrize("kind", ["encoder-decoder", "segments"])
def test_a_stream_goes_on_elsewhere(kind: str, make_forecaster: Make, table: pl.DataFrame, tmp_path: Path) -> None:
    # Seen series and a new one, which has no scale yet; what was pushed after the saving is lost, as in a kill.
    rows = pl.concat([table, table[:60].with_columns(place=pl.lit("new"))]).sort("hour", maintain_order=True)
    whole = stream(make_forecaster(kind))
    whole.push(rows[:30])
    whole.save(tmp_path / "state")
    wanted = whole.push(rows[30:100])
    # A forecaster made again stands for another machine.
    moved = stream(make_forecaster(kind), state=tmp_path / "state")
    got = moved.push(rows[30:100])
    np.testing.assert_array_equal(got.values, wanted.values)
    assert moved.report().equals(whole.report())


def test_what_was_told_ahead_and_when_is_saved_too(make_forecaster: Make, table: pl.DataFrame, tmp_path: Path) -> None:
    live = stream(make_forecaster())
    live.push(table[:20])
    live.save(tmp_path / "state")
    again = stream(make_forecaster(), state=tmp_path / "state")
    assert again.push(table[19:20]).left_out == ((0, "repeated"),)
    assert again.report()["scored"].to_list() == live.report()["scored"].to_list()
    assert again.report()["scored"][0] > 0


def test_an_empty_stream_can_be_saved(make_forecaster: Make, table: pl.DataFrame, tmp_path: Path) -> None:
    stream(make_forecaster()).save(tmp_path / "state")
    again = stream(make_forecaster(), state=tmp_path / "state")
    np.testing.assert_array_equal(again.push(table[:3]).values, stream(make_forecaster()).push(table[:3]).values)


def test_states_of_others_are_refused(make_forecaster: Make, table: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "state"
    trained = make_forecaster()
    live = stream(trained)
    live.push(table[:5])
    live.save(path)
    other = make_forecaster()
    with torch.no_grad():
        next(other.network.parameters())[0] += 1
    with pytest.raises(RunError, match="state: is of a stream with another model, so that its states mean something"):
        stream(other, state=path)
    with pytest.raises(RunError, match="another longest gap"):
        stream(trained, state=path, longest_gap=3)
    with pytest.raises(RunError, match="another number of steps that are kept"):
        stream(trained, state=path, keep=1000)
    with pytest.raises(RunError, match="nowhere: no such file; leave the state out to begin anew"):
        stream(trained, state=tmp_path / "nowhere")
    with pytest.raises(RunError, match="the stream has begun"):
        live.restore(path)


def test_damaged_files_are_refused(make_forecaster: Make, table: pl.DataFrame, tmp_path: Path) -> None:
    trained = make_forecaster()
    live = stream(trained)
    live.push(table[:5])
    path = tmp_path / "state"
    live.save(path)
    data = path.read_bytes()
    tensors = load_file(path)
    content = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["stream"]
    damaged = tmp_path / "damaged"
    for bad in (data[: len(data) // 2], b"", b"{}"):
        damaged.write_bytes(bad)
        with pytest.raises(RunError, match="damaged, or no saved stream"):
            stream(trained, state=damaged)
    newer, older = (json.dumps(json.loads(content) | {"format": FORMAT + more}) for more in (1, -1))
    twice = json.dumps(json.loads(content) | {"ids": ["a", "a"]})
    for said, changed, message in (
        (newer, tensors, "written by a newer recur"),
        (older, tensors, "is of an older recur, whose states hold less; begin anew"),
        (twice, tensors, "damaged, or no saved stream: the names of the series are no names"),
        (content, tensors | {"series.last": tensors["series.last"][:0]}, "damaged, or no saved stream: last has"),
    ):
        save_file(changed, damaged, metadata={"stream": said})
        with pytest.raises(RunError, match=message):
            stream(trained, state=damaged)
