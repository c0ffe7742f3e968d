"""Several processes train one model, each with its own streams, as one process with all of them would."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from recur.run import RunFolder
from recur.train import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("gloo")]

TINY = ("--hidden-size", "24", "--batch-size", "4", "--window", "16", "--validate-every", "20", "--sample-length", "20")
# The report takes longer than these trainings, and has its own tests.
TINY += ("--no-report",)
STEPS = ("--dropout", "0", "--max-steps", "60", "--warmup-steps", "10")
# Port 0 lets torchrun take one that is free.
TORCHRUN = (
    "-m",
    "torch.distributed.run",
    "--nproc-per-node",
    "2",
    "--rdzv-backend",
    "c10d",
    "--rdzv-endpoint",
    "localhost:0",
)


@pytest.fixture
def folder(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recur() -> Any:
    """Run `recur train` in a process of its own."""

    def run(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *launcher, "-m", "recur", "train", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    return run


def assert_quiet(done: subprocess.CompletedProcess[str]) -> None:
    """Nothing was printed but what recur has to say."""
    assert done.returncode == 0, done.stderr
    begins = ("task ", "text ", "model ", "training ", "step ", "runs/", "stopped ", "another number ")
    strange = [line for line in done.stderr.splitlines() if not line.startswith(begins)]
    # torchrun tells that it gave each process one thread.
    assert not [line for line in strange if "OMP_NUM_THREADS" not in line and not line.startswith("*")], done.stderr


def losses(path: str, kind: str = "train") -> dict[int, float]:
    return {row["step"]: row["loss"] for row in RunFolder.open(path).metrics() if row["kind"] == kind}


@pytest.mark.parametrize("state", ["zeros", "learned"])
def test_two_devices_follow_the_curve_of_one(state: str, folder: Path, recur: Any) -> None:
    options = ("text.txt", *TINY, *STEPS, "--initial-state", state)
    one = recur(*options, "--out", "one")
    two = recur(*options, "--out", "two", "--devices", "2")
    assert_quiet(one)
    assert_quiet(two)
    assert list(losses("one")) == [10, 20, 30, 40, 50, 60]
    assert losses("two") == pytest.approx(losses("one"), abs=1e-5)
    assert losses("two", "valid") == pytest.approx(losses("one", "valid"), abs=1e-5)
    assert two.stdout.count("top 5") == 1
    norms = [
        [row["grad_norm"] for row in RunFolder.open(run).metrics() if row["kind"] == "train"] for run in ("one", "two")
    ]
    assert norms[1] == pytest.approx(norms[0], abs=1e-5)


def test_two_devices_with_a_longer_reach_and_random_windows(folder: Path, recur: Any) -> None:
    """Documents make resets, whose history is stored too."""
    truncation = ("--reach", "40", "--vary-window", "--document-separator", ".")
    options = ("text.txt", *TINY, *STEPS, *truncation, "--checkpoint-every", "5")
    assert_quiet(recur(*options, "--out", "one"))
    assert_quiet(recur(*options, "--out", "two", "--devices", "2"))
    assert losses("two") == pytest.approx(losses("one"), abs=1e-5)
    carried = [checkpoint.read(RunFolder(run))["recur"]["carried"] for run in ("one", "two")]
    assert carried[0]["rows"] == carried[1]["rows"] == 4
    for one, two in zip(carried[0]["pieces"], carried[1]["pieces"], strict=True):
        assert torch.equal(one["x"], two["x"])
        assert torch.equal(one["reset"], two["reset"])


def test_torchrun_follows_the_curve_of_one(folder: Path, recur: Any) -> None:
    options = ("text.txt", *TINY, *STEPS)
    assert_quiet(recur(*options, "--out", "one"))
    done = recur(*options, "--out", "two", launcher=TORCHRUN)
    assert_quiet(done)
    assert done.stdout.count("top 5") == 1
    assert losses("two") == pytest.approx(losses("one"), abs=1e-5)


@pytest.mark.parametrize("more", [(), ("--reach", "40", "--vary-window", "--drop-state", "0.2")])
def test_two_devices_resume_bit_for_bit(more: tuple[str, ...], folder: Path, recur: Any, assert_same: Any) -> None:
    options = ("text.txt", *TINY, "--dropout", "0.2", "--checkpoint-every", "5", "--max-epochs", "1", "--devices", "2")
    options += more
    assert_quiet(recur(*options, "--out", "whole"))
    command = [sys.executable, "-m", "recur", "train", *options, "--out", "halves"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    path = Path("halves/checkpoints/last.ckpt")
    while process.poll() is None and not path.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert printed.splitlines()[-1].startswith("recur: interrupted after step ")
    random = checkpoint.read(RunFolder("halves"))["recur"]["random"]
    assert not torch.equal(random[0], random[1]), "each process drops units of its own"
    assert_quiet(recur("--resume", "halves"))
    assert_same(RunFolder.open("whole"), RunFolder.open("halves"))


TOY = """
import importlib.util, sys
from dataclasses import replace
from pathlib import Path

