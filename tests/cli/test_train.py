from __future__ import annotations

import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recur.run import RunFolder

LAST_LINES = [
    "report   run/report.html",
    'write    recur generate run --prompt "..."',
    "judge    recur evaluate run",
]


@pytest.fixture
def train(recur: Any, tiny: Any) -> Any:
    """Train for two steps with further arguments, and return the run."""

    def run(*arguments: object, steps: int = 2) -> RunFolder:
        result = recur("train", *arguments, "--out", "run", "--overwrite", "--max-steps", steps, *tiny)
        assert result.code == 0, result.err
        return RunFolder.open("run")

    return run


def characters(run: RunFolder) -> dict[str, int]:
    return run.read_json("schema.json")["corpus"]["characters"]


def test_what_is_printed(folder: Path, recur: Any, tiny: Any) -> None:
    result = recur("train", "text.txt", "--out", "run", "--max-steps", "40", *tiny)
    assert result.code == 0
    assert "\x1b" not in result.err + result.out
    lines = result.err.splitlines()
    assert lines[0] == "task     language, as text.txt is no table; --task chooses another"
    assert re.fullmatch(
        r"text     9,000 characters to train on, 500 to validate, 500 to test; \d+ tokens \(character\)", lines[1]
    )
    assert re.fullmatch(r"model    LSTM 2 x 24, dropout \S+, [\d,]+ parameters", lines[2])
    assert lines[3] == "training 4 streams x 16 steps, learning rate 0.03, at most 40 steps"
    table = result.out.splitlines()
    assert table[0].split() == ["nats/char", "bits/char", "perplexity", "top", "1", "top", "5"]
    assert [line.split()[0] for line in table[1:4]] == ["model", "unigram", "trigram"]
    assert re.match(r"\d\.\d{3} nats per character on the test text", table[4])
    assert table[5:] == LAST_LINES


def test_default_folders_do_not_collide(folder: Path, recur: Any, tiny: Any) -> None:
    Path("book.gz").write_bytes(gzip.compress(Path("text.txt").read_bytes()))
    for name, expected in (("text.txt", "text"), ("text.txt", "text-2"), ("book.gz", "book")):
        assert recur("train", name, "--max-steps", "1", *tiny).code == 0
        assert RunFolder.open(Path("runs") / expected).has("evaluation.json")


def test_the_default_folder_is_replaced_when_asked(folder: Path, recur: Any, tiny: Any) -> None:
    for steps in (2, 1):
        assert recur("train", "text.txt", "--overwrite", "--max-steps", steps, *tiny).code == 0
    assert [path.name for path in Path("runs").iterdir() if not path.name.startswith(".")] == ["text"]
    assert RunFolder.open("runs/text").config()["training"]["max_steps"] == 1


def test_commands_to_go_on_with_can_be_pasted(folder: Path, recur: Any, tiny: Any) -> None:
    result = recur("train", "text.txt", "--out", "my run", "--max-steps", "1", *tiny)
    assert result.out.splitlines()[-3:] == [
        "report   my run/report.html",
        "write    recur generate 'my run' --prompt \"...\"",
        "judge    recur evaluate 'my run'",
    ]


def test_the_folder_one_is_in(folder: Path, recur: Any, tiny: Any) -> None:
    result = recur("train", ".", "--max-steps", "2", *tiny)
    assert result.code == 0, result.err
    run = RunFolder.open(Path("runs") / folder.name)
    assert [source["name"] for source in run.read_json("schema.json")["corpus"]["sources"]] == ["text.txt"]
    assert recur("train", "--resume", run.path, "--max-steps", "4").code == 0


def test_sources(folder: Path, train: Any, make_text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = make_text(10_000)
    Path("packed.txt.gz").write_bytes(gzip.compress(text.encode()))
    Path("parts").mkdir()
    Path("parts/1.txt").write_text(text[:4000])
    Path("parts/2.txt").write_text(text[4000:])
    whole = {"train": 9000, "valid": 500, "test": 500}
    assert characters(train("packed.txt.gz")) == whole
    # A newline parts files that do not end in one.
    joined = {"train": 9001, "valid": 500, "test": 500} if not text[:4000].endswith("\n") else whole
    assert characters(train("parts")) == joined
    assert characters(train("parts/1.txt", "parts/2.txt")) == joined
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    run = train("-")
    assert characters(run) == whole
    assert run.read_json("schema.json")["corpus"]["sources"][0]["name"] == "standard input"


def test_standard_input_resumes_from_the_cache(
    folder: Path, train: Any, recur: Any, make_text: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(make_text(5000).encode())))
    train("-")
    assert recur("train", "--resume", "run", "--max-steps", "4").code == 0
    assert RunFolder.open("run").metrics()[-1]["step"] == 4


