"""The report itself: one HTML file that needs nothing else, and a PNG of every chart."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recur.report.contents import Contents, charts_of, read_contents
from recur.report.passage import LEVELS, chance, nats
from recur.run import RunFolder, write_text_atomic


def figures(run: RunFolder) -> dict[str, Any]:
    """Return the curves of the run's training as plotly figures.

    Args:
        run: The run folder.

    Returns:
        `"loss"`, `"learning_rate"`, `"gradient_norm"` and `"throughput"`, each a `plotly.graph_objects.Figure`; one
        without any point is left out.

    Raises:
        RunError: The run is incomplete or damaged.
    """
    from recur.report.interactive import figure

    return {chart.key: figure(chart) for chart in charts_of(run)}


def write_report(run: RunFolder) -> Path:
    """Write `report.html`, and a PNG of every curve, into the run folder.

    A run in the middle of its training can be reported too: what it does not have yet is left out.

    Args:
        run: The run folder.

    Returns:
        The path of `report.html`.

    Raises:
        RunError: The run is incomplete or damaged, or its folder cannot be written.
    """
    from recur.report.picture import write_png

    contents = read_contents(run)
    for chart in contents.charts:
        write_png(chart, run.path / f"{chart.key}.png")
    path = run.path / "report.html"
    # A lone surrogate, which JSON can hold, has no place in UTF-8.
    write_text_atomic(path, _html(contents).encode("utf-8", "replace").decode("utf-8"))
    return path


def _html(contents: Contents) -> str:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    from recur.report.interactive import figure

    drawn = {chart.key: json.loads(figure(chart).to_json()) for chart in contents.charts}
    scripts = [get_plotlyjs(), _part("report.js")] if drawn else [_part("report.js")]
    environment = Environment(
        loader=PackageLoader("recur.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"nats": nats, "chance": chance}
    return environment.get_template("report.html.j2").render(
        run=contents,
        levels=LEVELS,
        style=Markup(_part("report.css")),
        # HTML reads a script up to the first "</script"; what stands in these is ours and plotly's, not the run's.
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        figures=Markup(_embedded(drawn)),
    )


def _part(name: str) -> str:
    return (resources.files("recur.report") / "templates" / name).read_text(encoding="utf-8")


def _embedded(content: Any) -> str:
    """Return JSON that can stand inside a script element: nothing in it can end the element or open a comment."""
    written = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str]) -> str:
    """Return a content security policy under which exactly these scripts run and nothing is fetched from anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
