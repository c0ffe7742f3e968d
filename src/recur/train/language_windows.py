"""The windows that a language model learns from: of one length, or of random ones that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from recur.gradients.truncation.window_lengths import WindowLengths
from recur.train.options import LanguageTrainingOptions


def lengths_of(training: LanguageTrainingOptions) -> int | WindowLengths:
    """Return the steps of a window, or the law of their random lengths.

    Args:
        training: With every value chosen.
    """
    assert training.window is not None
    if not training.vary_window:
        return training.window
    law = WindowLengths(training.window)
    if training.reach is None or training.reach == training.window:
        return law
    return WindowLengths(training.window, most=min(law.longest, training.reach))


def cut_by(training: LanguageTrainingOptions) -> int | Callable[[int, int], list[int]]:
    """Return how `TokenStreams` cuts an epoch, the same in all processes and after every resume."""
    lengths = lengths_of(training)
    if isinstance(lengths, int):
        return lengths

    def cut(num_steps: int, epoch: int) -> list[int]:
        # Seeds next to each other, and other things drawn with the same seed, have nothing in common with it.
        words = np.random.SeedSequence([training.seed, epoch]).generate_state(1, np.uint64)
        return lengths.partition(num_steps, torch.Generator().manual_seed(int(words[0] >> np.uint64(1))))

    return cut
