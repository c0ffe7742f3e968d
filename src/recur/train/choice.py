"""Defaults that depend on the text, the time and the machine: size of the model, batch, learning rate.

They were found by measurement; `docs/tasks/language.md` has the figures.
"""

from __future__ import annotations

from dataclasses import replace

from recur.models.options import LanguageModelOptions
from recur.train.options import TrainingOptions

DEFAULT_MINUTES = 10.0


def choose(
    model: LanguageModelOptions, training: TrainingOptions, *, num_tokens: int, has_gpu: bool
) -> tuple[LanguageModelOptions, TrainingOptions]:
    """Return both options with every None replaced by a value.

    Args:
        model: As the user gave them.
        training: As the user gave them.
        num_tokens: Tokens of the training part.
        has_gpu: Whether training runs on a GPU.
    """
    training = _bounded(training)
    minutes = training.max_minutes if training.max_minutes is not None else DEFAULT_MINUTES
    # A GPU does in a minute what two cores do in thirty.
    worth = minutes * (30.0 if has_gpu else 1.0)
    hidden_size = model.hidden_size or _hidden_size(worth, num_tokens)
    model = replace(
        model,
        cell=model.cell or "lstm",
        num_layers=model.num_layers or 2,
        hidden_size=hidden_size,
        embedding_size=model.embedding_size or hidden_size,
        dropout=_dropout(worth, num_tokens) if model.dropout is None else model.dropout,
    )
    batch_size = training.batch_size or _batch_size(num_tokens, training.devices, has_gpu)
    window = training.window or 64
    windows = max(1, -(-((num_tokens - 1) // batch_size) // window))
    training = replace(
        training,
        batch_size=batch_size,
        window=window,
        learning_rate=training.learning_rate or 4e-3 * (256 / hidden_size) ** 0.5,
        clip_norm=1.0 if training.clip_norm is None and training.clip_value is None else training.clip_norm,
        validate_every=training.validate_every or min(max(windows, 100), 500),
    )
    return model, training


def _bounded(training: TrainingOptions) -> TrainingOptions:
    if training.max_minutes is None and training.max_epochs is None and training.max_steps is None:
        return replace(training, max_minutes=DEFAULT_MINUTES)
    return training


def _hidden_size(worth: float, num_tokens: int) -> int:
    if num_tokens < 50_000:
        return 128
    if worth < 1:
        return 128
    return 256 if worth < 15 else 512


def _dropout(worth: float, num_tokens: int) -> float:
    # How often a text is read through decides how much of it can be learned by heart.
    readings = worth * 1.5e6 / max(num_tokens, 1)
    if readings < 3:
        return 0.0
    if readings < 20:
        return 0.1
    return 0.3


def _batch_size(num_tokens: int, devices: int, has_gpu: bool) -> int:
    wanted = 128 if has_gpu else 32
    # A short text is cut into fewer streams, so that each still has some windows.
    while wanted > devices and (num_tokens - 1) // wanted < 256:
        wanted //= 2
    return max(wanted // devices, 1) * devices
