"""What the site is built with beyond MkDocs: formulas as MathML, and the output of commands as they really print it."""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

_COMMAND = re.compile(r"^<!-- output of: (recur .*?) -->$", re.MULTILINE)
_FORMULA = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', re.DOTALL)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put what a command prints in the place of `<!-- output of: recur … -->`."""
    return _COMMAND.sub(lambda match: _output(match[1]), markdown)


def _output(command: str) -> str:
    arguments = [sys.executable, "-m", *shlex.split(command)]
    environment = os.environ | {"COLUMNS": "84", "NO_COLOR": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(f"`{command}` ended with {done.returncode}: {done.stderr.strip()}")
    return f"```text\n$ {command}\n{done.stdout.rstrip()}\n```"


def on_page_content(content: str, **_: object) -> str:
    """Turn formulas into MathML, which browsers show without a script."""
    return _FORMULA.sub(lambda match: _mathml(match[2], is_block=match[1] == "div"), content)


def _mathml(formula: str, *, is_block: bool) -> str:
    # latex2mathml knows the rows of `aligned` under its other name only.
    latex = html.unescape(formula).strip().replace("{aligned}", "{split}")
    mathml = convert(latex, display="block" if is_block else "inline")
    if "<mi>&</mi>" in mathml or "<mi>\\" in mathml:
        raise PluginError(f"this formula cannot be turned into MathML: {latex}")
    return mathml
