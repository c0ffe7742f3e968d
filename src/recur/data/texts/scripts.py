"""Scripts that write no blanks between words."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Thai, Lao, Myanmar, Khmer; Chinese and Japanese with their marks, also of full width.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
"""Their characters, as a class of `re` lists them."""

_OF_UNSPACED = re.compile(f"[{UNSPACED}]")


def is_unspaced(texts: Sequence[str]) -> bool:
    """Return whether most of some texts is of such a script.

    Example:
        >>> is_unspaced(["猫が好き"]), is_unspaced(["I like 猫"])
        (True, False)
    """
    return sum(len(_OF_UNSPACED.findall(text)) for text in texts) > sum(map(len, "".join(texts).split())) / 2
