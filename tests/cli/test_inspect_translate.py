"""`recur inspect` of a translator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.translate.test_trained import made, pairs

from recur import report


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with a translator, and no time spent on pages."""
    monkeypatch.chdir(tmp_path)
    made().save("run")
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    return tmp_path / "run"


def test_a_text_of_ones_own_and_one_of_a_file(run: Path, recur: Any) -> None:
    result = recur("inspect", "run", "--input", "red door zzz")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[:3] == [
        "text     your text",
        "reads    red door zzz",
        "unknown  'zzz'; what the model does not know speaks for nothing",
    ]
    content = json.loads(Path("run/inspect.json").read_bytes())
    written = content["writing"]["answers"]
    assert lines[3] == f"writes   {written[0]['text'] or '(nothing)'}; score {written[0]['score']:.3f}"
    assert [line.split()[0] for line in lines[4 : 3 + len(written)]] == ["or"] * (len(written) - 1)
    assert lines[-3:] == [
        f"page     {Path('run/page.html')}",
        f"decoder  {Path('run/inspect_decoder.html')}",
        f"report   {Path('run/page.html')}",
    ]
    assert Path("run/inspect_decoder.json").exists()
    sources, targets = pairs(4)
    Path("other.tsv").write_text(
        "source\ttarget\n\tempty\n" + "".join(f"{one}\t{two}\n" for one, two in zip(sources, targets, strict=True))
    )
    result = recur("inspect", "run", "other.tsv", "--number", "3")
    assert result.out.startswith(f"text     other.tsv, row 3\nreads    {sources[1]}\n")
    assert f"\nright    {targets[1]}\n" in result.out


def test_a_pair_of_two_files_whose_lines_belong_together(run: Path, recur: Any) -> None:
    sources, targets = (["", *texts] for texts in pairs(4))
    for side, texts in (("en", sources), ("ja", targets)):
        Path(f"d.{side}").write_text("".join(f"{text}\n" for text in texts))
    result = recur("inspect", "run", "d.en", "d.ja", "--number", "3")
    assert result.code == 0, result.err
    assert result.out.startswith(f"text     d.en, line 3\nreads    {sources[2]}\n")
    assert f"\nright    {targets[2]}\n" in result.out
    Path("d.ja").write_text("one\n")
    result = recur("inspect", "run", "d.en", "d.ja")
    assert result.code == 1
    assert "d.en has 5 lines, but d.ja has 1; each line of one must belong" in result.complaint


def test_letters_that_are_boxes_in_pictures_and_where_it_looked_are_told(
    run: Path, recur: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_inspection(folder: Any, say: Any) -> Path:
        say("no font here has them")
        (folder.path / "inspect_looks.png").touch()
        path: Path = folder.path / "inspect.html"
        return path

    monkeypatch.setattr(report, "write_inspection", write_inspection)
    result = recur("inspect", "run", "--input", "red door")
    assert result.err.splitlines()[-1] == "note     no font here has them"
    assert [line.split() for line in result.out.splitlines()[-4:-1]] == [
        ["page", str(Path("run/inspect.html"))],
        ["decoder", str(Path("run/inspect_decoder.html"))],
        ["looks", str(Path("run/inspect_looks.png"))],
    ]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--input", "red", "--number", "2"], 2, "number would be ignored, for --input is the text"),
        (["d.en", "d.ja"], 1, "d.en: no such file or folder"),
        (["run", "--input", "red"], 2, "data would be ignored, for --input is the text; leave DATA out."),
        (["--input", ""], 1, "your text: has no word that could be read; give a text with at least one."),
        ([], 1, "were not in a file, so they cannot be read again"),
        (["--labels", "a.txt"], 2, "labels is of language runs"),
    ],
)
def test_what_does_not_go_together(run: Path, recur: Any, options: list[str], code: int, message: str) -> None:
    result = recur("inspect", "run", *options)
    assert message in result.complaint
    assert result.code == code
