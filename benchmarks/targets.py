"""Prints what the layers are meant to reach beside what each processor came to: `python benchmarks/targets.py`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from recur.measure.timing import geometric_mean
from table import RESULTS, Row, factor, is_large, newest

TRAINING = ("layers_training_grid", "layers_training")


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes:
        what: In words.
        bound: The figure to reach.
        names: Benchmarks that have it; the first of which there is a result counts.
        figure: From their rows to what was measured; None where no row is about it.
        is_most: Whether the bound is the largest allowed, not the smallest.
        unit: Behind the figures.
    """

    what: str
    bound: float
    names: tuple[str, ...]
    figure: Callable[[Sequence[Row]], float | None]
    is_most: bool = False
    unit: str = "x"

    def holds(self, measured: float) -> bool:
        """Return whether a figure is good enough."""
        return measured <= self.bound if self.is_most else measured >= self.bound


def of(
    reduced: Callable[[Sequence[float]], float],
    condition: Callable[[Row], bool],
    value: Callable[[Row], float] = factor,
) -> Callable[[Sequence[Row]], float | None]:
    """Return the figure that reduces the values of the rows for which the condition holds."""

    def figure(rows: Sequence[Row]) -> float | None:
        values = [value(row) for row in rows if "ratio" in row and condition(row)]
        return reduced(values) if values else None

    return figure


def is_kind(*kinds: str, allocator: str = "default", steps: int | None = None) -> Callable[[Row], bool]:
    """Return the condition that a row is about these kinds, that allocator and, where given, so many steps."""

    def condition(row: Row) -> bool:
        work = row["work"]
        return work["kind"] in kinds and row.get("allocator", "default") == allocator and steps in (None, work["steps"])

    return condition


def anything(row: Row) -> bool:
    """Hold always."""
    return True


def against(peer: str) -> Callable[[Row], bool]:
    """Return the condition that a row is about this peer."""
    return lambda row: row["peer_name"] == peer


def share(row: Row) -> float:
    """Return a row's percentage of the peak."""
    return 100 * float(row["share_of_peak"])


def slower(row: Row) -> float:
    """Return by how many percent ours is slower."""
    return 100 * (float(row["ratio"]["median"]) - 1)


def ours(row: Row) -> float:
    """Return our own figure."""
    return float(row["ours"]["median"])


def ratio(row: Row) -> float:
    """Return our figure by the peer's."""
    return float(row["ratio"]["median"])


def best_peer(rows: Iterable[Row], condition: Callable[[Row], bool]) -> float | None:
    """Return the worst factor over all works, each against the peer that is fastest at it."""
    factors: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if "ratio" in row and condition(row):
            factors[row["what"]].append(factor(row))
    return min((min(values) for values in factors.values()), default=None)


def _step(kind: str, units: int, bound: float) -> Target:
    def is_it(row: Row) -> bool:
        return bool(row["work"]["kind"] == kind and row["work"]["hidden_size"] == units)

    what = f"one step from Python, {kind.upper()} {units}"
    return Target(what, bound, ("layers_step",), of(min, is_it, ours), is_most=True, unit=" µs")


def _main_job(kind: str, peer: str, bound: float) -> Target:
    def is_it(row: Row) -> bool:
        return row["what"] == f"training step, {kind}" and row["peer_name"] == peer

    what = f"a step of the main job, {kind.upper()}, against {peer}"
    return Target(what, bound, ("training_step",), of(min, is_it))


def _quality(bound: float) -> Target:
    def nats(rows: Sequence[Row]) -> float | None:
        return min((float(row["test"]["nats_per_character"]) for row in rows), default=None)

    return Target("tinyshakespeare in three minutes", bound, ("quality",), nats, is_most=True, unit=" nats")


def _loss_in_bfloat16(rows: Sequence[Row]) -> float | None:
    """Return by how many nats the mean loss over the seeds is higher than in float32."""
    losses: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        losses[row["precision"]].append(float(row["test"]["nats_per_character"]))
    return fmean(losses["bfloat16"]) - fmean(losses["float32"]) if losses else None


