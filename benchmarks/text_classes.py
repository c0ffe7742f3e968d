"""What classifiers of texts reach with the defaults on public data, from the folder that RECUR_DATA names.

`python benchmarks/text_classes.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

import table
from recur import engine
from recur.data.texts.labelled import read_labelled_texts
from recur.data.texts.options import LabelledTextOptions
from recur.measure.layers import threads
from recur.train.options import TextTrainingOptions
from recur.train.texts import train_text_classifier

SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Data, and what a user would have to say of them."""

    name: str
    """File or folder below RECUR_DATA."""
    said: str
    """Of the parts and the classes, for the table."""
    prepared: Callable[[Path, Path, int], Path] = lambda data, folder, seed: data
    """Returns what is trained on, from the data, made in a folder by a seed where the parts are drawn here."""
    label_names: str | None = None
    """File below RECUR_DATA with the names of the classes."""


def drawn_alike(data: Path, folder: Path, seed: int) -> Path:
    """Write a fifth of each class for the test, and of the rest a twentieth to choose by, and return the folder.

    Texts that are there several times are drawn as any others, so that some of the test stand in training too: as such
    names are split elsewhere.
    """
    texts = read_labelled_texts(data)
    labels = np.array([own[0] for own in texts.labels if own])
    random = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for name in texts.classes:
        own = random.permutation(np.flatnonzero(labels == name))
        num_test = round(len(own) / 5)
        num_valid = round((len(own) - num_test) / 20)
        for part, chosen in zip(
            rows, np.split(own, [len(own) - num_test - num_valid, len(own) - num_test]), strict=True
        ):
            rows[part] += chosen.tolist()
    for part, chosen in rows.items():
        lines = [f"{texts.texts[row]}\t{labels[row]}" for row in chosen]
        (folder / f"{part}.tsv").write_text("\n".join(["name\tlanguage", *lines]) + "\n", encoding="utf-8")
    return folder


JOBS = (
    Job(
        name="goemotions",
        said="its own parts; any of 28 emotions",
        label_names="goemotions/labels.txt",
    ),
    Job(name="names", said="a fifth of each language drawn by the seed; 18 languages", prepared=drawn_alike),
    Job(name="names", said="likewise a tenth, with names that come again in one part; 18 languages"),
)


def classes() -> Iterator[dict[str, Any]]:
    """Tell classes with the defaults, nothing but the parts and the names of classes given."""
    for job in JOBS:
        for seed in SEEDS:
            yield told(job, seed)


def told(job: Job, seed: int) -> dict[str, Any]:
    """Train on a job and return what was reached on the test part, beside the linear model."""
    data = Path(os.environ["RECUR_DATA"])
    names = None if job.label_names is None else str(data / job.label_names)
    with tempfile.TemporaryDirectory() as place, threads(engine.num_threads()):
        folder = Path(place) / "texts"
        folder.mkdir()
        source = job.prepared(data / job.name, folder, seed)
        begin = time.perf_counter()
        run = train_text_classifier(
            source,
            out=Path(place) / "run",
            texts=LabelledTextOptions(label_names=names),
            training=TextTrainingOptions(seed=seed),
            console=Console(stderr=True),
        )
        minutes = (time.perf_counter() - begin) / 60
        found, config = run.read_json("label_evaluation.json"), run.config()
        steps = max(row["step"] for row in run.metrics())
        used = torch.get_num_threads()
    figures = found["figures"]
    is_multi = "micro_f1" in figures
    return {
        "what": f"{job.name}, {job.said}, defaults, seed {seed}",
        "data": job.name,
        "said": job.said,
        "seed": seed,
        "tokens": config["tokens"],
        "model": config["model"],
        "training": config["training"],
        "steps": steps,
        "minutes": minutes,
        "threads": used,
        "measure": "macro-F1" if is_multi else "accuracy",
        "figure": figures["macro_f1" if is_multi else "accuracy"],
        "rule": figures["baseline_macro_f1"] if is_multi else figures["rule"]["accuracy"],
        "figures": {name: value for name, value in figures.items() if name not in ("classes", "confusion")},
        "ngrams": found["ngrams"],
        "is_better": found["verdict"]["is_better"],
    }


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("text_classes")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [
        "| data | parts and classes | measure | mean | by seed | linear model | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, said in dict.fromkeys((row["data"], row["said"]) for row in rows):
        own = [row for row in rows if (row["data"], row["said"]) == (name, said)]
        form = ".1%" if own[0]["measure"] == "accuracy" else ".3f"
        cells = [
            f"`{name}`",
            said,
            own[0]["measure"],
            format(sum(row["figure"] for row in own) / len(own), form),
            ", ".join(format(row["figure"], form) for row in own),
            format(sum(row["rule"] for row in own) / len(own), form),
            " to ".join(f"{bound(row['minutes'] for row in own):.1f}" for bound in (min, max)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
