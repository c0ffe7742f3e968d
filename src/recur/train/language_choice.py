"""Defaults of language models by the text, the time and the machine: size of the model, batch, learning rate.

They were found by measurement; `docs/tasks/language.md` has the figures.
"""

from __future__ import annotations

import math
from dataclasses import replace

from recur.models.options import LanguageModelOptions
from recur.train.options import CLIPPING, LanguageTrainingOptions

DEFAULT_MINUTES = 10.0

_TOKENS_PER_MINUTE = {128: 6_000_000, 256: 2_400_000, 512: 800_000}
"""What two processor cores train in a minute, by hidden size; 32 streams, windows of 64."""

_WINDOW = 64

_FEW_TOKENS = 256
"""Vocabularies of characters and bytes have up to so many; those of pieces of words have more."""

_GPU_WORTH = 30.0
"""How many minutes on two cores a minute on a GPU is worth."""


def choose(
    model: LanguageModelOptions,
    training: LanguageTrainingOptions,
    *,
    num_tokens: int,
    vocabulary_size: int,
    has_gpu: bool,
) -> tuple[LanguageModelOptions, LanguageTrainingOptions]:
    """Return both options with every None replaced by a value.

    Args:
        model: As the user gave them.
        training: As the user gave them.
        num_tokens: Tokens of the training part.
        vocabulary_size: Number of different tokens.
        has_gpu: Whether training runs on a GPU.
    """
    if training.max_minutes is None and training.max_epochs is None and training.max_steps is None:
        training = replace(training, max_minutes=DEFAULT_MINUTES)
    minutes = training.max_minutes if training.max_minutes is not None else DEFAULT_MINUTES
    window = training.window or min(_WINDOW, training.reach or _WINDOW)
    # The steps that the gradient goes back over are run again for each window.
    worth = minutes * (_GPU_WORTH if has_gpu else 1.0) * window / max(training.reach or 0, window)
    batch_size = training.batch_size or _batch_size(num_tokens, training.devices, has_gpu)
    hidden_size = model.hidden_size or _hidden_size(worth, num_tokens)
    epochs = _epochs(training, worth, hidden_size, num_tokens, batch_size * window)
    dropout = _dropout(epochs, hidden_size) if model.dropout is None else model.dropout
    model = replace(
        model,
        cell=model.cell or "lstm",
        num_layers=model.num_layers or 2,
        hidden_size=hidden_size,
        embedding_size=model.embedding_size or (hidden_size if model.tied else _embedding_size(vocabulary_size)),
        dropout=dropout,
        embedding_dropout=_embedding_dropout(vocabulary_size, dropout)
        if model.embedding_dropout is None
        else model.embedding_dropout,
    )
    windows = max(1, -(-((num_tokens - 1) // batch_size) // window))
    training = replace(
        training,
        batch_size=batch_size,
        window=window,
        learning_rate=training.learning_rate or min(4e-3 * (256 / hidden_size) ** 0.5, 6e-3),
        clip_norm=1.0 if all(getattr(training, name) is None for name in CLIPPING) else training.clip_norm,
        validate_every=training.validate_every or min(max(windows, 100), 500),
        probe_every=_probe_every(model, batch_size * window) if training.probe_every is None else training.probe_every,
    )
    return model, training


def _hidden_size(worth: float, num_tokens: int) -> int:
    if num_tokens < 50_000 or worth < 1:
        return 128
    return 256 if worth < 15 else 512


def _embedding_size(vocabulary_size: int) -> int:
    # Few symbols need few dimensions, and the first layer's work grows with each.
    return 64 if vocabulary_size <= _FEW_TOKENS else 256


def _embedding_dropout(vocabulary_size: int, dropout: float) -> float:
    # A character with a quarter of its vector missing is hard to tell from another, and is seen too often to overfit.
    return 0.0 if vocabulary_size <= _FEW_TOKENS else dropout


def _epochs(
    training: LanguageTrainingOptions, worth: float, hidden_size: int, num_tokens: int, tokens_per_step: int
) -> float:
    """Return about how often the text will be read through."""
    epochs = []
    if training.max_epochs is not None:
        epochs.append(float(training.max_epochs))
    if training.max_steps is not None:
        epochs.append(training.max_steps * tokens_per_step / num_tokens)
    if training.max_minutes is not None:
        nearest = min(_TOKENS_PER_MINUTE, key=lambda size: abs(size - hidden_size))
        epochs.append(worth * _TOKENS_PER_MINUTE[nearest] / num_tokens)
    return min(epochs)


def _probe_every(model: LanguageModelOptions, tokens_per_step: int) -> int:
    # A probe takes some 40 ms whatever the batch, a step six operations for each weight and token; 2e11 a second on two
    # cores. Of the time of training, probes may take a fiftieth.
    assert model.num_layers is not None
    assert model.hidden_size is not None
    weights = 8 * model.num_layers * model.hidden_size**2
    seconds_per_step = 6 * weights * tokens_per_step / 2e11
    return max(100, 50 * math.ceil(50 * 0.04 / seconds_per_step / 50))


def _dropout(epochs: float, hidden_size: int) -> float:
    # How often a text is read, and how much room there is, decides how much of it can be learned by heart.
    if epochs < 2:
        return 0.0
    if epochs < 15:
        return 0.2
    return 0.3 if hidden_size <= 256 else 0.4


def _batch_size(num_tokens: int, devices: int, has_gpu: bool) -> int:
    wanted = 128 if has_gpu else 32
    # A short text is cut into fewer streams, so that each still has some windows.
    while wanted > devices and (num_tokens - 1) // wanted < 256:
        wanted //= 2
    return max(wanted // devices, 1) * devices
