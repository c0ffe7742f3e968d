"""What the defaults reach on series, in one table: `python benchmarks/series_summary.py`.

It is made of the newest results of the benchmarks `forecasts`, `series_labels`, `anomalies` and `streams`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import table

PUBLISHED = {"cmapss": "published LSTMs 14.9 to 16.1"}
"""On the same test engines: 16.14 in Zheng et al. 2017, 14.89 in Liao, Zhang & Liu 2018."""


def markdown() -> str:
    """Return the table."""
    lines = ["| data | told | measure | mean | by seed | beside it |", "| --- | --- | --- | --- | --- | --- |"]
    for rows in (_forecasts(), _labels(), _anomalies(), _streams()):
        lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join(lines)


def _forecasts() -> Iterator[list[str]]:
    for own in _grouped("forecasts", "horizon"):
        rules = own[0]["rules"]
        beside = ", ".join(f"{name} {rules[name]:.1f}" for name in ("naive", "seasonal naive"))
        told = f"{own[0]['horizon']} h ahead"
        yield [f"`{Path(own[0]['data']).parent}`", told, "RMSE", *_figures(own, ".2f"), beside]


def _labels() -> Iterator[list[str]]:
    for own in _grouped("series_labels", "data"):
        is_class = own[0]["measure"] == "accuracy"
        path = Path(own[0]["data"])
        name = path.name if path.parent.name == "uea-ucr" else str(path.parent)
        rule = sum(row["rule"] for row in own) / len(own)
        beside = f"naive {rule:.1%}" if is_class else f"naive {rule:.2f}, {PUBLISHED[name]}"
        told = "a class" if is_class else "remaining life"
        yield [f"`{name}`", told, own[0]["measure"], *_figures(own, ".1%" if is_class else ".2f"), beside]


def _anomalies() -> Iterator[list[str]]:
    (own,) = [rows for rows in _grouped("anomalies", "detector") if rows[0]["detector"] == "recur, both"]
    yield ["`nab`", "anomalies", own[0]["measure"], *_figures(own, ".1f"), "windowed Gaussian 39.6, HTM 70.5"]


def _streams() -> Iterator[list[str]]:
    for own in _grouped("streams", "what"):
        row = own[0]
        if row["push"].startswith("1 row of each"):
            told = f"{row['work']['horizon']} ahead, live"
            figure = f"{row['points_per_second']:,.0f}"
            micros = f"{row['ours']['median']:.1f} µs a point"
            yield [f"{row['work']['num_series']:,} series", told, "points a second", figure, "", micros]


def _grouped(name: str, key: str) -> list[list[dict[str, Any]]]:
    """Return the rows of the newest result of a benchmark, those with the same value of `key` together."""
    path = table.newest(name)
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    return [[row for row in rows if row[key] == value] for value in dict.fromkeys(row[key] for row in rows)]


def _figures(rows: list[dict[str, Any]], form: str) -> list[str]:
    """Return the mean of some rows, and each."""
    figures = [row["figure"] for row in rows]
    return [format(sum(figures) / len(figures), form), ", ".join(format(figure, form) for figure in figures)]


if __name__ == "__main__":
    print(markdown())
