"""Draws the picture of the README from a committed result: `python benchmarks/plot.py [FILE] [--out FILE]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from recur.wording import cell_name, quantity
from table import Row, factor, newest

OUT = Path(__file__).parents[1] / "docs" / "images" / "speed.svg"
KINDS = ("rnn", "gru", "lstm")
BATCHES = {1: "#7a5195", 16: "#ef5675", 64: "#ffa600"}
STEPS = 100


def cells(rows: list[Row], kind: str, batch: int, threads: int) -> list[Row]:
    """Return the plain cells of the grid of one kind, batch and number of threads, by their number of units."""

    def is_one(row: Row) -> bool:
        work = row["work"]
        is_plain = work["num_layers"] == 1 and not work["bidirectional"] and work["input_size"] == work["hidden_size"]
        return bool(
            is_plain
            and (work["kind"], work["batch_size"], work["steps"]) == (kind, batch, STEPS)
            and row["threads"] == threads
            and row["allocator"] == "default"
        )

    return sorted([row for row in rows if "ratio" in row and is_one(row)], key=lambda row: row["work"]["hidden_size"])


def draw(content: dict[str, Any]) -> Figure:
    """Return the figure: above, how many times as fast as torch.nn; below, the share of the processor's peak."""
    rows = content["results"]
    threads = max(row["threads"] for row in rows if "ratio" in row)
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.4), sharex=True, sharey="row", layout="constrained")
    for column, kind in enumerate(KINDS):
        upper, lower = axes[0][column], axes[1][column]
        for batch, color in BATCHES.items():
            members = cells(rows, kind, batch, threads)
            units = [row["work"]["hidden_size"] for row in members]
            style = {"color": color, "marker": "o", "markersize": 3.5, "label": f"B {batch}"}
            upper.plot(units, [factor(row) for row in members], **style)
            lower.plot(units, [100 * row["share_of_peak"] for row in members], **style)
        upper.set_title(cell_name(kind))
        upper.axhline(1, color="0.5", linewidth=0.8, linestyle="--")
        upper.set_yscale("log", base=2)
        lower.set_xlabel("units H, input and layer")
        lower.set_ylim(0, 100)
        _units(lower)
        for axis in (upper, lower):
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("times as fast as torch.nn")
    axes[0][0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes[1][0].set_ylabel("% of the FMA peak")
    axes[0][2].legend(frameon=False)
    environment = content["environment"]
    cpu = environment["cpu"]
    figure.suptitle(
        f"Training (forward and backward), T {STEPS}, float32: {cpu['brand']} ({cpu['isa']}), "
        f"{quantity(threads, 'thread')}, torch {environment['versions']['torch']}",
        fontsize=10,
    )
    return figure


def _units(axis: Axes) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks([32, 64, 128, 256, 512, 1024])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def main() -> None:
    """Draw the newest result of `layers_training_grid`, or the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=newest("layers_training_grid"), help="a result")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture; its ending says which format")
    chosen = parser.parse_args()
    if chosen.file is None:
        parser.error("there is no result of layers_training_grid yet; python benchmarks/run.py layers_training_grid")
    # The same result gives the same file.
    mpl.rcParams["svg.hashsalt"] = "recur"
    figure = draw(json.loads(chosen.file.read_text(encoding="utf-8")))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(chosen.out, metadata={"Date": None} if chosen.out.suffix == ".svg" else None, dpi=150)
    print(chosen.out)


if __name__ == "__main__":
    main()
