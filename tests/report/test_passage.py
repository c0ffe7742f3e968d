from __future__ import annotations

import importlib.resources
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.report.passage import LEVELS, Scale, chance, nats, scale_for, symbol_name, symbols, visible

STYLE = (importlib.resources.files("recur.report") / "templates" / "base.css").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def themes() -> list[dict[str, str]]:
    light, dark = STYLE.split("@media screen and (prefers-color-scheme: dark)")[:2]
    return [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", part)) for part in (light, dark)]


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_every_text_can_be_read_in_its_colour(theme: dict[str, str]) -> None:
    pairs = [(theme[f"l{level}"], theme[f"i{level}"]) for level in range(LEVELS)]
    pairs += [(theme[paper], theme[ink]) for paper in ("paper", "sheet") for ink in ("ink", "muted", "own")]
    pairs += [(theme["alert-sheet"], theme["alert"])]
    assert [pair for pair in pairs if contrast(*pair) < 4.5] == []


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_the_scale_runs_one_way_from_the_paper(theme: dict[str, str]) -> None:
    steps = [luminance(theme[f"l{level}"]) for level in range(LEVELS)]
    assert theme["l0"] == theme["paper"]
    assert steps in (sorted(steps), sorted(steps, reverse=True))
    assert f"l{LEVELS}" not in theme


def test_levels_are_equal_steps_of_loss() -> None:
    scale = Scale(top=5.0)
    assert [scale.level(loss) for loss in (None, -1.0, 0.0, 0.49, 0.5, 2.6, 4.99, 5.0, 80.0)] == [
        0, 0, 0, 0, 1, 5, 9, 9, 9,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("losses", "top"), [([], 2.0), ([None], 2.0), ([0.1] * 99 + [90.0], 2.0), ([5.5] * 9, 6.0), ([99.0], 20.0)]
)
def test_the_scale_follows_the_losses_but_no_single_one(losses: list[float | None], top: float) -> None:
    assert scale_for(losses) == Scale(top=top)


def test_symbols_carry_what_is_shown() -> None:
    shown = symbols(["a", " ", "\n", " the", "\u202e"], [1.0, 2.0, None, 0.5], Scale(top=5.0))
    assert [(one.text, one.kind, one.loss, one.level) for one in shown] == [
        ("a", "text", 1.0, 2),
        (" ", "space", 2.0, 4),
        ("\n", "newline", None, 0),
        (" the", "text", 0.5, 1),
        ("[U+202E]", "text", None, 0),
    ]


def test_more_losses_than_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"symbols: 2 losses for 1 tokens\. Give at most one loss for each token\."):
        symbols(["a"], [1.0, 2.0], Scale(top=5.0))


@pytest.mark.parametrize(
    ("token", "name"),
    [("\n", "line break"), ("\t", "tab"), ("", "nothing"), ("é", "“é”"), ("\x1b", "“␛”"), ("a\nb", "“a↵b”")],
)
def test_every_symbol_can_be_named(token: str, name: str) -> None:
    assert symbol_name(token) == name


@given(st.text())
def test_nothing_that_turns_or_hides_text_stays(text: str) -> None:
    shown = visible(text)
    assert not set(shown) & {*map(chr, (*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x200E, 0x200F, 0xFEFF))}
    assert not re.search("[\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)


def test_figures_for_a_sentence() -> None:
    assert nats(0.0) == "less than 0.01 nats"
    assert nats(12.3456) == "12.35 nats"
    assert chance(-math.log(0.25)) == "25%"
    assert chance(1e6) == chance(30.0)
