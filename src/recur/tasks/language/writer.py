"""One text in the making: tokens to text, ending before a string."""

from __future__ import annotations

from recur.data.tokenizer import Tokenizer


class Writer:
    """One text in the making: tokens to text, held back where the stop string may have begun.

    Args:
        tokenizer: What the tokens are of.
        stop: The text ends before this string; None never ends it.

    Attributes:
        is_done: Whether the stop string has come up; what is pushed then is left out.
    """

    def __init__(self, tokenizer: Tokenizer, stop: str | None) -> None:
        self._decoder = tokenizer.decoder()
        self._stop = stop
        self._held = ""
        self.is_done = False

    def push(self, token: int) -> str:
        """Return the text that is certain once `token` is read."""
        return "" if self.is_done else self._release(self._decoder.push(token))

    def flush(self) -> str:
        """Return what was held back, when no token follows."""
        if self.is_done:
            return ""
        text = self._release(self._decoder.flush()) + self._held
        self._held = ""
        return text

    def _release(self, piece: str) -> str:
        if self._stop is None:
            return piece
        text = self._held + piece
        at = text.find(self._stop)
        if at >= 0:
            self.is_done, self._held = True, ""
            return text[:at]
        longest = min(len(self._stop) - 1, len(text))
        keep = next((n for n in range(longest, 0, -1) if self._stop.startswith(text[-n:])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]
