"""What the pictures of this course share: readable on light and dark pages, and the same file on every machine."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

# Halfway between the light page and the dark one.
GREY, BLUE, ORANGE, GREEN, RED, PURPLE = "#808080", "#3f84d1", "#d07a1f", "#3a9a58", "#d64d4d", "#9a6dd7"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE)
WIDTH = 5.4
"""Of a picture in inches: narrow, so that its letters are not too small on a phone."""

_RADIUS = 0.27
_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
_BESIDE: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}

mpl.rcParams |= {
    # Letters stay letters: the reader's font draws them, and they can be searched.
    "svg.fonttype": "none",
    "svg.hashsalt": "recur",
    "path.simplify": False,
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
} | dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"], GREY)


def canvas(height: float, *, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of that height in inches and its axes."""
    return plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", **options)


def blank(axes: Axes, width: float, low: float, high: float) -> None:
    """Make axes a sheet to draw nodes and arrows on, from 0 to `width` and from `low` to `high`."""
    axes.set(xlim=(0, width), ylim=(low, high), aspect="equal")
    axes.axis("off")


def node(axes: Axes, at: tuple[float, float], text: str, color: str = BLUE) -> None:
    """Draw a value of a network: a circle with its name."""
    axes.add_patch(Circle(at, _RADIUS, fill=False, edgecolor=color, linewidth=1.5))
    axes.text(*at, text, ha="center", va="center")


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    *,
    color: str = GREY,
    aside: tuple[float, float] = (0.0, 0.14),
    **style: Any,
) -> None:
    """Draw an arrow between the middles of two nodes, from rim to rim, with a text beside it."""
    across, up = end[0] - start[0], end[1] - start[1]
    share = _RADIUS / math.hypot(across, up)
    rims = [(start[0] + part * across, start[1] + part * up) for part in (share, 1 - share)]
    axes.add_patch(FancyArrowPatch(*rims, **_ARROW | {"color": color} | style))
    axes.text((start[0] + end[0]) / 2 + aside[0], (start[1] + end[1]) / 2 + aside[1], text, color=color, **_BESIDE)


def loop(axes: Axes, at: tuple[float, float], text: str) -> None:
    """Draw an arrow from a node, on its right, back to itself."""
    across, up = 0.8 * _RADIUS, 0.6 * _RADIUS
    rims = [(at[0] + across, at[1] + side * up) for side in (-1, 1)]
    axes.add_patch(FancyArrowPatch(*rims, connectionstyle="arc3,rad=2", **_ARROW, color=GREY))
    axes.text(at[0] + 2.6 * _RADIUS, at[1], text, color=GREY, **_BESIDE)


def save(figure: Figure, name: str) -> None:
    """Write a figure as `name`.svg into the folder given on the command line, or into docs/images/learn."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "images" / "learn"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
