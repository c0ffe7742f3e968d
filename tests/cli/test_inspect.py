from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from recur import report
from recur.cli.inspect import build_parser
from recur.inspection_format import MAX_SYMBOLS
from recur.run import RunFolder
from recur.tasks.language.trained import load
from recur.train.table import TASKS

SHORT = "The river ran past a mill."


@pytest.fixture
def drawn() -> None:
    """Where a test asks for it, pages are drawn."""


@pytest.fixture(autouse=True)
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pages are not drawn here, only noted: their titles, in order."""
    titles: list[str] = []
    if "drawn" in request.fixturenames:
        return titles

    def write_inspection(folder: RunFolder, **options: Any) -> Path:
        titles.append(folder.read_json("inspect.json")["title"])
        assert folder.has("inspect.safetensors")
        return folder.path / "inspect.html"

    def write_report(folder: RunFolder) -> Path:
        return folder.path / "report.html"

    monkeypatch.setattr(report, "write_inspection", write_inspection, raising=False)
    monkeypatch.setattr(report, "write_report", write_report)
    return titles


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("run/inspect.json").read_bytes())
    return found


def test_the_page_shows_what_was_found(copied: Path, recur: Any, drawn: None) -> None:
    text = Path("text.txt").read_text()[:700]
    Path("own.txt").write_text(text)
    result = recur("inspect", "run", "--input", "own.txt")
    assert (result.code, result.err) == (0, "")
    content = stored()
    page = re.sub(r"<(script|style)\b.*?</\1>", "", Path("run/inspect.html").read_text(), flags=re.DOTALL)
    shown = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert text in shown
    for wanted in (content["title"], content["model"]["name"], *(each["name"] for each in content["properties"])):
        assert wanted in shown
    for method in content["attribution"]["methods"]:
        assert method["name"] in shown
        assert f"{method['deletion']['chosen'][2]:.2f} nats" in shown
    for finding in content["diagnosis"]:
        assert all(part in shown for part in finding.values())
    best = next(line for line in result.out.splitlines() if line.startswith("unit"))
    place = re.search(r"layers\.\d \w \d+", best)
    assert place is not None
    assert place[0] in shown
    assert 'href="inspect.html"' in Path("run/report.html").read_text()
    for name in ("states", "trajectory", "unit", "reach", "reach_by_lag", "gates", "attribution"):
        assert Path(f"run/inspect_{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_text_that_was_held_out(copied: Path, recur: Any, pages: list[str]) -> None:
    result = recur("inspect", "run")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert re.match(r"text     the text held out for the test: \d\.\d{3} nats per character$", lines[0])
    assert lines[-2:] == ["page     run/inspect.html", "report   run/report.html"]
    assert {line[:8].strip() for line in lines} <= {"text", "unit", "rests on", "found", "page", "report"}
    text = "".join(stored()["symbols"])
    assert text in Path("text.txt").read_text()
    assert pages == ["the text held out for the test"]


def test_what_is_printed_is_what_was_found(copied: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "text.txt")
    content = stored()
    held = [
        # The first is the best on the half that was searched, whatever it reaches on the other.
        (each, found[0])
        for each in content["properties"]
        if (found := [unit for unit in each["units"] if unit["verdict"] == "holds"])
    ]
    expected = [
        f"unit     {each['name']}: layers.{unit['layer']} {unit['part']} {unit['unit']}, {unit['held_out']:.2f} on "
        f"held-out text (by chance {each['chance']:.2f})"
        for each, unit in held
    ]
    printed = [line for line in result.out.splitlines() if line.startswith("unit")]
    assert len(held) > 6
    assert any(
        unit["held_out"] < max(one["held_out"] for one in each["units"] if one["verdict"] == "holds")
        for each, unit in held[:6]
    )
    assert printed == [*expected[:6], "unit     the others are on the page"]
    methods = [line for line in result.out.splitlines() if line.startswith("rests on")]
    for line, method in zip(methods, content["attribution"]["methods"], strict=True):
        deletion = method["deletion"]
        assert line == (
            f"rests on {method['name']}: deleting the 20% that it calls most important costs "
            f"{deletion['chosen'][2]:.2f} nats, at random {deletion['random'][2]:.2f}"
            + ("" if deletion["is_faithful"] else "; NOT to be believed here")
        )
    found = [line for line in result.out.splitlines() if line.startswith("found")]
    assert found == [
        f"found    {each['name']}: {each['what']} {each['evidence']} {each['advice']}" for each in content["diagnosis"]
    ]


def test_what_its_training_said_is_said_again(copied: Path, recur: Any) -> None:
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    ill = [row | {"clipped": 1.0, "removed": 0.5} if row["kind"] == "train" else row for row in rows]
    Path("run/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ill))
    result = recur("inspect", "run", "--input", SHORT * 2)
    (found,) = [line for line in result.out.splitlines() if line.startswith("found    clipping")]
    assert "The gradient is clipped in 100% of the steps, and loses 50% of its norm." in found
    assert "clipping always active" in [each["name"] for each in stored()["diagnosis"]]


def test_it_says_of_which_weights_it_tells(copied: Path, recur: Any) -> None:
    recur("inspect", "run", "--input", SHORT)
    folder = RunFolder("run")
    assert stored()["weights"] == folder.weights_checksum()
    weights = folder.load_weights()
    folder.save_weights(weights | {"output.bias": weights["output.bias"] + 1e-3})
    assert stored()["weights"] != folder.weights_checksum()


def test_a_text_of_ones_own(copied: Path, recur: Any, pages: list[str]) -> None:
    Path("own.txt").write_text("the miller €€")
    for given, title in (("the miller €€", "your text"), ("own.txt", "own.txt")):
        result = recur("inspect", "run", "--input", given)
        assert result.code == 0, result.err
        content = stored()
        assert content["title"] == title
        losses = -load("run").log_probs("the miller €€", unknown="map")
        assert content["losses"] == pytest.approx(losses.tolist(), abs=1e-4)
        assert content["symbols"] == list("the miller €€")
        assert content["unknown"] == [{"symbol": "€", "count": 2}]
        assert result.out.splitlines()[:3] == [
            f"text     {title}: {losses.mean():.3f} nats per character",
            "unknown  2 characters that the model does not know: '€'",
            "unit     none follows a property better than chance",
        ]
    assert pages == ["your text", "own.txt"]


def test_a_long_text_is_cut(copied: Path, recur: Any) -> None:
    assert f"of a long one the first {MAX_SYMBOLS:,} symbols" in " ".join(build_parser().format_help().split())
    result = recur("inspect", "run", "--input", "the mill " * 600)
    title = "your text, the first 5,000 of 5,400 characters"
    assert re.match(rf"text     {title}: \d\.\d{{3}} nats per character\n", result.out)
    content = stored()
    assert (content["title"], content["cut"]) == ("your text", "the first 5,000 of 5,400 characters")
    assert len(content["losses"]) == 5000


def test_labels_of_ones_own(copied: Path, recur: Any) -> None:
    text = Path("text.txt").read_text()[:1500]
    Path("own.txt").write_text(text)
    Path("blanks.txt").write_text("".join(str(int(character == " ")) for character in text))
    result = recur("inspect", "run", "--input", "own.txt", "--labels", "blanks.txt")
    assert result.code == 0, result.err
    own = stored()["properties"][-1]
    assert (own["key"], own["share"]) == ("label", pytest.approx(text.count(" ") / 1500, abs=1e-4))
    first = next(line for line in result.out.splitlines() if line.startswith("unit"))
    assert re.match(
        r"unit     your label: layers\.\d [hcifgo] \d+, \d\.\d\d on held-out text \(by chance \d\.\d\d\)$", first
    )
    Path("nothing.json").write_text(json.dumps([0.0] * 1499 + [1.0]))
    result = recur("inspect", "run", "--input", "own.txt", "--labels", "nothing.json")
    assert "unit     your label: too rare in this text to judge\n" in result.out


def test_labels_that_do_not_fit(copied: Path, recur: Any) -> None:
    Path("own.txt").write_text(SHORT)
    for content, line in (
        (
            "0\n1\n0\n",
            "recur: labels: there are 3 labels for 26 characters, of which 26 symbols are shown; give one a ",
        ),
        ("0" * 26, "recur: labels.txt: all labels are 0.0; give two kinds.\n"),
    ):
        Path("labels.txt").write_text(content)
        result = recur("inspect", "run", "--input", "own.txt", "--labels", "labels.txt")
        assert result.code == 1
        assert result.err.startswith(line)
    result = recur("inspect", "run", "--input", "own.txt", "--labels", "none.txt")
    assert (result.code, result.err) == (1, "recur: none.txt: no such file of labels; check the path.\n")
    result = recur("inspect", "run", "--labels", "labels.txt")
    message = "recur: labels are of the text that --input gives; give --input, or leave --labels out.\n"
    assert (result.code, result.err) == (2, message)
    assert not Path("run/inspect.json").exists()


def test_the_same_seed_writes_the_same(copied: Path, recur: Any) -> None:
    written = []
    for seed in (0, 0, 1):
        recur("inspect", "run", "--input", SHORT * 4, "--seed", seed)
        written.append((Path("run/inspect.json").read_bytes(), Path("run/inspect.safetensors").read_bytes()))
    assert written[0] == written[1]
    assert written[0][0] != written[2][0]
    assert recur("inspect", "run", "--seed", "-1").code == 2


def test_without_its_text_the_run_shows_what_surprised_it(copied: Path, recur: Any, pages: list[str]) -> None:
    Path("text.txt").write_text("another text altogether, which the run knows nothing of. " * 200)
    result = recur("inspect", "run")
    assert result.code == 0
    assert result.err.startswith(
        "note     the text that was held out is not there, so another is shown: run: the text "
    )
    assert pages == ["the passages that surprised the model most"]


def test_texts_that_cannot_be_shown(copied: Path, recur: Any) -> None:
    Path("empty.txt").write_text("")
    for name, line in (
        ("empty.txt", "recur: empty.txt: is empty; give a file with text in it.\n"),
        ("", "recur: your text: is empty; give at least one character.\n"),
    ):
        result = recur("inspect", "run", "--input", name)
        assert (result.code, result.err) == (1, line)


@pytest.mark.parametrize("name", ["nofile.txt", "texts/nofile", "./nofile", "texts/"])
def test_a_name_of_no_file_is_not_taken_for_text(name: str, copied: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", name)
    advice = "no such file; check the path. To show it as text itself, add a blank to it."
    assert (result.code, result.err) == (1, f"recur: {name}: {advice}\n")
    assert not Path("run/inspect.json").exists()
    assert recur("inspect", "run", "--input", f"{name} ").out.startswith("text     your text: ")


def test_a_folder_and_standard_input(
    copied: Path, recur: Any, pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("texts/more").mkdir(parents=True)
    Path("texts/a.txt").write_text("the mill")
    Path("texts/more/b.txt").write_text(" by the river")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the mill\n by the river")))
    for given, title in (("texts", "texts"), ("texts/more/..", ".."), ("-", "standard input")):
        result = recur("inspect", "run", "--input", given)
        assert (result.code, result.err) == (0, "")
        assert "".join(stored()["symbols"]) == "the mill\n by the river"
        assert pages[-1] == title
    monkeypatch.chdir("texts/more")
    assert recur("inspect", "../../run", "--input", ".").code == 0
    assert pages[-1] == "more"


def test_a_name_with_a_blank_that_is_no_file_is_noted(copied: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "my river.txt")
    assert result.err == "note     there is no file 'my river.txt', so this is taken as text.\n"
    assert result.out.startswith("text     your text: ")
    Path("my river.txt").write_text("the mill")
    assert recur("inspect", "run", "--input", "my river.txt").err == ""
    assert recur("inspect", "run", "--input", "my\nriver.txt").err == ""


@pytest.mark.parametrize("text", ["mill", "mill.", "one/two three", "one.\ntwo.three", "x" * 600])
def test_what_looks_like_no_name_is_text(text: str, copied: Path, recur: Any) -> None:
    assert recur("inspect", "run", "--input", text).out.startswith("text     your text: ")


def test_a_file_in_another_encoding(copied: Path, recur: Any) -> None:
    text = "The mill is naïve, she said, and the river ran past über the boats.\n" * 5
    Path("latin.txt").write_bytes(text.encode("cp1252"))
    result = recur("inspect", "run", "--input", "latin.txt")
    assert result.code == 1
    assert re.match(r"recur: latin\.txt: is not utf-8: byte 14 \(0xef\) .*: try --encoding cp1252\.$", result.err)
    assert recur("inspect", "run", "--input", "latin.txt", "--encoding", "cp1252").code == 0
    expected = stored()["losses"]
    assert expected == pytest.approx((-load("run").log_probs(text, unknown="map")).tolist(), abs=1e-4)
    # What the run's own text is in needs no telling.
    config = json.loads(Path("run/config.json").read_text())
    config["data"]["encoding"] = "cp1252"
    Path("run/config.json").write_text(json.dumps(config))
    assert recur("inspect", "run", "--input", "latin.txt").code == 0
    assert stored()["losses"] == expected


def test_runs_that_cannot_be_looked_into(copied: Path, recur: Any) -> None:
    config = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps(config | {"task": "juggling"}))
    result = recur("inspect", "run")
    tasks = " or ".join(map(repr, TASKS))
    assert (result.code, result.err) == (1, f"recur: run: is a run of task 'juggling', expected {tasks}.\n")
    for option in (["--at", "3"], ["--series", "a"], ["text.txt"]):
        Path("run/config.json").write_text(json.dumps(config))
        result = recur("inspect", "run", *option)
        assert result.code == 2
        # Classifiers of texts have data too, but no series.
        owners = "classify-text, tag, translate, classify" if option[0] == "text.txt" else "classify"
        said = f"is of {owners}, regress, forecast and detect runs, and this is one of task language; leave"
        assert said in result.err
    Path("run/config.json").write_text(json.dumps(config))
    Path("run/model.safetensors").unlink()
    result = recur("inspect", "run")
    assert result.code == 1
    assert "missing; was the training stopped before its first validation?" in result.err


def test_the_probe_goes_back_as_far_as_the_training(copied: Path, recur: Any) -> None:
    config = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps(config | {"training": {"window": 16, "reach": 110}}))
    assert recur("inspect", "run", "--input", SHORT * 6).code == 0
    assert stored()["probe"]["num_steps"] == 110
