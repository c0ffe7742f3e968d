"""What translators reach with the defaults on public data, from the folder that RECUR_DATA names.

`python benchmarks/text_pairs.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import table
from recur import engine
from recur.data.texts.options import PairOptions
from recur.measure.layers import threads
from recur.models.texts.translator_options import TranslatorOptions
from recur.run import RunFolder
from recur.tasks.translate.evaluation import judge_translator
from recur.tasks.translate.trained import TrainedTranslator
from recur.train.options import PairTrainingOptions
from recur.train.translate import train_translator

SEEDS = (0, 1, 2)
FIVE_SEEDS = (*SEEDS, 3, 4)

LANGUAGES = (
    *("ady", "arm", "bul", "dut", "fre", "geo", "gre", "hin"),
    *("hun", "ice", "jpn", "kor", "lit", "rum", "vie"),
)
"""Of the pronunciations, of 3,600 words each."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Data, and what a user would have to say of them."""

    name: str
    """What it is called in the table; of several that have one name the mean is told."""
    of: str
    """Which of these it is."""
    data: Callable[[Path], tuple[Any, PairOptions]]
    """Returns what is trained on, below the folder of all data, and its parts."""
    model: TranslatorOptions = field(default_factory=TranslatorOptions)
    said: str = "defaults"
    """What was chosen otherwise."""


def of_language(language: str) -> Callable[[Path], tuple[Any, PairOptions]]:
    """Return what finds the words and pronunciations of a language."""

    def found(folder: Path) -> tuple[Any, PairOptions]:
        train, valid, test = (
            str(folder / "sigmorphon2020-g2p" / part / f"{language}_{part}.tsv") for part in ("train", "dev", "test")
        )
        return train, PairOptions(valid_data=valid, test_data=test)

    return found


def of_scan(train: str, test: str) -> Callable[[Path], tuple[Any, PairOptions]]:
    """Return what finds commands and actions."""

    def found(folder: Path) -> tuple[Any, PairOptions]:
        return str(folder / "scan" / train), PairOptions(test_data=str(folder / "scan" / test))

    return found


def pronunciations() -> Iterator[dict[str, Any]]:
    """Tell the pronunciation of words of 15 languages, with the parts given, by five seeds and by all of them."""
    for language in LANGUAGES:
        job = Job(name="sigmorphon2020-g2p", of=language, data=of_language(language))
        with tempfile.TemporaryDirectory() as place:
            runs = []
            for seed in FIVE_SEEDS:
                row, run = trained(job, seed, Path(place) / str(seed))
                runs.append(run)
                yield row
            yield together(job, runs)


def commands() -> Iterator[dict[str, Any]]:
    """Turn commands into actions, by the splits of SCAN."""
    splits = {
        "simple": ("simple_split/tasks_train_simple.txt.gz", "simple_split/tasks_test_simple.txt.gz"),
        "length": ("length_split/tasks_train_length.txt.gz", "length_split/tasks_test_length.txt.gz"),
        "jump": ("add_prim_split/tasks_train_addprim_jump.txt.gz", "add_prim_split/tasks_test_addprim_jump.txt.gz"),
    }
    for name, files in splits.items():
        for seed in SEEDS:
            yield told(Job(name=f"scan, {name} split", of="", data=of_scan(*files)), seed)


def told(job: Job, seed: int) -> dict[str, Any]:
    """Train on a job and return what was reached on the test part, beside the rules."""
    with tempfile.TemporaryDirectory() as place:
        return trained(job, seed, Path(place) / "run")[0]


def trained(job: Job, seed: int, out: Path) -> tuple[dict[str, Any], RunFolder]:
    """Train on a job, and return what was reached on the test part, and the run."""
    data, reading = job.data(Path(os.environ["RECUR_DATA"]))
    with threads(engine.num_threads()):
        begin = time.perf_counter()
        run = train_translator(
            data,
            out=out,
            texts=reading,
            model=job.model,
            training=PairTrainingOptions(seed=seed),
            console=Console(stderr=True),
        )
        minutes = (time.perf_counter() - begin) / 60
        used = torch.get_num_threads()
    config = run.config()
    row = {
        "what": f"{job.name} {job.of}, {job.said}, seed {seed}",
        "data": job.name,
        "of": job.of,
        "said": job.said,
        "seed": seed,
        "tokens": config["tokens"],
        "model": config["model"],
        "training": config["training"],
        "steps": max(line["step"] for line in run.metrics()),
        "minutes": minutes,
        "threads": used,
        **figures_of(run.read_json("translate_evaluation.json")),
    }
    return row, run


def together(job: Job, runs: list[RunFolder]) -> dict[str, Any]:
    """Return what the translators of several runs reach on the test part when they write together."""
    translators = [TrainedTranslator.load(run) for run in runs]
    pairs = translators[0].setup.own_examples()
    joined = TrainedTranslator.joined(translators)
    found = judge_translator(joined, pairs.of_part("test"), "test", train=pairs.of_part("train"))
    return {
        "what": f"{job.name} {job.of}, {len(runs)} seeds together",
        "data": job.name,
        "of": job.of,
        "said": f"{len(runs)} seeds together",
        "seed": None,
        "steps": 0,
        "minutes": None,
        **figures_of(found),
    }


def figures_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a row tells of a judgement."""
    return {
        "measure": "exact match",
        "figure": found["figures"]["exact"],
        "figures": found["figures"],
        "perplexity": found["likelihood"]["perplexity"],
        "baselines": {rule["name"]: rule["figures"] for rule in found["baselines"]},
        "is_better": found["verdict"]["is_better"],
    }


def markdown(name: str) -> str:
    """Return the table of the newest result of that name: exact match by data, the mean over what they are of."""
    path = table.newest(name)
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = ["| data | model | exact match | by seed | best rule | minutes |", "| --- | --- | --- | --- | --- | --- |"]
    for data, said in dict.fromkeys((row["data"], row["said"]) for row in rows):
        own = [row for row in rows if (row["data"], row["said"]) == (data, said)]
        by_seed = [
            _mean([row["figure"] for row in own if row["seed"] == seed])
            for seed in dict.fromkeys(row["seed"] for row in own)
        ]
        minutes = [row["minutes"] for row in own if row["minutes"] is not None]
        rule = _mean([max(figures["exact"] for figures in row["baselines"].values()) for row in own])
        cells = [
            f"`{data}`",
            said,
            f"{_mean(by_seed):.1%}",
            ", ".join(f"{one:.1%}" for one in by_seed),
            f"{rule:.1%}",
            " to ".join(f"{bound(minutes):.1f}" for bound in (min, max)) if minutes else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    for each in ("pronunciations", "commands"):
        if table.newest(each) is not None:
            print(f"{markdown(each)}\n")
