"""What a network was trained to know: whether a run's vocabulary and names are those of its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from recur.errors import RunError
from recur.run import RunFolder


def fingerprint(*known: Any) -> str:
    """Return what tells whether weights were trained with these vocabularies and names, SHA-256.

    Args:
        known: What JSON can write.
    """
    text = json.dumps(known, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_knows(folder: RunFolder, config: Mapping[str, Any], found: str, what: str) -> None:
    """Raise where `schema.json` is not what the weights of a run were trained with.

    Args:
        folder: The run.
        config: Its `config.json`, which has the fingerprint under `knows`.
        found: The fingerprint of what `schema.json` holds.
        what: What that is, such as "vocabulary or classes".

    Raises:
        RunError: It is another.
    """
    if config.get("knows") != found:
        raise RunError(
            f"{folder.path / 'schema.json'}: is of another model: its {what} are not those that the weights were "
            "trained with; restore the run's own file."
        )
