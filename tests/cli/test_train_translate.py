"""From pairs of texts to a translator, on the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recur.cli.main import main

VERBS = {"jump": "JUMP", "walk": "WALK", "run": "RUN", "look": "LOOK", "swim": "SWIM"}
TIMES = {"once": 1, "twice": 2}
PAIRS = [
    (f"{one} {often} and {other} {again}", " ".join([VERBS[one]] * TIMES[often] + [VERBS[other]] * TIMES[again]))
    for one, often, other, again in product(VERBS, TIMES, VERBS, TIMES)
]
SMALL = ("--max-steps", "12", "--hidden-size", "8", "--embedding-size", "8", "--no-report")


def write(path: Path | str, texts: list[str]) -> None:
    Path(path).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def make(folder: Path) -> None:
    """Write parallel files, others to judge on, new sources, and a run."""
    sources, targets = map(list, zip(*PAIRS, strict=True))
    write(folder / "train.en", sources)
    write(folder / "train.ja", targets)
    write(folder / "other.en", sources[:7])
    write(folder / "other.ja", targets[:7])
    write(folder / "new.txt", ["look twice and run once", "fly once and swim twice"])
    with chdir(folder):
        assert main(["train", "train.en", "train.ja", "--out", "run", *SMALL]) == 0


@pytest.fixture
def trained(
    made_once: Callable[[str, Callable[[Path], None]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of what `make` makes, which is the working folder."""
    made = made_once("translated", make)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    # The copy's own files, as if it had been trained here.
    schema = tmp_path / "run" / "schema.json"
    schema.write_text(schema.read_text().replace(str(made), str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_files_become_a_translator(trained: Path, recur: Any) -> None:
    result = recur("train", "train.en", "train.ja", "--out", "again", *SMALL)
    assert result.code == 0, result.err
    said = result.err.splitlines()
    assert said[0] == "task     translate, as the lines of train.en belong to those of train.ja; --task chooses another"
    assert "texts    100 pairs: 80 to train on, 10 to choose by, 10 to test" in said
    assert "source   what stands between blanks, as 8 different things stand between blanks; 8 are known" in said
    assert "target   what stands between blanks, as 5 different things stand between blanks; 5 are known" in said
    assert any(line.startswith("model    LSTM 1 x 8, sources in both directions, general attention, ") for line in said)
    lines = result.out.splitlines()
    # The verdict first, then the figures, then what to do next.
    assert "on 10 texts of the test part" in lines[0]
    assert any(line.startswith("exact match ") for line in lines)
    assert not any(line.startswith(("report", "talk")) for line in lines)
    assert lines[-3:] == [
        "predict  recur predict again new.txt",
        'explain  recur inspect again --input "a text"',
        "judge    recur evaluate again",
    ]
    # The same as the run that was trained before, bit for bit.
    first, second = (json.loads(Path(run, "translate_evaluation.json").read_text()) for run in ("run", "again"))
    assert first == second


def test_a_run_is_judged_again_and_on_other_pairs(trained: Path, recur: Any) -> None:
    judged = recur("evaluate", "run", "--json")
    assert judged.code == 0, judged.err
    kept = json.loads(Path("run/translate_evaluation.json").read_text())
    assert json.loads(judged.out)["figures"] == kept["figures"]
    assert json.loads(judged.out)["notes"] == kept["notes"]
    shown = recur("evaluate", "run", "other.en", "other.ja")
    assert shown.code == 0, shown.err
    assert "on 7 texts of the data given" in shown.out.splitlines()[0]
    write("other.tsv", [f"{source}\t{target}" for source, target in PAIRS[:7]])
    assert recur("evaluate", "run", "other.tsv").out.splitlines()[0] == shown.out.splitlines()[0]


def test_new_texts_become_a_table(trained: Path, recur: Any) -> None:
    result = recur("predict", "run", "new.txt", "--num-best", "3", "--out", "told.csv")
    assert result.code == 0, result.err
    told = pl.read_csv("told.csv")
    assert told.columns == ["source", "rank", "target", "score", "ended"]
    assert told["source"].to_list() == [*["look twice and run once"] * 3, *["fly once and swim twice"] * 3]
    assert told["rank"].to_list() == [1, 2, 3, 1, 2, 3]
    for scores in (told["score"][:3].to_list(), told["score"][3:].to_list()):
        assert scores == sorted(scores, reverse=True)
    best = recur("predict", "run", "new.txt", "--out", "best.csv")
    assert best.code == 0, best.err
    assert pl.read_csv("best.csv").equals(told.filter(rank=1).drop("rank"))
    write("new.tsv", ["source\tnumber", "look twice and run once\t1", "fly once and swim twice\t2"])
    assert recur("predict", "run", "new.tsv", "--out", "table.csv").code == 0
    assert Path("table.csv").read_text() == Path("best.csv").read_text()


def test_more_answers_than_beams_take_more_beams(trained: Path, recur: Any) -> None:
    assert recur("predict", "run", "new.txt", "--num-best", "7", "--out", "seven.csv").code == 0
    assert pl.read_csv("seven.csv")["rank"].to_list() == [*range(1, 8)] * 2
    refused = recur("predict", "run", "new.txt", "--num-best", "7", "--beams", "3")
    assert refused.code == 2
    assert "num_best is 7, and a search with 3 beams need not find more than 3" in refused.complaint


def test_texts_are_drawn_by_a_seed(trained: Path, recur: Any) -> None:
    given = ("predict", "run", "new.txt", "--temperature", "1", "--num-best", "4")
    one, same, other = (recur(*given, "--seed", seed) for seed in (1, 1, 2))
    assert one.code == 0, one.err
    assert one.out == same.out != other.out


def test_only_the_likeliest_are_drawn(trained: Path, recur: Any) -> None:
    greedy = recur("predict", "run", "new.txt", "--beams", "1", "--length-penalty", "none")
    for option in ("--top-k", "--top-p"):
        drawn = recur("predict", "run", "new.txt", option, "1e-9" if option == "--top-p" else "1")
        assert drawn.code == 0, drawn.err
        assert [line.split("  ")[:2] for line in drawn.out.splitlines()] == [
            line.split("  ")[:2] for line in greedy.out.splitlines()
        ]


def test_what_answers_must_and_must_not_hold(trained: Path, recur: Any) -> None:
    result = recur("predict", "run", "new.txt", "--required", "JUMP,WALK", "--forbidden", "LOOK", "--out", "told.csv")
    assert result.code == 0, result.err
    for answer in pl.read_csv("told.csv")["target"]:
        assert {"JUMP", "WALK"} <= set(answer.split())
        assert "LOOK" not in answer
    assert pl.read_csv("told.csv")["missing"].to_list() == [None, None]
    assert all(line.endswith(",") for line in Path("told.csv").read_text().splitlines()[1:])
    assert "None" not in recur("predict", "run", "new.txt", "--required", "JUMP,WALK").out
    assert "without some of what is required" not in result.err
    short = recur("predict", "run", "new.txt", "--required", "JUMP,WALK RUN", "--max-length", "2", "--out", "short.csv")
    assert short.code == 0, short.err
    assert "2 of 2 answers without some of what is required, which does not fit into the most tokens" in short.err
    assert all(pl.read_csv("short.csv")["missing"].str.contains("JUMP|WALK RUN"))


def test_how_long_answers_are(trained: Path, recur: Any) -> None:
    given = ("predict", "run", "new.txt", "--out", "long.csv")
    assert recur(*given, "--min-length", "9", "--max-length", "9").code == 0
    assert [len(text.split()) for text in pl.read_csv("long.csv")["target"]] == [9, 9]
    assert recur(*given, "--overwrite", "--max-length", "2").code == 0
    assert max(len(text.split()) for text in pl.read_csv("long.csv")["target"]) <= 2
    # Beyond what is allowed where nothing is said.
    assert recur(*given, "--overwrite", "--min-length", "40").code == 0
    assert [len(text.split()) for text in pl.read_csv("long.csv")["target"]] == [40, 40]


def test_other_data_may_be_written_otherwise(trained: Path, recur: Any) -> None:
    for path in ("other.en", "other.ja", "new.txt"):
        text = Path(path).read_text().replace("fly", "flý").replace("jump", "júmp").replace("JUMP", "JÚMP")
        Path(path).write_text(text, encoding="cp1252")
    given = ("--encoding", "cp1252")
    assert "on 7 texts of the data given" in recur("evaluate", "run", "other.en", "other.ja", *given).out
    told = recur("predict", "run", "new.txt", *given)
    assert told.code == 0, told.err
    assert "flý once and swim twice" in told.out
    Path("table.csv").write_text("fly once and swim twice^JUMP\nlook^LOOK\n")
    told = recur("predict", "run", "table.csv", "--separator", "^", "--has-header", "false", "--out", "table.jsonl")
    assert told.code == 0, told.err
    assert pl.read_ndjson("table.jsonl")["source"].to_list() == ["fly once and swim twice", "look"]
    refused = recur("evaluate", "run", "other.en", "other.ja")
    assert refused.code == 1
    assert "other.en" in refused.complaint
    assert "utf-8" in refused.complaint.lower()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("predict", "run", "new.txt", "--horizon", "3"),
            2,
            "horizon is of forecast runs, and this is one of",
        ),
        (
            ("predict", "run", "new.txt", "--paths", "3"),
            2,
            "paths is of forecast runs, and this is one of",
        ),
        (
            ("predict", "run", "new.txt", "--seed", "3"),
            2,
            "seed: would be ignored, as nothing is drawn",
        ),
        (
            ("predict", "run", "new.txt", "--temperature", "1", "--beams", "2"),
            2,
            "beams is of a beam search",
        ),
        (("predict", "run", "new.txt", "--top-k", "0"), 2, "top_k must be a whole number from 1 on, not 0"),
        (
            ("predict", "run", "new.txt", "--required", "JUMP", "--top-k", "3", "--temperature", "2"),
            2,
            "tokens are drawn. Leave --temperature and --top-k out, or --required.",
        ),
        (("predict", "run", "new.txt", "--temperature", "1", "--seed", "-3"), 2, "seed must be a whole number from 0"),
        (("predict", "run", "new.txt", "--temperature", "1", "--seed", "1" * 30), 2, "seed must be a whole number"),
        (
            ("predict", "run", "new.txt", "--max-length", "1" * 30),
            2,
            "max_length must be 1,000,000,000 or less, not 111",
        ),
        (("predict", "run", "new.txt", "--required", "zebra"), 2, "required: 'zebra' is not made of tokens"),
        (("predict", "run", "new.txt", "--required", "JUMP", "--forbidden", "JUMP"), 2, "which are forbidden"),
        (("predict", "run", "new.txt", "--max-length", "0"), 2, "max_length must be a whole number from 1 on, not 0"),
        (("predict", "run", "new.txt", "--beams", "0"), 2, "beams must be a whole number from 1 on, not 0"),
        (("predict", "run", "new.txt", "--stream"), 2, ""),
        (("predict", "run", "new.txt", "--forbidden", ","), 2, "forbidden: ',' has an empty text"),
        (("predict", "run", "nowhere.txt"), 1, "nowhere.txt: no such file"),
        (("generate", "run"), 1, "which writes from texts; give them to recur predict run"),
        (("evaluate", "run", "--stride", "2"), 2, "stride is of forecast runs, and this is one of task translate"),
        (
            ("evaluate", "run", "--encoding", "cp1252"),
            2,
            "encoding is of other data; give DATA",
        ),
        (
            ("evaluate", "run", "other.en"),
            1,
            "other.en: has one text on each line; give the",
        ),
        (
            ("evaluate", "run", "other.en", "other.ja", "--separator", ";"),
            2,
            "separator: says nothing of parallel files, which the data are; leave --separator out",
        ),
        (("generate", "run"), 1, "is a run of task 'translate'"),
        (("inspect", "run", "--series", "a"), 2, "series is of classify, regress, forecast and detect runs"),
        (("train", "train.en", "--task", "translate"), 1, "train.en: has one text on each line; give the file of the"),
        (
            ("train", "train.en,train.ja"),
            1,
            "train.en,train.ja: no such file or folder; give several ones by themselves",
        ),
        (("train", "train.en", "train.ja", "--window", "9"), 2, "window"),
        (("train", "train.en", "train.ja", "--valid-data", "other.en,nowhere.ja"), 1, "nowhere.ja: no such file"),
        (("train", "train.en", "train.ja", "--attention", "none", "--copying"), 2, "copying needs to know where"),
    ],
)
def test_what_makes_no_sense(trained: Path, recur: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = recur(*arguments)
    assert (result.code, said in result.complaint) == (code, True), result.err


def test_parts_of_their_own(trained: Path, recur: Any) -> None:
    given = ("--valid-data", "other.en,other.ja", "--test-data", "other.en, other.ja")
    result = recur("train", "train.en", "train.ja", *given, "--out", "own", *SMALL)
    assert result.code == 0, result.err
    assert "texts    114 pairs: 100 to train on, 7 to choose by, 7 to test" in result.err
    assert "on 7 texts of the test part" in result.out
    # The run finds them from another folder too.
    Path("elsewhere").mkdir()
    with chdir("elsewhere"):
        assert recur("evaluate", "../own", "--json").code == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.ja", b"JUMP\nWALK\n", "train.en has 100 lines, but train.ja has 2; each line of one must belong to"),
        ("train.ja", b"JUMP \xff\n" * 100, "train.ja"),
        ("train.ja", b"", "train.ja"),
        ("train.ja", b"\n" * 100, "train.ja"),
    ],
)
def test_files_that_are_spoilt(trained: Path, recur: Any, name: str, content: bytes, said: str) -> None:
    Path(name).write_bytes(content)
    result = recur("train", "train.en", "train.ja", "--out", "spoilt", *SMALL)
    assert result.code == 1
    assert said in result.complaint
    assert not Path("spoilt").exists()


