"""English prose that ships with every CPython: the language reference, as `pydoc` shows it."""

from __future__ import annotations

import re

_PLAIN = str.maketrans(
    {
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{NO-BREAK SPACE}": " ",
    }
)
_BULLET = re.compile(r"^\s*(?:[*-]|\d+\.|#\.)\s+")


def demo_text() -> str:
    """Return the paragraphs of prose in `pydoc_data.topics`, each on a line, without titles, grammar and code.

    Some topics repeat each other, which would let a model learn the held-out part by heart; each is kept once.
    """
    from pydoc_data import topics

    seen: set[str] = set()
    paragraphs: list[str] = []
    for name in sorted(topics.topics):
        for block in re.split(r"\n\s*\n", topics.topics[name].translate(_PLAIN)):
            paragraph = _prose(block)
            if paragraph and paragraph not in seen:
                seen.add(paragraph)
                paragraphs.append(paragraph)
    return "\n".join(paragraphs) + "\n"


def _prose(block: str) -> str:
    """Return a block as one line, or nothing when it is no prose."""
    lines = block.strip("\n").split("\n")
    is_code = lines[0].startswith("   ") and not _BULLET.match(lines[0]) and not lines[0].strip()[:1].isupper()
    if is_code or "::=" in block or ">>>" in block or re.search(r"^\s*[*=~^+-]{3,}", block, re.MULTILINE):
        return ""
    text = " ".join(_BULLET.sub("", line).strip() for line in lines)
    has_sentence = len(text) > 40 and text[-1:] in ".:" and text.isascii()
    return text if has_sentence else ""