TARGETS = (
    Target(
        "training, B >= 16, H >= 128, T >= 100: % of the FMA peak, median",
        75,
        TRAINING,
        of(lambda values: sorted(values)[len(values) // 2], lambda row: is_large(row["work"]), share),
        unit=" %",
    ),
    Target("the same, worst", 75, TRAINING, of(min, lambda row: is_large(row["work"]), share), unit=" %"),
    Target("GRU and RNN training against torch, mean", 3, TRAINING, of(geometric_mean, is_kind("gru", "rnn"))),
    Target("the same, worst", 2, TRAINING, of(min, is_kind("gru", "rnn"))),
    Target("the same at T = 1000, mean", 6, TRAINING, of(geometric_mean, is_kind("gru", "rnn", steps=1000))),
    Target("LSTM training against torch, mean", 1.4, TRAINING, of(geometric_mean, is_kind("lstm"))),
    Target("the same, worst", 1, TRAINING, of(min, is_kind("lstm"))),
    Target(
        "the same where freed memory is kept, worst",
        0.97,
        TRAINING,
        of(min, is_kind("lstm", allocator="keeps freed memory")),
    ),
    Target("packed, ragged, projected against torch, mean", 4, ("layers_ragged",), of(geometric_mean, anything)),
    Target("the same, worst", 4, ("layers_ragged",), of(min, anything)),
    Target(
        "layer-norm LSTM against the faster of eager and compiled, B >= 16, worst",
        4,
        ("layers_norm",),
        lambda rows: best_peer(rows, lambda row: row["work"]["batch_size"] >= 16),
    ),
    Target(
        "the same, B = 1",
        15,
        ("layers_norm",),
        lambda rows: best_peer(rows, lambda row: row["work"]["batch_size"] == 1),
    ),
    Target(
        "layer_norm, slower than without, worst",
        35,
        ("layers_options",),
        of(max, lambda row: row["work"]["option"] == "layer_norm", slower),
        is_most=True,
        unit=" %",
    ),
    Target(
        "any other option, slower than without, worst",
        25,
        ("layers_options",),
        of(max, lambda row: row["work"]["option"] != "layer_norm", slower),
        is_most=True,
        unit=" %",
    ),
    Target("training against JAX, mean", 2, ("layers_jax",), of(geometric_mean, against("jax"))),
    Target("the same, worst", 1, ("layers_jax",), of(min, against("jax"))),
    Target(
        "inference against ONNX Runtime, mean", 1.3, ("layers_forward",), of(geometric_mean, against("onnxruntime"))
    ),
    Target("the same, worst", 1, ("layers_forward",), of(min, against("onnxruntime"))),
    _step("lstm", 64, 1.5),
    _step("lstm", 128, 4),
    _step("gru", 64, 1.2),
    _step("gru", 128, 4),
    Target(
        "training in bfloat16 against float32, B >= 32, H >= 256, worst",
        1.4,
        ("layers_bfloat16",),
        of(min, against("recur in float32")),
    ),
    Target(
        "loss of the main job in bfloat16 above float32's, mean of three seeds",
        0.01,
        ("quality_bfloat16",),
        _loss_in_bfloat16,
        is_most=True,
        unit=" nats",
    ),
    Target("memory held for backward by torch's, worst", 1, ("layers_memory",), of(max, anything, ratio), is_most=True),
    Target("error by torch's own, worst", 2, ("layers_accuracy",), of(max, anything, ratio), is_most=True),
    *[
        _main_job(kind, peer, bound)
        for kind, bound in (("lstm", 1.5), ("gru", 3))
        for peer in ("plain PyTorch in this process", "plain PyTorch, a program of its own")
    ],
    _quality(1.46),
)


def processors() -> dict[str, str]:
    """Return the processors of which there are results: as names of files have them, and by name."""
    found = {}
    for path in sorted(RESULTS.glob("*_????-??-??.json")):
        brand = json.loads(path.read_text(encoding="utf-8"))["environment"]["cpu"].get("brand", "unknown")
        found[path.stem.split("_")[-2]] = " ".join(brand.replace("(R)", "").replace("Processor", "").split())
    return found


def measured(target: Target, processor: str) -> float | None:
    """Return what the newest result on a processor says, if there is one."""
    for name in target.names:
        path = newest(name, processor)
        if path is not None:
            found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
            return target.figure([row for row in found if "disagrees" not in row])
    return None


def rows() -> list[list[str]]:
    """Return a heading, and for each target what it is, what is wanted, and what each processor came to."""
    known = processors()
    found = [["what", "wanted", *known.values()]]
    for target in TARGETS:
        wanted = f"{'at most' if target.is_most else 'at least'} {target.bound:g}{target.unit}"
        cells = []
        for processor in known:
            figure = measured(target, processor)
            if figure is None:
                cells.append("not measured")
            else:
                cells.append(f"{figure:.3g}{target.unit}" + ("" if target.holds(figure) else ", missed"))
        found.append([target.what, wanted, *cells])
    return found


def markdown() -> str:
    """Return the table as the docs have it."""
    heading, *body = rows()
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table; with --markdown as the docs have it."""
    if sys.argv[1:] == ["--markdown"]:
        print(markdown())
        return
    heading, *body = rows()
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(heading):
        table.add_column(title, no_wrap=True, justify="right" if number > 0 else "left")
    for row in body:
        table.add_row(*row)
    Console(width=180, markup=False, highlight=False).print(table)


if __name__ == "__main__":
    main()
