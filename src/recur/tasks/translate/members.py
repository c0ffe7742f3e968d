"""What writes together: the networks of a translator, and the trigrams that may speak with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recur.data.texts.pair_batches import PairBatch
from recur.decode import Ensemble
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_steps import TranslatorSteps
from recur.models.texts.trigrams import TrigramSteps
from recur.tasks.translate.rule import SpeakingTrigrams


class Members:
    """All that writes a text, token by token, as `recur.decode` takes it. Weights are packed but once.

    Args:
        networks: In evaluation mode, at least one; all count the same.
        trigrams: What speaks with them, by its share; None where they speak alone.
    """

    def __init__(self, networks: Sequence[TranslatorNetwork], trigrams: SpeakingTrigrams | None = None) -> None:
        self._steps = [TranslatorSteps(one) for one in networks]
        self._trigrams = trigrams
        self._dtype = next(networks[0].parameters()).dtype

    def begin(self, batch: PairBatch) -> tuple[Any, Any]:
        """Return what writes from sources, and its state before the first token."""
        states: list[Any] = [one.begin(batch.x, batch.lengths, batch.copies) for one in self._steps]
        if self._trigrams is None:
            if len(states) == 1:
                return self._steps[0], states[0]
            return Ensemble(self._steps), tuple(states)
        more, share = TrigramSteps(self._trigrams.rule, self._dtype), self._trigrams.share
        states.append(more.begin(len(batch.x), batch.x.device))
        weights = [(1 - share) / len(self._steps)] * len(self._steps)
        return Ensemble([*self._steps, more], weights=[*weights, share]), tuple(states)