from recur.train.table import TASKS

spec = importlib.util.spec_from_file_location("toy", sys.argv[1])
toy = sys.modules["toy"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)
TASKS["toy"] = toy.TOY
training = replace(toy.TRAINING, devices=int(sys.argv[3]), max_steps=30, validate_every=10)
toy.train_toy([], out=Path(sys.argv[2]), training=training, dropout=0.0)
"""


def test_series_are_shared_by_two_devices(folder: Path) -> None:
    Path("toy.py").write_text(TOY)
    for name, devices in (("one", 1), ("two", 2)):
        command = [sys.executable, "toy.py", str(Path(__file__).with_name("test_examples_job.py")), name, str(devices)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    # The fourteenth batch has one window, which the second process has to fill up.
    assert losses("two")[10] == pytest.approx(losses("one")[10], abs=1e-5)
    assert losses("two", "valid")[10] == pytest.approx(losses("one", "valid")[10], abs=1e-5)
    assert list(losses("two")) == [10, 20, 30]
    speeds = [row["windows_per_second"] for row in RunFolder.open("two").metrics() if row["kind"] == "train"]
    assert min(speeds) > 0
    assert checkpoint.read(RunFolder("two"))["recur"]["carried"] == {"items": 105, "batch_size": 8, "seed": 0}


def test_a_bad_text_ends_all_processes_with_one_line(folder: Path, recur: Any) -> None:
    Path("bad.txt").write_bytes(b"a")
    plain = recur("bad.txt", "--out", "run", "--devices", "2")
    # torchrun adds a report of its own.
    launched = recur("bad.txt", "--out", "run", "--devices", "2", launcher=TORCHRUN)
    for done in (plain, launched):
        assert done.returncode == 1
        ours = [line for line in done.stderr.splitlines() if line.startswith("recur: ")]
        assert len(ours) == 1
        assert ours[0].startswith("recur: bad.txt: has only one character; ")
    assert "Traceback" not in plain.stderr
    assert not Path("run").exists()


def test_a_full_disk_is_told_once(folder: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    options = ("text.txt", *TINY, "--out", "run", "--devices", "2", "--max-steps", "20", "--checkpoint-every", "5")
    done = subprocess.run(
        [sys.executable, "-m", "recur", "train", *options],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("recur: ")]
    assert ours == ["recur: run/checkpoints/last.ckpt: the file would be larger than this system allows."]


def test_a_loss_that_is_not_finite_is_told_once(folder: Path, recur: Any) -> None:
    done = recur("text.txt", *TINY, "--out", "run", "--devices", "2", "--learning-rate", "1e30", "--max-steps", "50")
    assert done.returncode == 1
    assert done.stderr.count("recur: step 3: the loss is nan") == 1
    assert "Traceback" not in done.stderr
    events = [row for row in RunFolder.open("run").metrics() if row["kind"] == "event"]
    assert len(events) == 1


SPOILT = """
import sys, torch
from recur.cli.main import main
from recur.tasks.language.task import LanguageTask

run = LanguageTask._run

def spoilt(task, batch, *more):
    loss, *rest = run(task, batch, *more)
    # The gradient of a constant is none: only the loss tells.
    bad = task.global_rank == 1 and task.global_step in (10, 11)
    return (loss + torch.tensor(torch.inf) if bad else loss, *rest)

LanguageTask._run = spoilt
sys.exit(main())
"""


def test_a_loss_of_one_process_that_is_not_finite_is_left_out_by_all(folder: Path, recur: Any) -> None:
    Path("spoilt.py").write_text(SPOILT)
    options = ("train", "text.txt", *TINY, *STEPS, "--out", "run")
    done = subprocess.run(
        [sys.executable, *TORCHRUN, "spoilt.py", *options], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows = RunFolder.open("run").metrics()
    assert [row["step"] for row in rows if row["kind"] == "event"] == [11, 12]
    assert [row["skipped"] for row in rows if row["kind"] == "train"] == [0, 2, 0, 0, 0, 0]
    assert all(row["loss"] > 0 for row in rows if row["kind"] == "train")


def listening(pid: int) -> set[str]:
    """Return the addresses, as Linux writes them, on which a process and its children wait for connections."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    sockets = {
        str(file.readlink()) for each in pids for file in Path(f"/proc/{each}/fd").iterdir() if file.is_symlink()
    }
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads what Linux tells of sockets")
def test_processes_of_one_machine_listen_on_loopback_only(folder: Path) -> None:
    options = ("text.txt", *TINY, "--out", "run", "--devices", "2", "--max-minutes", "5")
    environment = {name: value for name, value in os.environ.items() if name != "GLOO_SOCKET_IFNAME"}
    process = subprocess.Popen(
        [sys.executable, "-m", "recur", "train", *options],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None and not Path("run/checkpoints/last.ckpt").exists():
            time.sleep(0.05)
        assert process.poll() is None
        assert listening(process.pid) == {"0100007F"}
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
