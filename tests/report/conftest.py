"""A run folder as training leaves it, small and made by hand."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import math
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from recur.report import write_report
from recur.report.row_coding import ALPHABET, WHOLE
from recur.run import FORMAT, RunFolder

TEXT = "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n"


def figures(nats: float, **more: float) -> dict[str, float]:
    """Return the figures of an evaluation for a loss in nats per character."""
    return {
        "nats_per_character": nats,
        "bits_per_character": nats / math.log(2),
        "nats_per_token": nats,
        "perplexity": math.exp(nats),
        "top1": 0.55,
        "top5": 0.84,
        "tokens": 55_770,
        "characters": 55_770,
        **more,
    }


def training_rows(points: int = 200) -> list[dict[str, Any]]:
    """Return the rows of a training that went well."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for i in range(1, points + 1):
        step, progress = 10 * i, i / points
        rows.append(
            {
                "kind": "train",
                "step": step,
                "epoch": 0,
                "progress": progress,
                "elapsed": 0.09 * step,
                "loss": 1.4 + 2.6 * math.exp(-6 * progress) + draw.gauss(0, 0.04),
                "clipped": 0.25,
                "removed": 0.05,
                "grad_norm": 0.5 + 2 * math.exp(-20 * progress) + draw.random() * 0.2,
                "learning_rate": 0.004 * min(1.0, progress / 0.05) * (0.55 + 0.45 * math.cos(math.pi * progress)),
                "tokens_per_second": 30_000 + draw.gauss(0, 900),
                "characters_per_second": 30_000 + draw.gauss(0, 900),
            }
        )
        if i % max(1, points // 8) == 0:
            loss = 1.45 + 2.4 * math.exp(-6 * progress)
            rows.append(
                {
                    "kind": "valid",
                    "step": step,
                    "epoch": 0,
                    "elapsed": 0.09 * step,
                    "loss": loss,
                    "nats_per_character": loss,
                    "is_best": True,
                }
            )
            rows.append(
                {
                    "kind": "sample",
                    "step": step,
                    "prompt": "ROMEO:",
                    "text": f"\nSample of step {step}.\n" + TEXT * 2,
                    "temperature": 0.8,
                    "seed": 0,
                }
            )
    rows.append({"kind": "event", "step": 10 * points, "text": "stopped: the time is over"})
    return rows


def passage(position: int) -> dict[str, Any]:
    """Return a passage of the evaluation."""
    draw = random.Random(position)
    tokens = list(TEXT * 3)
    return {"position": position, "loss_mean": 3.2, "tokens": tokens, "losses": [draw.expovariate(0.6) for _ in tokens]}


CONFIG: dict[str, Any] = {
    "format": FORMAT,
    "task": "language",
    "name": "romeo",
    "data": {"path": "input.txt", "tokenizer": "character"},
    "model": {"cell": "lstm", "num_layers": 2, "hidden_size": 256, "dropout": 0.1, "is_tied": True},
    "training": {
        "max_minutes": 3.0,
        "clip_norm": 1.0,
        "optimizer": {"name": "AdamW", "betas": [0.9, 0.99]},
        "max_epochs": None,
    },
}
PARTS: dict[str, dict[str, Any]] = {
    "env": {
        "versions": {"recur": "0.1.0", "python": "3.11.4", "torch": "2.13.0"},
        "cpu": {"brand": "AMD EPYC", "features": ["avx2", "fma"]},
        "threads": {"torch": 2},
        "device": "cpu",
        "backends": [
            {
                "layer": "layers.0",
                "device": "cpu",
                "backend": "torch",
                "others": [{"backend": "fused", "reason": "built without it"}],
            }
        ],
    },
    "schema": {
        "tokenizer": {"kind": "character", "symbols": ["a", "b"]},
        "corpus": {
            "sources": [
                {
                    "name": "texts/input.txt",
                    "bytes": 1_115_394,
                    "sha256": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                }
            ],
            "tokens": {"train": 1_003_854, "valid": 55_770, "test": 55_770},
            "characters": {"train": 1_003_854, "valid": 55_770, "test": 55_770},
        },
    },
    "model": {
        "layers": [
            {
                "name": "embedding",
                "kind": "Embedding",
                "parameters": 16_640,
                "weights": {"weight": [65, 256]},
                "output": "(B, T, 256)",
            },
            {
                "name": "recurrent",
                "kind": "LSTM",
                "parameters": 1_052_672,
                "weights": {
                    "weight_ih_l0": [1024, 256],
                    "weight_hh_l0": [1024, 256],
                    "bias_ih_l0": [1024],
                    "bias_hh_l0": [1024],
                },
                "output": "(B, T, 256)",
            },
            {"name": "dropout", "kind": "LockedDropout", "parameters": 0, "weights": {}, "output": "(B, T, 256)"},
            {
                "name": "output",
                "kind": "Linear",
                "parameters": 16_705,
                "weights": {"weight": [65, 256], "bias": [65]},
                "output": "(B, T, 65)",
            },
        ],
        "parameters": 1_086_017,
    },
    "evaluation": {
        "part": "test",
        "model": figures(1.512, seconds=4.2),
        "valid": figures(1.421, seconds=4.1),
        "baselines": {"unigram": figures(3.31), "trigram": figures(2.05)},
        "verdict": "The model needs 0.54 nats per character less than a trigram model does.",
        "surprising": [passage(1_000 * i) for i in range(1, 6)],
    },
}


def forecasts(steps: int = 6, *, is_better: bool = True) -> dict[str, Any]:
    """Return the judgement of a forecaster: made up, but as one might look."""
    draw = np.random.default_rng(0)
    sizes = {"model": 2.0 if is_better else 4.0, "naive": 3.5, "seasonal naive": 3.0, "drift": 3.6, "mean": 5.0}
    hours = [f"2024-03-{1 + hour // 24:02}T{hour % 24:02}:00:00" for hour in range(48 + steps)]
    wave = 20 + 5 * np.sin(np.arange(48 + steps) / 4)

    def figures_of(size: float) -> dict[str, Any]:
        shares = {"0.8": 0.79, "0.95": 0.94}
        told = {"mae": size, "rmse": 1.3 * size, "smape": 10 * size, "mase": size / 3, "crps": 0.7 * size}
        return {**told, "coverage": shares, "width": {"0.8": 3 * size, "0.95": 5 * size}, "targets": 1234.0}

    def by_step(size: float) -> dict[str, Any]:
        growing = [size * (0.6 + 0.8 * step / steps) for step in range(steps)]
        return {"mae": growing, "rmse": growing, "crps": growing, "coverage": {"0.8": [0.8] * steps}, "width": {}}

    example = {
        "series": "m0",
        "target": "load",
        "error": 0.7,
        "before": {"times": hours[:48], "values": [None, *wave[1:48].tolist()]},
        "times": hours[48:],
        "actual": [*wave[48:-1].tolist(), None],
        "median": (wave[48:] + 1).tolist(),
        "intervals": {
            share: [(wave[48:] - width).tolist(), (wave[48:] + width).tolist()]
            for share, width in (("0.8", 2), ("0.95", 3))
        },
        "rule": (wave[48:] - 3).tolist(),
    }
    return {
        "part": "test",
        "horizon": steps,
        "history": 48,
        "step": "1h",
        "targets": ["load"],
        "windows": 2100,
        "stride": 1,
        "series": 30,
        "first": "2024-03-01T00:00:00",
        "last": "2024-05-01T00:00:00",
        "season": {"steps": 24, "why": "found in the training part"},
        "verdict": {"text": "MASE 0.7, 33.3% below seasonal naive (1.0).", "is_better": is_better, "comparisons": []},
        "best_rule": "seasonal naive",
        "figures": {name: figures_of(size) for name, size in sizes.items()},
        "intervals": {
            "shares": [0.5, 0.8, 0.95],
            "is_calibrated": True,
            **{f"{what}_{how}": [0.4, 0.7, 0.9] for what in ("coverage", "width") for how in ("raw", "calibrated")},
        },
        "by_step": {name: by_step(size) for name, size in sizes.items()},
        "by_target": {"load": {name: {"mae": size} for name, size in sizes.items()}},
        "by_series": [
            {"series": f"m{n}", "weight": 40.0, "mae": 4 - n / 10, "rmse": 5.0, "mase": 0.7, "rule": 3.0}
            for n in range(30)
        ],
        "over_time": {
            "times": ["2024-03-01T00:00:00", "2024-03-15T00:00:00", "2024-04-01T00:00:00"],
            "mae": {name: [size, None, 1.5 * size] for name, size in sizes.items()},
        },
        "residuals": {
            "number": 2100,
            "mean": 0.02,
            "deviation": 0.4,
            "stride": 1,
            "autocorrelation": draw.normal(0, 0.03, 40).tolist(),
            "bound": 0.043,
            "edges": np.linspace(-2, 2, 42).tolist(),
            "counts": draw.integers(0, 100, 41).tolist(),
        },
        "examples": [{"kind": kind, **example} for kind in ("worst", "worst", "median", "median", "best")],
        "notes": ["every second origin is judged."],
    }


@pytest.fixture
def make_forecasts() -> Callable[..., dict[str, Any]]:
    return forecasts


def write_run(
    path: Path,
    rows: list[dict[str, Any]] | None = None,
    config: dict[str, Any] | None = None,
    **parts: dict[str, Any] | None,
) -> RunFolder:
    """Write a run folder; `parts` replace the files of the same name, and None leaves one out."""
    run = RunFolder.create(path)
    files = {"config": CONFIG if config is None else config, **PARTS, **parts}
    for name, content in files.items():
        if content is not None:
            # Escaped, for a file can hold a lone surrogate only so.
            (run.path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    lines = [json.dumps(row) + "\n" for row in (training_rows() if rows is None else rows)]
    (run.path / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return run


def write_forecast_run(path: Path, judged: dict[str, Any]) -> RunFolder:
    """Write the run folder of a forecaster, with what was judged of it."""
    config = {"format": FORMAT, "task": "forecast", "model": {"cell": "gru", "num_layers": 1, "hidden_size": 64}}
    schema = {"source": {"path": "data/meters.csv", "fingerprint": "0"}}
    rows = [row for row in training_rows() if row["kind"] in ("train", "valid")]
    return write_run(path, rows, config, evaluation=None, schema=schema, forecast_evaluation=judged)


@pytest.fixture
def make_forecast_run(tmp_path: Path) -> Callable[[dict[str, Any]], RunFolder]:
    """Return `write_forecast_run` for a folder of this test."""
    return functools.partial(write_forecast_run, tmp_path / "run")


@pytest.fixture(scope="session")
def forecast_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a finished run of a forecaster, with its report, that the tests share and do not change."""
    run = write_forecast_run(tmp_path_factory.mktemp("forecast") / "run", forecasts())
    write_report(run)
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Return `write_run` for a folder of this test."""
    return functools.partial(write_run, tmp_path / "run")


@pytest.fixture
def run(make_run: Callable[..., RunFolder]) -> RunFolder:
    """Return a finished run with every file the report reads."""
    return make_run()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a finished run that the tests share and do not change."""
    return write_run(tmp_path_factory.mktemp("report") / "run")


# --- inspections -------------------------------------------------------------------------------------------------

STORY = (
    'The mill stood by the river. "Who goes there?" cried the miller (he was old, and half deaf), and nobody '
    'answered.\n"It is only the wind," said his wife; "come in, the soup is cold." So they went in.\n\n'
)
GATES = {
    "lstm": (("h", "c"), ("i", "f", "g", "o")),
    "gru": (("h",), ("r", "z", "n")),
    "rnn": (("h",), ()),
    "indrnn": (("h",), ()),
    "mgu": (("h",), ("f", "n")),
    "ligru": (("h",), ("z", "n")),
}
SIGNED = ("g", "n")
"""Gates that lie between -1 and 1."""


def inspection(
    kind: str = "text", count: int = 200, hidden: int = 24, num_layers: int = 2, cell: str = "lstm"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two files of an inspection: made up, but as one of a trained network might look.

    Unit 3 of the first layer's h is high inside quotes (of a series: where its first channel is high), and nothing else
    follows anything.
    """
    draw = np.random.default_rng(0)
    symbols = list((STORY * (count // len(STORY) + 1))[:count])
    wave = np.sin(np.arange(count) / 9)
    inside = np.cumsum([symbol == '"' for symbol in symbols]) % 2 if kind == "text" else wave > 0
    inside = np.asarray(inside, dtype=np.float32)
    tensors: dict[str, Any] = {"property.inside": inside, "property.column": np.arange(count, dtype=np.float32) % 80}
    layers = []
    for place in range(num_layers):
        states, gates = GATES[cell]
        drive = draw.normal(size=(count, hidden))
        memory = np.linspace(0.2, 0.98, hidden)
        slow = np.zeros((count, hidden))
        for step in range(1, count):
            slow[step] = memory * slow[step - 1] + (1 - memory**2) ** 0.5 * drive[step]
        values = {"h": np.tanh(0.8 * slow), "c": 1.7 * slow}
        for gate in gates:
            noise = draw.normal(size=(count, hidden)) + draw.normal(size=hidden) + 0.5 * slow
            values[gate] = np.tanh(noise) if gate in SIGNED else 1 / (1 + np.exp(-noise))
        if place == 0:
            values["h"][:, 3] = np.where(inside > 0, 0.8, -0.6) + 0.1 * draw.normal(size=count)
        scales = {}
        for part in (*states, *gates):
            scales[part] = max(1e-3, float(np.abs(values[part]).max()))
            tensors[f"layers.{place}.{part}"] = np.round(values[part] / scales[part] * 127).astype(np.int8)
        centred = values["h"] - values["h"].mean(0)
        left, strength, _ = np.linalg.svd(centred, full_matrices=False)
        tensors[f"pca.{place}"] = (left[:, :2] * strength[:2]).astype(np.float32)
        rows = max(1, len(gates)) * hidden
        layers.append(
            {
                "name": f"layers.{place}",
                "kind": cell.upper(),
                "cell": cell,
                "options": {"bias": True, "layer_norm": False},
                "initial": "zero",
                "input_size": hidden,
                "hidden_size": hidden,
                "states": list(states),
                "gates": list(gates),
                "scales": scales,
                "weights": {"weight_ih_l0": [rows, hidden], "weight_hh_l0": [rows, hidden]},
                "explained": [float(share) for share in (strength**2 / max(1e-9, (strength**2).sum()))[:2]],
            }
        )
    found = [{"layer": 0, "part": "h", "unit": 3, "score": 0.97, "held_out": 0.95, "sign": 1, "verdict": "holds"}]
    found += [
        {"layer": unit % num_layers, "part": "h", "unit": unit, "score": 0.3 - unit / 100, "held_out": 0.04}
        | {"sign": -1, "verdict": "chance"}
        for unit in range(4, 10)
    ]
    by_chance = [one | {"unit": one["unit"] + 1} for one in found[1:]]
    content: dict[str, Any] = {
        "format": 1,
        "kind": kind,
        "title": "a story",
        "cut": "the first 200 of 1,000 characters" if kind == "text" else "",
        "unit": "character",
        "losses": [None, *(float(loss) for loss in draw.exponential(1.5, count - 1))],
        "model": {
            "name": f"{cell.upper()}, {num_layers} x {hidden} units",
            "parameters": 1_234_567,
            "vocabulary_size": 65,
            "embedding_size": hidden,
            "tied": True,
            "residual": False,
        },
        "layers": layers,
        "properties": [
            {"key": "inside", "name": "inside quotes" if kind == "text" else "first channel is high", "kind": "binary"}
            | {"share": float(inside.mean()), "units": found, "chance": 0.31, "note": ""},
            {"key": "column", "name": "position in the line", "kind": "number", "units": by_chance, "chance": 0.3}
            | {"note": "too rare in this text to judge"},
        ],
        "attribution": {
            "window": 32,
            "methods": [
                {"key": "gradient_input", "name": "gradient by input", "deletion": deletion(2.4, is_faithful=True)},
                {"key": "occlusion", "name": "occlusion", "deletion": deletion(0.5, is_faithful=False)},
            ],
            "note": "",
        },
        "probe": probe(cell, num_layers, hidden),
        "diagnosis": [
            {
                "name": "vanishing gradient",
                "what": "The gradient is lost within 20 steps.",
                "evidence": "After 12 steps it is a tenth of what it was.",
                "advice": "Try a forget gate that starts open.",
            }
        ],
    }
    positions = np.linspace(min(8, count - 1), count - 2, 6).astype(np.int32)
    tensors["attribution.positions"] = np.unique(positions)
    tensors["attribution.targets"] = np.zeros(len(tensors["attribution.positions"]), dtype=np.int32)
    for method in ("gradient_input", "occlusion"):
        shares = draw.normal(size=(len(tensors["attribution.positions"]), 32)) * np.exp(-np.arange(32)[::-1] / 6)
        for row, position in zip(shares, tensors["attribution.positions"], strict=True):
            row[: max(0, 31 - position)] = 0
        tensors[f"attribution.{method}"] = (shares / np.maximum(1e-9, np.abs(shares).sum(1, keepdims=True))).astype(
            np.float32
        )
    if kind == "series":
        data = np.stack([wave, np.cos(np.arange(count) / 5) + 0.3 * draw.normal(size=count)], axis=1)
        tensors["values"] = data.astype(np.float32)
        said = np.concatenate([np.full((1, 2), np.nan), data[:-1] * 0.9])
        tensors["predictions"] = said.astype(np.float32)
        content["series"] = {"channels": ["load", "wind"], "times": [f"{step} h" for step in range(count)]}
        return content, tensors
    vocabulary = sorted(set(STORY))
    content |= {"symbols": symbols, "unknown": [{"symbol": "ß", "count": 3}]}
    content["next"] = {"count": 5, "vocabulary": vocabulary}
    tensors["next.ids"] = np.argsort(draw.random((count, len(vocabulary))), axis=1)[:, :5].astype(np.int32)
    tensors["next.probs"] = (-np.sort(-draw.dirichlet(np.full(8, 0.4), count), axis=1)[:, :5]).astype(np.float32)
    tensors["first.embedding"] = draw.normal(size=(min(4, count), hidden)).astype(np.float32)
    tensors["first.logits"] = draw.normal(size=(min(4, count), 65)).astype(np.float32)
    return content, tensors


def deletion(strength: float, *, is_faithful: bool) -> dict[str, Any]:
    """Return a check of an attribution whose choice hurts by up to `strength`."""
    shares = [0.05, 0.1, 0.2, 0.4]
    return {
        "shares": shares,
        "chosen": [strength * share**0.5 for share in shares],
        "random": [0.5 * share**0.5 for share in shares],
        "standard_error": [0.1, 0.2, 0.3, 0.4],
        "is_faithful": is_faithful,
    }


def probe(cell: str = "lstm", num_layers: int = 2, hidden: int = 24, num_steps: int = 24) -> dict[str, Any]:
    """Return what the probe of the gradient says, with a gradient that falls by a fifth from step to step."""
    steps = list(range(num_steps))
    layer = {
        "kind": cell.upper(),
        "units": hidden,
        "lyapunov": [-0.08, -0.11, -0.2, -0.31],
        "jacobian": {"lags": [1, 2, 4], "singular_values": [[0.9, 0.5], [0.8, 0.4], [0.6, 0.2]]},
        "gates": {
            gate: {"histogram": [0.05] * 20, "low": 0.1, "high": 0.1, "mean": 0.5}
            for gate in GATES[cell][1]
            if gate not in SIGNED
        },
        "time_constants": [1 + 30 * unit / hidden for unit in range(hidden)],
        "saturated": 0.07,
        "dead": 0.0,
    }
    return {
        "num_steps": num_steps,
        "targets": list(steps),
        "sources": list(steps),
        "reach": [[0.8 ** (t - s) if s <= t else None for s in steps] for t in steps],
        "lags": list(steps),
        "by_lag": [0.8**lag for lag in steps],
        "memory_length": 10,
        "truncated": 0.12,
        "layers": [{"name": f"layers.{place}", **layer} for place in range(num_layers)],
    }


def write_inspected(run: RunFolder, content: dict[str, Any], tensors: dict[str, Any]) -> RunFolder:
    """Write the two files of an inspection into a run folder."""
    # Escaped, for a file can hold a lone surrogate only so.
    (run.path / "inspect.json").write_text(json.dumps(content), encoding="utf-8")
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, run.path / "inspect.safetensors")
    return run


@pytest.fixture
def inspected(tmp_path: Path) -> Callable[..., RunFolder]:
    """Return a function that makes a run with an inspection, of which `change` alters the two files."""
    places = itertools.count()

    def make(
        change: Callable[[dict[str, Any], dict[str, Any]], None] = lambda content, tensors: None, **options: Any
    ) -> RunFolder:
        content, tensors = inspection(**options)
        change(content, tensors)
        return write_inspected(write_run(tmp_path / str(next(places)) / "run"), content, tensors)

    return make


@pytest.fixture(scope="session")
def inspected_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run with an inspection of text that the tests share and do not change."""
    return write_inspected(write_run(tmp_path_factory.mktemp("inspection") / "run"), *inspection())


def _unpacked(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    raw = zlib.decompress(base64.b64decode(entry["data"]))
    return np.frombuffer(raw, dtype=np.dtype(entry["type"]).newbyteorder("<")).reshape(entry["shape"])


def _decoded(entry: dict[str, Any], classes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Decode rows as the page's scripts do, a number after the other."""
    expected, frequencies, lengths = (_unpacked(entry[name]) for name in ("expected", "frequencies", "lengths"))
    pairs = zip(entry["words"][::2], entry["words"][1::2], strict=True)
    bits = "".join(f"{ALPHABET.index(high) * 91 + ALPHABET.index(low):013b}" for high, low in pairs)
    words = iter(int(bits[at : at + 16], 2) for at in range(0, len(bits) - 15, 16))
    rows = []
    for number, length in enumerate(lengths):
        own = iter([next(words) for _ in range(length)])
        state, before, row = next(own) << 16 | next(own), 0, []
        for kind in classes:
            frequency = frequencies[int(expected[number, kind]) * 8 + before].astype(int)
            below = np.cumsum(frequency) - frequency
            step = int(np.searchsorted(below + frequency, state % WHOLE, side="right"))
            state = int(frequency[step]) * (state // WHOLE) + state % WHOLE - int(below[step])
            if state < 1 << 16:
                state = state << 16 | next(own)
            row.append(step)
            before = step * 8 // entry["levels"]
        # What is coded begins here, and all that was written has been read.
        assert state == 1 << 16
        assert list(own) == []
        rows.append(row)
    return np.array(rows)


@pytest.fixture(scope="session")
def decoded() -> Callable[..., Any]:
    """Return a function that decodes rows."""
    return _decoded


@pytest.fixture(scope="session")
def shown() -> Callable[..., Any]:
    """Return a function that returns the bytes of each unit of a part that a page carries."""

    def units(
        tracks: Any, layer: int, part: str, is_signed: bool, classes: Any = None
    ) -> dict[int, np.ndarray[Any, Any]]:
        found = {}
        for one in tracks:
            names = [(of["layer"], of["part"], unit) for of in one["of"] for unit in of["units"]]
            if all(name[:2] != (layer, part) for name in names):
                continue
            rows = _decoded(one, np.zeros(300, dtype=np.uint8) if classes is None else classes)
            for name, most, row in zip(names, _unpacked(one["most"]).astype(int), rows, strict=True):
                if name[:2] == (layer, part):
                    middle = one["levels"] // 2 if is_signed else 0
                    found[name[2]] = np.round((row - middle) * most / (middle or max(1, one["levels"] - 1))).astype(int)
        return found

    return units


# --- pages in a browser ------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a browser."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any) -> Callable[..., AbstractContextManager[Any]]:
    """Return a function that opens a page, and fails when that complains or asks for anything but itself."""

    @contextmanager
    def open_page(path: Path, **options: Any) -> Iterator[Any]:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        complaints: list[str] = []
        requests: list[str] = []
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        yield page
        context.close()
        assert complaints == []
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []

    return open_page


@pytest.fixture(scope="session")
def until() -> Callable[[Any, str], None]:
    """Return a function that waits for an expression; Playwright's own needs an `eval` that a page's policy forbids."""

    def wait(page: Any, expression: str) -> None:
        for _ in range(200):
            if page.evaluate(expression):
                return
            page.wait_for_timeout(25)
        raise AssertionError(f"within five seconds this did not become true: {expression}")

    return wait


class Elements(HTMLParser):
    """Collects the elements of a page, their attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")
        if tag in ("th", "td", "dt", "dd", "small", "h3", "h4"):
            self.text += " "

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.found)

    def of_class(self, name: str) -> int:
        return sum(name in (attributes.get("class") or "").split() for _, attributes in self.found)


@pytest.fixture(scope="session")
def parsed() -> Callable[[str], Elements]:
    """Return a function that takes a page apart."""
    return Elements


@pytest.fixture(scope="session")
def said() -> Callable[[str], str]:
    """Return a function that takes a page and returns its text, with single blanks."""
    return lambda page: " ".join(Elements(page).text.split())