def test_parts_of_their_own(folder: Path, train: Any, make_text: Any) -> None:
    Path("valid.txt").write_text(make_text(700, seed=1))
    Path("test.txt").write_text(make_text(800, seed=2))
    assert characters(train("text.txt", "--valid", "valid.txt")) == {"train": 9500, "valid": 700, "test": 500}
    both = train("text.txt", "--valid", "valid.txt", "--test", "test.txt")
    assert characters(both) == {"train": 10_000, "valid": 700, "test": 800}
    other = train("text.txt", "--valid-fraction", "0.2", "--test-fraction", "0.1")
    assert characters(other) == {"train": 7000, "valid": 2000, "test": 1000}


@pytest.mark.parametrize(
    ("options", "kind", "size"), [(["byte"], "byte", 256), (["bpe", "--vocabulary-size", "270"], "bpe", 270)]
)
def test_other_tokens(options: list[str], kind: str, size: int, folder: Path, train: Any, recur: Any) -> None:
    run = train("text.txt", "--tokens", *options)
    schema = run.read_json("schema.json")
    assert schema["tokenizer"]["kind"] == kind
    assert len(schema["counts"]) == size
    # Another tokeniser, but the figures are by the character.
    assert run.read_json("evaluation.json")["model"]["characters"] == 500
    result = recur("generate", "run", "--prompt", "the €", "--length", "5")
    assert result.code == 0, result.err
    assert result.out.startswith("the €")


def test_documents(folder: Path, train: Any) -> None:
    run = train("text.txt", "--document-separator", r".\n")
    lines = Path("text.txt").read_text()[:9000].count(".\n")
    assert abs(run.read_json("schema.json")["corpus"]["documents"]["train"] - lines) <= 1
    assert run.config()["data"]["document_separator"] == r".\n"


def test_the_command_line_wins_over_the_config_file(folder: Path, recur: Any) -> None:
    Path("own.yaml").write_text(
        "hidden_size: 12\ncell: gru\nbatch_size: 4\nwindow: 16\nmax_steps: 3\n"
        "dropout: 0.25\ntied: true\nsample_length: 5\n"
    )
    result = recur(
        "train", "text.txt", "--config", "own.yaml", "--hidden-size", "10", "--out", "run", "--max-steps", "2"
    )
    assert result.code == 0, result.err
    config = RunFolder.open("run").config()
    model, training = config["model"], config["training"]
    assert (model["cell"], model["hidden_size"], model["dropout"], model["tied"]) == ("gru", 10, 0.25, True)
    assert (training["max_steps"], training["window"], training["sample_length"]) == (2, 16, 5)
    assert Path("own.yaml").exists()


def test_the_texts_of_a_config_file(folder: Path, recur: Any, tiny: Any) -> None:
    Path("own.txt").write_text(Path("text.txt").read_text() * 2)
    printed = recur("train", "own.txt", "text.txt", "--max-steps", "1", *tiny, "--print_config")
    assert printed.code == 0
    Path("printed.yaml").write_text(printed.out)
    Path("one.yaml").write_text(printed.out.replace("data:\n- own.txt\n- text.txt\n", "data: own.txt\n"))
    for arguments, expected in (
        (("--config", "printed.yaml"), ["own.txt", "text.txt"]),
        (("--config", "one.yaml"), ["own.txt"]),
        (("text.txt", "--config", "printed.yaml"), ["text.txt"]),
        (("--config=one.yaml", "text.txt"), ["text.txt"]),
    ):
        result = recur("train", *arguments, "--out", "run", "--overwrite")
        assert result.code == 0, result.err
        config = RunFolder.open("run").config()
        assert [Path(source).name for source in config["sources"]] == expected
        assert config["training"]["max_steps"] == 1


def test_the_command_line_wins_wherever_the_config_file_stands(folder: Path, recur: Any, tiny: Any) -> None:
    Path("own.yaml").write_text("max_steps: 3\nseed: 5\n")
    assert recur("train", "text.txt", "--max-steps", "1", *tiny, "--config", "own.yaml").code == 0
    training = RunFolder.open("runs/text").config()["training"]
    assert (training["max_steps"], training["seed"]) == (1, 5)


def test_one_of_a_thing_is_told_in_the_singular(folder: Path, recur: Any) -> None:
    arguments = ("--batch-size", "1", "--window", "1", "--hidden-size", "8", "--max-minutes", "1", "--cell", "indrnn")
    result = recur("train", "text.txt", *arguments, "--max-steps", "1", "--num-layers", "1")
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    assert lines[2].startswith("model    IndRNN 1 x 8, ")
    assert lines[3].startswith("training 1 stream x 1 step, ")
    assert lines[3].endswith(", at most 1 minute or 1 step")


