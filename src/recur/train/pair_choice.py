"""Defaults of trainings on pairs of texts by how many there are: network, batch, learning rate, how long."""

from __future__ import annotations

import math
from dataclasses import replace

from recur.data.texts.token_options import PairTokenOptions
from recur.train.options import BOUNDS, CLIPPING, PairTrainingOptions

DEFAULT_MINUTES = 15.0
"""At most; small data are done before."""

_SEEN, _SEEN_OF_SENTENCES = 300_000, 600_000
"""Pairs that are seen in all: what one writes for a sentence is less certain than how a word is pronounced."""

_MANY_CHARACTERS = 500
"""Known characters from which on a text of characters is of a script that writes words with one or two of them."""

_LEAST_EPOCHS, _MOST_EPOCHS, _MOST_OF_SENTENCES = 3, 30, 16
"""Each pair is seen so often at least, and few are not seen more often than this; few sentences are learnt by heart
soonest."""

_FEW_SENTENCES = 4_000
"""Pairs of sentences that are few."""

_LEAST_STEPS = 500
"""Steps that a network needs, however few its pairs are."""

_BATCHES = ((20_000, 32), (200_000, 64))
_LARGEST_BATCH, _LEAST_BATCH = 128, 8
"""Pairs of a batch by how many there are."""

_STEPS_PER_EPOCH = 24
"""A batch is as small as leaves an epoch so many steps."""

_RATE = 2e-3
_VALIDATIONS_PER_EPOCH, _VALIDATIONS = 1, 20
"""At least one for each epoch; of few epochs so many in all."""


def are_sentences(tokens: PairTokenOptions, num_known: int) -> bool:
    """Return whether targets are sentences, and not words, actions or numbers, as far as their tokens tell.

    Args:
        tokens: With every kind chosen.
        num_known: Tokens that targets may have.
    """
    return tokens.target_tokens in ("bpe", "word") or (
        tokens.target_tokens == "character" and num_known >= _MANY_CHARACTERS
    )


def are_few(num_pairs: int, minutes: float | None = None) -> bool:
    """Return whether so many pairs of sentences in the training part are few, for which larger networks pay.

    Args:
        num_pairs: Of the training part.
        minutes: What the training is given, if that is said: larger networks need time for each pair.

    Example:
        >>> are_few(3_600), are_few(3_600, minutes=5), are_few(300, minutes=5), are_few(5_000)
        (True, False, True, False)
    """
    most = _FEW_SENTENCES * min(1.0, (DEFAULT_MINUTES if minutes is None else minutes) / DEFAULT_MINUTES)
    return num_pairs <= most


def choose(
    training: PairTrainingOptions, *, num_pairs: int, has_sentences: bool = False, steps_per_epoch: int | None = None
) -> PairTrainingOptions:
    """Return the options with every None replaced by a value, but for bounds where another one is given.

    Args:
        training: As the user gave them; `devices` is the number of processes.
        num_pairs: Of the training part.
        has_sentences: As of `are_sentences`.
        steps_per_epoch: Where that is known; else it is taken from the number of pairs.

    Example:
        >>> chosen = choose(PairTrainingOptions(), num_pairs=3_600)
        >>> chosen.batch_size, chosen.max_epochs, chosen.learning_rate, chosen.validate_every
        (32, 30, 0.002, 113)
    """
    batch_size = training.batch_size or _batch_size(num_pairs, training.devices)
    steps_per_epoch = steps_per_epoch or max(1, math.ceil(num_pairs / batch_size))
    most = _MOST_OF_SENTENCES if has_sentences and are_few(num_pairs) else _MOST_EPOCHS
    seen = _SEEN_OF_SENTENCES if has_sentences else _SEEN
    epochs = min(max(round(seen / max(1, num_pairs)), _LEAST_EPOCHS), most)
    epochs = max(epochs, math.ceil(_LEAST_STEPS / steps_per_epoch))
    if all(getattr(training, name) is None for name in BOUNDS):
        training = replace(training, max_minutes=DEFAULT_MINUTES, max_epochs=epochs)
    validations = max(_VALIDATIONS_PER_EPOCH, math.ceil(_VALIDATIONS / epochs))
    return replace(
        training,
        batch_size=batch_size,
        learning_rate=training.learning_rate or _RATE,
        clip_norm=1.0 if all(getattr(training, name) is None for name in CLIPPING) else training.clip_norm,
        validate_every=training.validate_every or max(10, math.ceil(steps_per_epoch / validations)),
        patience=training.patience or 0,
    )


def _batch_size(num_pairs: int, devices: int) -> int:
    size = next((size for most, size in _BATCHES if num_pairs <= most), _LARGEST_BATCH)
    while size > _LEAST_BATCH and num_pairs // size < _STEPS_PER_EPOCH:
        size //= 2
    return max(size // devices, 1) * devices
