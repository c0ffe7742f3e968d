"""What a reader has to know of figures on a part of a run that is not there to be judged on."""

from __future__ import annotations


def flattering(part: str, more: str = "") -> list[str]:
    """Return a note of what was done with a part of a run that is not there to be judged on.

    Args:
        part: Its name; of any other there is no note.
        more: What was done with the validation part beside choosing weights by it.
    """
    done = {"train": "it was trained on this part", "valid": f"its weights were chosen by this part{more}"}
    return [f"the figures flatter the model: {done[part]}."] if part in done else []
