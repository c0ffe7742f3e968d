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
import text_puzzles
from recur import engine
from recur.data.texts.options import PairOptions
from recur.data.texts.token_options import PairTokenOptions
from recur.measure.layers import threads
from recur.run import RunFolder
from recur.tasks.translate.evaluation import judge_translator
from recur.tasks.translate.trained import TrainedTranslator
from recur.train.options import PairTrainingOptions
from recur.train.translate import train_translator

SEEDS = (0, 1, 2)
FIVE_SEEDS = (*SEEDS, 3, 4)

TITLES = {"exact": "exact match", "chrf": "chrF", "bleu": "BLEU", "perplexity": "perplexity"}

_FOLDERS = {"simple": "simple_split", "length": "length_split", "addprim_jump": "add_prim_split"}
_PARTS = {"train": ".gz", "dev": "", "test": ""}

LANGUAGES = (
    *("ady", "arm", "bul", "dut", "fre", "geo", "gre", "hin"),
    *("hun", "ice", "jpn", "kor", "lit", "rum", "vie"),
)
"""Of the pronunciations, of 3,600 words each."""


Found = Callable[[Path, int], tuple[Any, PairOptions]]
"""Returns what is trained on, by an empty folder for what is made here and by the seed, and how that is read."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Data, and what a user would have to say of them."""

    name: str
    """What it is called in the table; of several that have one name the mean is told."""
    of: str
    """Which of these it is."""
    data: Found
    """Returns what is trained on, and its parts."""
    measures: tuple[str, ...] = ("exact",)
    """Scores that are told, the first one by itself; or "perplexity"."""
    tokens: PairTokenOptions = field(default_factory=PairTokenOptions)
    said: str = "defaults"
    """What was chosen otherwise."""


def given(train: str, **parts: str) -> Found:
    """Return what finds files of all data; those of one part that belong together have a comma between them."""

    def found(place: Path, seed: int) -> tuple[Any, PairOptions]:
        def whole(names: str) -> list[str]:
            return [str(Path(os.environ["RECUR_DATA"]) / name) for name in names.split(",")]

        return whole(train), PairOptions(**{f"{part}_data": ",".join(whole(names)) for part, names in parts.items()})

    return found


def of_language(language: str) -> Found:
    """Return what finds the words and pronunciations of a language."""
    train, valid, test = (f"sigmorphon2020-g2p/{part}/{language}_{part}.tsv" for part in ("train", "dev", "test"))
    return given(train, valid=valid, test=test)


def of_puzzle(name: str) -> Found:
    """Return what makes the pairs of a puzzle, anew for each seed."""

    def found(place: Path, seed: int) -> tuple[Any, PairOptions]:
        paths: dict[str, list[str]] = {}
        for part, sides in text_puzzles.parts(name, seed).items():
            for side, texts in zip(("source", "target"), sides, strict=True):
                path = place / f"{part}.{side}"
                path.write_text("\n".join(texts) + "\n", encoding="utf-8")
                paths.setdefault(part, []).append(str(path))
        return paths["train"], PairOptions(valid_data=",".join(paths["valid"]), test_data=",".join(paths["test"]))

    return found


def of_turns(place: Path, seed: int) -> tuple[Any, PairOptions]:
    """Return conversations, each turn to be told from the two before it."""
    return str(Path(os.environ["RECUR_DATA"]) / "chatterbot-corpus" / "english"), PairOptions(history=2)


def pronunciations() -> Iterator[dict[str, Any]]:
    """Tell the pronunciation of words of 15 languages, with the parts given, by five seeds and by all of them."""
    for language in LANGUAGES:
        job = Job(name="sigmorphon2020-g2p", of=language, data=of_language(language))
        with tempfile.TemporaryDirectory() as place:
            runs = []
            for seed in FIVE_SEEDS:
                own = Path(place) / str(seed)
                own.mkdir()
                row, run = trained(job, seed, own)
                runs.append(run)
                yield row
            yield together(job, runs)


def commands() -> Iterator[dict[str, Any]]:
    """Turn commands into actions, by the splits of SCAN."""
    for split in ("simple", "length", "addprim_jump"):
        train, test = (f"scan/{_FOLDERS[split]}/tasks_{part}_{split}.txt.gz" for part in ("train", "test"))
        job = Job(name=f"scan, {split.rpartition('_')[2]} split", of="", data=given(train, test=test))
        yield from (told(job, seed) for seed in SEEDS)


def puzzles() -> Iterator[dict[str, Any]]:
    """Find the rule of texts that a program made."""
    for name in text_puzzles.PUZZLES:
        job = Job(name=f"{name}, made", of="", data=of_puzzle(name))
        yield from (told(job, seed) for seed in SEEDS)


