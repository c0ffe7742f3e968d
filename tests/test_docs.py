"""The docs site: what its hooks do to a page, and that it is built strictly and asks nothing of the network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from mkdocs.exceptions import PluginError


@pytest.fixture(scope="module")
def hooks(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", root / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_formula_in_a_line_becomes_mathml(hooks: ModuleType) -> None:
    page = hooks.on_page_content(r'<p>so <span class="arithmatex">\(a &lt; b\)</span>.</p>')
    assert page.startswith('<p>so <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">')
    assert "<mi>a</mi><mo>&#x0003C;</mo><mi>b</mi>" in page


def test_rows_of_a_formula_are_aligned(hooks: ModuleType) -> None:
    formula = r"\begin{aligned} a &amp;= b \\ c &amp;= d \end{aligned}"
    page = hooks.on_page_content(rf'<div class="arithmatex">\[{formula}\]</div>')
    assert 'display="block"' in page
    assert page.count("<mtr>") == 2
    assert page.count('<mtd columnalign="right">') == 2


def test_a_formula_that_would_come_out_wrong_is_an_error(hooks: ModuleType) -> None:
    page = r'<div class="arithmatex">\[\begin{eqnarray} a &amp;= b \end{eqnarray}\]</div>'
    with pytest.raises(PluginError, match=r"^this formula cannot be turned into MathML: \\begin\{eqnarray\}"):
        hooks.on_page_content(page)


def test_a_command_is_replaced_by_what_it_prints(hooks: ModuleType) -> None:
    page = hooks.on_page_markdown("before\n\n<!-- output of: recur --version -->\n\nafter")
    assert re.fullmatch(r"before\n\n```text\n\$ recur --version\nrecur \d+\.\d+\.\d+\n```\n\nafter", page)


def test_a_command_that_fails_is_an_error(hooks: ModuleType) -> None:
    with pytest.raises(PluginError, match=r"^`recur nonsense` ended with 2: recur: there is no command 'nonsense'"):
        hooks.on_page_markdown("<!-- output of: recur nonsense -->")


@pytest.mark.slow
def test_the_site_is_built_strictly_and_asks_nothing_of_the_network(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert {"index.html", "cli.html", "nn.html"} <= {page.name for page in pages}
    fetched = re.compile(r"<(?:script|link|img|iframe|source|video|audio)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//")
    assert [page.name for page in pages if fetched.search(page.read_text(encoding="utf-8"))] == []
    styles = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.css")]
    assert [text[:80] for text in styles if re.search(r"url\([\"']?(?:https?:)?//", text)] == []
    # Every formula was converted: none waits for a script.
    assert [page.name for page in pages if "arithmatex" in page.read_text(encoding="utf-8")] == []