def test_a_stopped_training_goes_on(trained: Path, recur: Any) -> None:
    result = recur("train", "--resume", "run", "--max-steps", "14")
    assert result.code == 0, result.err
    assert "on 10 texts of the test part" in result.out.splitlines()[0]
    steps = [json.loads(line).get("step") for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert max(step for step in steps if step is not None) >= 13
    write("train.ja", ["WALK"] * 100)
    refused = recur("train", "--resume", "run", "--max-steps", "16")
    assert refused.code == 1
    assert "changed" in refused.complaint


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("pairs.tsv",), "pairs.tsv has two columns of text"),
        (("tasks.txt",), "tasks.txt has lines of IN: and OUT:"),
        (("talk.yml",), "talk.yml holds conversations"),
        (("talk.jsonl",), "talk.jsonl holds conversations"),
        (("src-train.txt", "tgt-train.txt"), "the lines of src-train.txt belong to those of tgt-train.txt"),
    ],
)
def test_the_task_is_guessed(trained: Path, recur: Any, names: tuple[str, ...], reason: str) -> None:
    write("pairs.tsv", ["command\tactions", *(f"{source}\t{target}" for source, target in PAIRS)])
    write("tasks.txt", [f"IN: {source} OUT: {target}" for source, target in PAIRS])
    turns = [[f"how are you {number}", f"fine, and you {number}", "fine"] for number in range(20)]
    write("talk.yml", ["conversations:", *(f"- - {one}\n  - {two}\n  - {end}" for one, two, end in turns)])
    write("talk.jsonl", [json.dumps({"turns": one}) for one in turns])
    write("src-train.txt", [source for source, _ in PAIRS])
    write("tgt-train.txt", [target for _, target in PAIRS])
    result = recur("train", *names, "--test", "999", "--out", "guessed", *SMALL)
    assert result.err.splitlines()[0] == f"task     translate, as {reason}; --task chooses another"
