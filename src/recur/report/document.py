"""One HTML file that needs nothing else: its style, its scripts, and a policy that shuts out what is not its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recur.report.passage import LEVELS, chance, nats
from recur.run import write_text_atomic


def part(name: str) -> str:
    """Return the text of a file of `templates/`."""
    return (resources.files("recur.report") / "templates" / name).read_text(encoding="utf-8")


def document(
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    embedded: Mapping[str, Any],
    **contents: Any,
) -> str:
    """Return the page that `template` makes of `contents`.

    Args:
        template: A file of `templates/` that extends `base.html.j2`.
        styles: Files of `templates/`, in the order in which they apply.
        scripts: Texts of scripts, which may not come from a run.
        embedded: Name to JSON value: what the scripts read, each in an element with that id. Any text in it is safe.
        **contents: What the template shows. Text is escaped where it is shown.
    """
    environment = Environment(
        loader=PackageLoader("recur.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"nats": nats, "chance": chance}
    return environment.get_template(template).render(
        levels=LEVELS,
        style=Markup("\n".join(part(name) for name in styles)),
        # HTML reads a script up to the first "</script"; what stands in these is ours and plotly's, not the run's.
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        embedded={name: Markup(_json(value)) for name, value in embedded.items()},
        **contents,
    )


def write_document(path: Path, page: str) -> None:
    """Write the page to `path`, atomically.

    Raises:
        RunError: The file cannot be written.
    """
    # A lone surrogate, which JSON can hold, has no place in UTF-8.
    write_text_atomic(path, page.encode("utf-8", "replace").decode("utf-8"))


def _json(content: Any) -> str:
    """Return JSON that can stand inside a script element: nothing in it can end the element or open a comment."""
    written = json.dumps(content, separators=(",", ":"), allow_nan=False)
    # Both begin with a less-than sign. What does not is left as it is, for millions of characters carry states.
    return written.replace("<", "\\u003c").replace("&", "\\u0026")


def _policy(scripts: Sequence[str]) -> str:
    """Return a content security policy under which exactly these scripts run and nothing is fetched from anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
