"""The course in docs/learn: each page shows what its script prints and draws, and quotes no other number."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

COURSE = Path(__file__).parents[1] / "docs" / "learn"
PICTURES = COURSE.parent / "images" / "learn"
HELPERS = {"drawing", "diagrams"}
FAST = ["unrolled", "bptt", "vanishing", "clipping", "truncation"]
PAGES = [*FAST, pytest.param("adding", marks=pytest.mark.slow)]

# Digits of a training depend on the instruction set: those behind these words.
TRAINED = re.compile(r"(k2 = +\d+|after \d+ updates): mean squared error|with the penalty")

NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?(?!\w)")
FORMULA = re.compile(r"^\$\$.*?^\$\$$|\$[^$]*\$", re.MULTILINE | re.DOTALL)

# What the prose of a page says that is neither printed nor in the code that it shows.
BESIDE = {
    # Units of the network.
    "vanishing": {"32"},
    # The target; units of the network; updates.
    "clipping": {"0.7", "32", "100"},
    # The variance of normal noise.
    "truncation": {"1"},
    # 1/6, the variance of the sum; what counts as solved; read off the curve.
    "adding": {"6", "0.01", "300"},
}

# All in one process: loading torch and matplotlib takes longer than most scripts.
RUN = """
import contextlib, pathlib, runpy, sys
course, folder, *names = sys.argv[1:]
sys.path.insert(0, course)
for name in names:
    sys.argv = [name, f"{folder}/{name}"]
    with pathlib.Path(folder, f"{name}.txt").open("w") as out, contextlib.redirect_stdout(out):
        runpy.run_path(f"{course}/{name}.py", run_name="__main__")