def sentences() -> Iterator[dict[str, Any]]:
    """Translate English sentences into Japanese ones."""
    train, valid, test = (f"enja-tanaka/{part}.en{end},enja-tanaka/{part}.ja{end}" for part, end in _PARTS.items())
    data = given(train, valid=valid, test=test)
    by_letters = PairTokenOptions(target_tokens="character")
    for said, tokens in (("defaults", PairTokenOptions()), ("targets by character", by_letters)):
        job = Job(
            name="enja-tanaka", of="", data=data, measures=("chrf", "bleu", "perplexity"), said=said, tokens=tokens
        )
        yield from (told(job, seed) for seed in SEEDS)


def conversations() -> Iterator[dict[str, Any]]:
    """Answer turns of conversations."""
    job = Job(name="chatterbot-corpus", of="", data=of_turns, measures=("perplexity",))
    yield from (told(job, seed) for seed in SEEDS)


def told(job: Job, seed: int) -> dict[str, Any]:
    """Train on a job and return what was reached on the test part, beside the rules."""
    with tempfile.TemporaryDirectory() as place:
        return trained(job, seed, Path(place))[0]


def trained(job: Job, seed: int, place: Path) -> tuple[dict[str, Any], RunFolder]:
    """Train on a job in an empty folder, and return what was reached on the test part, and the run."""
    data, reading = job.data(place, seed)
    with threads(engine.num_threads()):
        begin = time.perf_counter()
        run = train_translator(
            data,
            out=place / "run",
            texts=reading,
            tokens=job.tokens,
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
        **figures_of(job, run.read_json("translate_evaluation.json")),
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
        **figures_of(job, found),
    }


def figures_of(job: Job, found: dict[str, Any]) -> dict[str, Any]:
    """Return what a row tells of a judgement."""
    figures = found["figures"] | {"perplexity": found["likelihood"]["perplexity"]}
    rules = {rule["name"]: rule["figures"] for rule in found["baselines"]}
    rules["trigram"] = {"perplexity": found["likelihood"]["trigram_perplexity"]}
    return {
        "measure": TITLES[job.measures[0]],
        "measures": job.measures,
        "figure": figures[job.measures[0]],
        "figures": figures,
        "baselines": rules,
        "is_better": found["verdict"]["is_better"],
    }


def markdown(name: str) -> str:
    """Return the table of the newest result of that name, by data the mean over what they are of."""
    path = table.newest(name)
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = ["| data | model | measure | mean | by seed | beside it | minutes |", "| --- " * 7 + "|"]
    for data, said in dict.fromkeys((row["data"], row["said"]) for row in rows):
        own = [row for row in rows if (row["data"], row["said"]) == (data, said)]
        minutes = [row["minutes"] for row in own if row["minutes"] is not None]
        for measure in own[0]["measures"]:
            form = ".2%" if measure == "exact" else ".1f"
            by_seed = [
                _mean([row["figures"][measure] for row in own if row["seed"] == seed])
                for seed in dict.fromkeys(row["seed"] for row in own)
            ]
            rules = {
                rule: _mean([row["baselines"][rule][measure] for row in own])
                for rule, figures in own[0]["baselines"].items()
                if measure in figures
            }
            cells = [
                f"`{data}`",
                said,
                TITLES[measure],
                format(_mean(by_seed), form),
                ", ".join(format(one, form) for one in by_seed),
                ", ".join(f"{rule} {value:{form}}" for rule, value in rules.items()),
                " to ".join(f"{bound(minutes):.1f}" for bound in (min, max)) if minutes else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def markdown_by_language(name: str = "pronunciations") -> str:
    """Return how many words of each language are wrong, of the newest result of that name, and in the mean."""
    path = table.newest(name)
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    models = list(dict.fromkeys(row["said"] for row in rows))
    wrong = {
        language: [
            _mean([1 - row["figures"]["exact"] for row in rows if (row["of"], row["said"]) == (language, said)])
            for said in models
        ]
        for language in dict.fromkeys(row["of"] for row in rows)
    }
    wrong["mean"] = [_mean([own[model] for own in wrong.values()]) for model in range(len(models))]
    lines = [f"| {' | '.join(['wrong words', *models])} |", "| --- " * (len(models) + 1) + "|"]
    lines += [f"| {' | '.join([language, *(f'{one:.2%}' for one in own)])} |" for language, own in wrong.items()]
    return "\n".join(lines)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    for each in ("pronunciations", "commands", "puzzles", "sentences", "conversations"):
        if table.newest(each) is not None:
            print(f"{markdown(each)}\n")
    if table.newest("pronunciations") is not None:
        print(markdown_by_language())
