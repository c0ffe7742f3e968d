"""What is settled before training begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recur.data.options import CorpusOptions
from recur.errors import DataError, OptionError, RunError
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.train import preparation
from recur.train.display import Display
from recur.train.language import resume_language_model, train_language_model
from recur.train.language_preparation import prepare
from recur.train.options import LanguageTrainingOptions


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be one of six processes, three on each of two machines."""
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "WORLD_SIZE": "6",
        "LOCAL_WORLD_SIZE": "3",
        "RANK": "0",
        "LOCAL_RANK": "0",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("torchrun")
def test_under_torchrun_the_streams_are_shared_by_all_processes(text: Path, tmp_path: Path, console: Any) -> None:
    def prepared(**options: Any) -> RunFolder:
        training = LanguageTrainingOptions(max_steps=1, window=16, **options)
        model = LanguageModelOptions(hidden_size=8)
        return prepare([str(text)], tmp_path / "run", CorpusOptions(), model, training, True, Display(console))

    stored = prepared().config()["training"]
    assert (stored["batch_size"], stored["devices"]) == (30, 1)
    assert prepared(devices=3).config()["training"]["batch_size"] == 30
    with pytest.raises(OptionError, match=r"^devices is 2, but torchrun started 3 here; leave devices= out\.$"):
        prepared(devices=2)


@pytest.mark.usefixtures("no_report")
def test_runs_may_lie_in_the_folder_of_their_text(
    text: Path, tmp_path: Path, model: Any, training: LanguageTrainingOptions, console: Any
) -> None:
    short = replace(training, max_steps=5)
    keys = []
    for name in ("first", "second"):
        run = train_language_model(tmp_path, out=tmp_path / "runs" / name, model=model, training=short, console=console)
        keys.append(run.read_json("schema.json")["corpus"]["key"])
        assert [source["name"] for source in run.read_json("schema.json")["corpus"]["sources"]] == [str(text)]
    assert keys[0] == keys[1]
    # Going on reads the folder again.
    resume_language_model(tmp_path / "runs/first", bounds={"max_steps": 10}, console=console)
    assert RunFolder.open(tmp_path / "runs/first").metrics()[-1]["step"] == 10


@pytest.mark.parametrize("part", ["sources", "valid", "test"])
def test_a_folder_that_holds_a_text_is_no_place_for_a_run(part: str, text: Path, tmp_path: Path, console: Any) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    inside = out / "checkpoints" / "last.ckpt"
    inside.write_bytes(text.read_bytes())
    options = CorpusOptions() if part == "sources" else CorpusOptions(**{part: str(inside)})
    with pytest.raises(RunError, match=r"run: holds the text .*last\.ckpt, so it is no place for the run; choose"):
        train_language_model(
            inside if part == "sources" else text, out=out, corpus=options, overwrite=True, console=console
        )
    assert inside.read_bytes() == text.read_bytes()


@pytest.mark.usefixtures("no_report")
def test_an_old_run_survives_a_machine_that_cannot_be_described(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(max_steps=2)
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}

    def fail() -> None:
        raise OptionError("RECUR_CPU_ISA names nothing.")

    monkeypatch.setattr(preparation, "collect", fail)
    options = LanguageTrainingOptions(max_steps=2)
    with pytest.raises(OptionError, match=r"^RECUR_CPU_ISA names nothing\.$"):
        train_language_model(run.config()["sources"], out=run.path, training=options, overwrite=True)
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before


@pytest.mark.usefixtures("no_report")
def test_the_run_folder_is_named_after_the_text(
    text: Path, tmp_path: Path, model: Any, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = LanguageTrainingOptions(max_steps=1, batch_size=4, window=16)
    for expected, overwrite in (("runs/text", False), ("runs/text-2", False), ("runs/text", True)):
        run = train_language_model(text, model=model, training=options, overwrite=overwrite, console=console)
        assert run.path.resolve() == (tmp_path / expected).resolve()


def test_no_text_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no text was given; name a file, a folder, or - for standard input"):
        train_language_model([])
    assert not list(tmp_path.glob("runs/run*"))
