"""What the API pages do to docstrings before they read them."""

from __future__ import annotations

import re

from griffe import Extension, Object

_ONE_EXAMPLE = re.compile(r"^([ \t]*)Example:$", re.MULTILINE)


class Examples(Extension):
    """Read `Example:` as the section `Examples:`; the parser would take it for an admonition and its code for prose."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Change the docstring of every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _ONE_EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