def test_a_short_text_is_called_too_short(folder: Path, recur: Any, tiny: Any) -> None:
    Path("short.txt").write_text(Path("text.txt").read_text()[:2000])
    result = recur("train", "short.txt", "--max-steps", "2", *tiny)
    assert result.code == 0, result.err
    advice = "; 1,800 tokens to train on are too few, so give it more text."
    assert [line for line in result.out.splitlines() if line.endswith(advice)]
    assert advice in recur("evaluate", "runs/short").out


def test_every_option_reaches_the_run(folder: Path, recur: Any) -> None:
    chosen = {
        "cell": "rnn",
        "num_layers": 3,
        "embedding_size": 7,
        "initial_state": "learned",
        "max_epochs": 9,
        "clip_ratio": 0.5,
        "skip_nonfinite": 5,
        "activation_penalty": 0.5,
        "temporal_penalty": 0.25,
        "weight_decay": 0.5,
        "final_learning_rate": 0.25,
        "patience": 3,
        "seed": 11,
        "device": "cpu",
        "checkpoint_every": 7,
        "sample_prompt": "she",
    }
    arguments = [part for name, value in chosen.items() for part in ("--" + name.replace("_", "-"), str(value))]
    small = ("--hidden-size", "8", "--batch-size", "2", "--window", "8", "--max-steps", "1", "--residual")
    assert recur("train", "text.txt", "--out", "run", *arguments, *small).code == 0
    config = RunFolder.open("run").config()
    stored = {**config["model"], **config["training"]}
    assert {name: stored[name] for name in chosen} == chosen
    assert stored["residual"] is True
    assert stored["clip_norm"] is None


def test_early_stopping(folder: Path, train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = train("text.txt", "--patience", "1", "--seed", "2", "--final-learning-rate", "1", steps=4000)
    rows = [row for row in run.metrics() if row["kind"] == "valid"]
    assert [row["is_best"] for row in rows] == [True] * (len(rows) - 1) + [False]
    assert rows[-1]["step"] < 4000


def test_a_time_budget(folder: Path, recur: Any, tiny: Any) -> None:
    started = time.monotonic()
    arguments = ("--max-minutes", "0.02", "--final-learning-rate", "0", *tiny)
    assert recur("train", "text.txt", "--out", "run", *arguments).code == 0
    last = [row for row in RunFolder.open("run").metrics() if row["kind"] == "train"][-1]
    assert 1.2 <= last["elapsed"] < 2.4
    assert last["elapsed"] < time.monotonic() - started
    assert last["learning_rate"] < 0.05 * 0.03
    assert last["progress"] == 1.0


@pytest.mark.slow
def test_a_terminal_gets_a_bar(folder: Path, tiny: Any) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "recur", "train", "text.txt", "--out", "run", "--max-minutes", "0.05", *tiny],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "150"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    printed, _ = process.communicate()
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0, text
    assert "━" in text
    assert re.search(r"step \d+ \| epoch \d+ \| loss \d\.\d{3} \| .*characters/s \| \d+ s left", text)
    assert "Warning" not in text
    assert printed.decode().splitlines()[-3:] == LAST_LINES


@pytest.mark.slow
def test_a_pipe_gets_plain_lines_and_no_chatter(folder: Path, recur_process: Any, tiny: Any) -> None:
    result = recur_process(
        "train", "text.txt", "--out", "run", "--max-minutes", "0.25", "--tensorboard", "--patience", "0", *tiny
    )
    assert result.code == 0
    begins = ("task ", "text ", "model ", "training ", "step ")
    assert [line for line in result.err.splitlines() if not line.startswith(begins)] == []
    assert "step " in result.err
    assert "\x1b" not in result.err + result.out
    assert result.out.splitlines()[-3:] == LAST_LINES


@pytest.mark.slow
def test_interrupted_at_any_time_it_ends_with_130(folder: Path, tiny: Any) -> None:
    for wait_for in ("task ", "training "):
        process = subprocess.Popen(
            [sys.executable, "-m", "recur", "train", "text.txt", "--out", "run", "--overwrite", *tiny],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr
        for line in process.stderr:
            if line.startswith(wait_for):
                break
        process.send_signal(2)
        rest = process.stderr.read()
        assert process.wait() == 130, rest
        assert "Traceback" not in rest
        assert rest.splitlines()[-1].startswith("recur: ")
        process.stderr.close()


def test_evaluation_is_json(folder: Path, train: Any) -> None:
    run = train("text.txt")
    found = json.loads((run.path / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert found.keys() == {"part", "valid", "model", "baselines", "verdict", "surprising", "weights"}
