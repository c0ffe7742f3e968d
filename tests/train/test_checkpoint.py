from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from recur.errors import Interrupted, RunError
from recur.run import RunFolder
from recur.train import checkpoint
from recur.train.language import resume_language_model

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def run(train: Any) -> RunFolder:
    return train("run", max_steps=10)


def test_it_is_read_without_running_code_from_it(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    marker = tmp_path / "marker"

    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    torch.save({"global_step": 1, "recur": Harmful()}, checkpoint.path_of(folder))
    with pytest.raises(
        RunError, match=r"last\.ckpt: damaged \(UnpicklingError\), cannot be resumed; train anew with ov"
    ):
        checkpoint.read(folder)
    assert not marker.exists()


def test_missing(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    assert not checkpoint.exists(folder)
    with pytest.raises(
        RunError, match=r"last\.ckpt: missing, so there is nothing to resume; train anew with overwrite=True"
    ):
        checkpoint.read(folder)


def test_every_byte_that_matters_is_checked(run: RunFolder) -> None:
    path = checkpoint.path_of(run)
    content = path.read_bytes()
    tensors = [value for value in checkpoint.read(run)["state_dict"].values() if value.numel() > 20]
    assert tensors
    for tensor in tensors:
        changed = bytearray(content)
        changed[content.index(tensor.numpy().tobytes()) + 5] ^= 1
        path.write_bytes(changed)
        with pytest.raises(RunError, match=r"damaged \(ValueError\)"):
            checkpoint.read(run)
    for length in range(0, len(content), len(content) // 7):
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match=r"damaged \(\w+\)"):
            checkpoint.read(run)


@pytest.mark.parametrize(("found", "age"), [(None, "an older"), (1, "an older"), (99, "a newer")])
def test_one_of_another_version_says_so(run: RunFolder, found: int | None, age: str) -> None:
    path = checkpoint.path_of(run)
    state = torch.load(path, weights_only=True)
    if found is None:
        # As the first version wrote it.
        state["recur"] = {"carried": torch.zeros(1, 4, 24), "random": state["recur"]["random"]}
    else:
        state["recur"]["format"] = found
    torch.save(state, path)
    message = (
        f"{path}: written by {age} recur (format {found or 1}, this one reads 2), cannot be resumed; train anew "
        "with overwrite=True."
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        checkpoint.read(run)


@pytest.mark.parametrize(("found", "shown"), [("2", "'2'"), (None, "None"), (True, "True"), (0, "0")])
def test_a_format_that_is_none_says_so(run: RunFolder, found: Any, shown: str) -> None:
    path = checkpoint.path_of(run)
    state = torch.load(path, weights_only=True)
    state["recur"]["format"] = found
    torch.save(state, path)
    message = f"{path}: damaged: its format is {shown}, expected 2, cannot be resumed; train anew with overwrite=True."
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        checkpoint.read(run)


def test_it_holds_the_state_of_all_streams_and_of_the_random_numbers(run: RunFolder) -> None:
    state = checkpoint.read(run)
    assert checkpoint.process_count(state) == 1
    assert checkpoint.validations_without_better(state) == 0
    (snapshot,) = state["recur"]["carried"]["snapshots"]
    assert [[tuple(part.shape) for part in layer] for layer in snapshot["state"]] == [[(1, 4, 24)] * 2] * 2
    assert all(part.abs().max() > 0 for layer in snapshot["state"] for part in layer)
    assert state["recur"]["carried"]["pieces"] == [], "what the state already tells is not kept"
    assert len(state["recur"]["random"][0]) == len(torch.get_rng_state())


def test_a_checkpoint_of_another_model_is_refused(run: RunFolder, console: Any) -> None:
    config = run.config()
    for section, name, value, pattern in (
        ("model", "num_layers", 1, r"does not fit config\.json: model\.layers\.1\S* is \(.*\), expected None\.$"),
        ("model", "hidden_size", 23, r"does not fit config\.json: model\.\S* is \(.*\), expected \(.*\)\.$"),
        ("training", "batch_size", 2, r"does not fit config\.json: it has 4 streams, expected 2\.$"),
        ("training", "window", 8, r"does not fit config\.json: its window is 16, expected 8\.$"),
        ("training", "vary_window", True, r"its law of window lengths is None, expected \{'typical': 16, .*\}\.$"),
        ("training", "reach", 48, r"does not fit config\.json: its reach is 16, expected 48\.$"),
    ):
        changed = json.loads(json.dumps(config))
        changed[section][name] = value
        run.write_json("config.json", changed)
        with pytest.raises(RunError, match=pattern):
            resume_language_model(run.path, bounds={"max_steps": 20}, console=console)


def test_in_bfloat16(train: Any, model: Any, signals_at: Any, assert_same: Any, console: Any, tmp_path: Path) -> None:
    whole = train("whole", model, max_steps=30, precision="bfloat16")
    signals_at(17, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("halves", model, max_steps=30, precision="bfloat16")
    halves = tmp_path / "halves"
    (snapshot,) = checkpoint.read(RunFolder.open(halves))["recur"]["carried"]["snapshots"]
    assert {part.dtype for layer in snapshot["state"] for part in layer} == {torch.bfloat16}
    assert_same(whole, resume_language_model(halves, console=console))
    full = train("full", model, max_steps=30)
    assert abs(loss_of(whole) - loss_of(full)) < 0.01 * loss_of(full)
    assert loss_of(whole) != loss_of(full)
    assert {weight.dtype for weight in load_file(whole.path / "model.safetensors").values()} == {torch.float32}


def loss_of(run: RunFolder) -> float:
    return float([row["loss"] for row in run.metrics() if row["kind"] == "train"][-1])


def test_without_dropout_and_learned_state(
    train: Any, model: Any, signals_at: Any, assert_same: Any, console: Any, tmp_path: Path
) -> None:
    plain = replace(model, dropout=0.0, initial_state="zeros", cell="gru", tied=True, residual=True)
    whole = train("whole", plain, max_steps=30, clip_value=0.1)
    signals_at(17, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("halves", plain, max_steps=30, clip_value=0.1)
    assert_same(whole, resume_language_model(tmp_path / "halves", console=console))