"""


class Course(NamedTuple):
    """What the scripts of some pages left."""

    folder: Path

    def printed(self, name: str) -> str:
        return (self.folder / f"{name}.txt").read_text(encoding="utf-8")

    def pictures(self, name: str) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in (self.folder / name).iterdir()}


def run(folder: Path, names: list[str]) -> None:
    command = [sys.executable, "-c", RUN, str(COURSE), str(folder), *names]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def fast(made_once: Callable[..., Path]) -> Course:
    return Course(made_once("learn", lambda folder: run(folder, FAST)))


@pytest.fixture(scope="module")
def slow(made_once: Callable[..., Path]) -> Course:
    return Course(made_once("learn_slow", lambda folder: run(folder, ["adding"])))


@pytest.fixture
def course(name: str, request: pytest.FixtureRequest) -> Course:
    found: Course = request.getfixturevalue("fast" if name in FAST else "slow")
    return found


def page(name: str) -> str:
    return (COURSE / f"{name}.md").read_text(encoding="utf-8")


def shown(text: str) -> str:
    """The output blocks of a page, one after the other."""
    return "".join(re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def prose(text: str) -> str:
    """A page without code, output, pictures, years and what is cited."""
    text = re.sub(r"^```.*?^```$|`[^`]*`|!\[[^]]*\]\([^)]*\)|^\d\. ", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.split(r"^(?:[A-Z]\. )+(?:\w|&)", text, flags=re.MULTILINE)[0]
    return re.sub(r"\b(?:19|20)\d\d\b|\bfigure \d+|\bequation \d+", "", text)


def quoted(text: str) -> list[str]:
    """The numbers that a page quotes; whole ones within formulas are part of these."""
    formulas = [number for formula in FORMULA.findall(prose(text)) for number in NUMBER.findall(formula)]
    return NUMBER.findall(FORMULA.sub("", prose(text))) + [number for number in formulas if "." in number]


def comparable(text: str) -> list[str]:
    """The lines of an output, without the numbers that a training decided."""
    return [line.removesuffix(decided(line)) + NUMBER.sub("#", decided(line)) for line in text.splitlines()]


def decided(line: str) -> str:
    """The end of a line of output that a training decided."""
    found = TRAINED.search(line)
    return "" if found is None else line[found.end() :]


def sources(name: str, course: Course) -> set[float]:
    """The numbers that a page may quote: of the code that it shows, of what its script prints, and in its pictures.

    Those that a training decided are others on other processors; they are those of the page's own output.
    """
    script = (COURSE / f"{name}.py").read_text(encoding="utf-8")
    parts = re.findall(r"\[start:(?:.*\n)(.*?)^# --8<-- \[end:", script, re.MULTILINE | re.DOTALL)
    trained = [decided(line) for line in shown(page(name)).splitlines()]
    fixed = [line.removesuffix(decided(line)) for line in course.printed(name).splitlines()]
    # Not the ticks of axes, among which anything is found.
    drawn = [label for picture in course.pictures(name).values() for label in re.findall(r">([^<>]+)</text>", picture)]
    drawn = [label for label in drawn if re.search(r"\.\d{3}", label)]
    return {value(number) for text in (*parts, *trained, *fixed, *drawn) for number in NUMBER.findall(text)}


def value(number: str) -> float:
    return float(number.replace(",", ""))


def is_quoted(number: str, found: set[float]) -> bool:
    """Whether a number is one of those found, rounded to the digits that it has; small whole ones are not rounded."""
    digits = len(number.partition(".")[2])
    if digits == 0 and value(number) < 1000:
        return value(number) in found
    return any(f"{each:.{digits}f}" == f"{value(number):.{digits}f}" for each in found)


def different_places(one: str, other: str) -> float | None:
    """How far numbers of two pictures are from each other at most; None where anything else differs."""
    number = re.compile(r"-?\d+(?:\.\d+)?")
    # Names of shapes are made of their coordinates.
    one, other = (re.sub(r"\b[mpCh][0-9a-f]{10}\b", "", text) for text in (one, other))
    if number.sub("#", one) != number.sub("#", other):
        return None
    pairs = zip(number.findall(one), number.findall(other), strict=True)
    return max((abs(float(a) - float(b)) for a, b in pairs), default=0.0)


def labels(picture: str) -> list[str]:
    """The words in a picture."""
    return [text for text in re.findall(r">([^<>]+)</t", picture) if not re.search(r"\d", text)]


def test_the_helpers_see_a_difference() -> None:
    blocks = "```python\nx = 3.25\n```\n\n```text\na 1.5\n```"
    text = f"So 0.50 or 1,000, by (A. 1990, figure 2).\n\n1. $h_1 = 2.5$\n\n{blocks}\n\nA. B (1991), *C* 14.\n"
    assert shown(text) == "a 1.5\n"
    assert quoted(text) == ["0.50", "1,000", "2.5"]
    assert is_quoted("0.50", {0.499, 7.0})
    assert not is_quoted("0.50", {0.49, 7.0})
    assert is_quoted("13,781", {13780.61})
    assert is_quoted("7", {0.49, 7.0})
    assert not is_quoted("7", {0.49, 6.9})
    output = "k2 = 3 of 4\nk2 =   5: mean squared error 0.25\nGRU after 600 updates: mean squared error 0.0006"
    masked = ["k2 = 3 of 4", "k2 =   5: mean squared error #", "GRU after 600 updates: mean squared error #"]
    assert comparable(output) == masked
    assert different_places('<path d="M 1.0 2 L 3 4"/>', '<path d="M 1.0 2 L 3 4.5"/>') == 0.5
    assert different_places('<path d="M 1 2"/>', '<path d="L 1 2"/>') is None


def test_each_script_has_its_page_and_is_short() -> None:
    scripts = {path.stem: path for path in COURSE.glob("*.py")}
    assert set(scripts) == {*FAST, "adding"} | HELPERS
    assert {path.stem for path in COURSE.glob("*.md")} == {*FAST, "adding"}
    assert {name: n for name, path in scripts.items() if (n := len(path.read_text("utf-8").splitlines())) > 120} == {}


@pytest.mark.parametrize("name", [*FAST, "adding"])
def test_a_page_includes_every_marked_part_of_its_script_once(name: str) -> None:
    script = (COURSE / f"{name}.py").read_text(encoding="utf-8")
    marked = re.findall(r"^# --8<-- \[start:(\w+)\]$", script, re.MULTILINE)
    assert re.findall(r"^# --8<-- \[end:(\w+)\]$", script, re.MULTILINE) == marked
    parts = re.findall(r"\[start:(?:.*\n)(.*?)^# --8<-- \[end:", script, re.MULTILINE | re.DOTALL)
    # More does not fit into the page's column.
    assert [line for part in parts for line in part.splitlines() if len(line) > 82] == []
    included = re.findall(rf'^--8<-- "docs/learn/{name}\.py:(\w+)"$', page(name), re.MULTILINE)
    assert sorted(included) == sorted(marked)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_its_script_prints(name: str, course: Course) -> None:
    assert comparable(shown(page(name))) == comparable(course.printed(name))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_the_pictures_that_its_script_draws(name: str, course: Course) -> None:
    linked = re.findall(r"!\[[^\]]+\]\(\.\./images/learn/([\w.]+)\)", page(name))
    drawn = course.pictures(name)
    assert sorted(linked) == sorted(drawn)
    for picture, text in drawn.items():
        committed = (PICTURES / picture).read_text(encoding="utf-8")
        if name == "adding":
            assert sorted(labels(text)) == sorted(labels(committed))
            continue
        # Coordinates have six decimals, of which a processor may round the last ones otherwise.
        distance = different_places(text, committed)
        assert distance is not None, f"{picture}: draw it again"
        assert distance < 1e-3, f"{picture}: draw it again"


def test_no_picture_is_left_over() -> None:
    linked = {
        picture for path in COURSE.glob("*.md") for picture in re.findall(r"learn/([\w.]+\.svg)", path.read_text())
    }
    assert {path.name for path in PICTURES.iterdir()} == linked


@pytest.mark.parametrize("name", PAGES)
def test_the_prose_quotes_only_numbers_of_its_script(name: str, course: Course) -> None:
    found = sources(name, course)
    exempt = BESIDE.get(name, set())
    assert exempt <= {*quoted(page(name))}
    assert [number for number in quoted(page(name)) if number not in exempt and not is_quoted(number, found)] == []


def test_a_reach_beyond_the_lag_is_what_learns(fast: Course) -> None:
    for text in (fast.printed("truncation"), shown(page("truncation"))):
        errors = {int(k2): float(error) for k2, error in re.findall(r"k2 = +(\d+): mean squared error ([\d.]+)", text)}
        assert set(errors) == {5, 10, 15, 20}
        for k2, error in errors.items():
            assert error > 0.5 if k2 <= 10 else error < 0.1


def test_the_penalty_brings_gradients_back_from_both_sides(fast: Course) -> None:
    for text in (fast.printed("clipping"), shown(page("clipping"))):
        found = re.findall(r"gain ([\d.]+): (\S+), with the penalty (\S+)", text)
        before, after = ({gain: float(each[k]) for gain, *each in found} for k in (0, 1))
        assert before["0.5"] < before["1.0"] < 1e-4
        assert before["2.0"] > 1e3
        assert all(0.1 < norm < 10 for norm in after.values())


@pytest.mark.slow
def test_the_advice_solves_the_adding_problem(slow: Course) -> None:
    for text in (slow.printed("adding"), shown(page("adding"))):
        plain, cured = text.split("\nGRU, chrono: ")
        assert "\n- vanishing gradient: " in plain
        assert "an LSTM or a GRU, in Python with init='chrono' and chrono_steps=1000" in " ".join(plain.split())
        errors = {
            name: float(error) for name, error in re.findall(r"^(.+) after .* error ([\d.]+)$", text, re.MULTILINE)
        }
        assert errors["RNN"] > 0.15
        assert errors["GRU, chrono"] < 0.01
        # Nothing is found wrong with it.
        assert len(cured.splitlines()) == 2
