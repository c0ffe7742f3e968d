"""Translators with weights as they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recur.data.texts.options import PairOptions
from recur.data.texts.pair_tokens import choose_pair_tokens
from recur.data.texts.token_options import PairTokenOptions
from recur.decode import DecodingOptions
from recur.models.texts.translator_options import TranslatorOptions
from recur.tasks.translate.setup import TranslationSetup, cut_pairs
from recur.tasks.translate.trained import TrainedTranslator

WORDS = ("red", "green", "door", "house", "old", "new")
GREEDY = DecodingOptions(max_length=8)
WIDE = DecodingOptions(beams=4, num_best=3, max_length=8, length_penalty="gnmt")


def pairs(count: int = 60) -> tuple[list[str], list[str]]:
    """Sentences of known words, and their words in capitals, backwards."""
    draw = np.random.default_rng(0)
    sources = [" ".join(draw.choice(WORDS, draw.integers(2, 5))) for _ in range(count)]
    return sources, [" ".join(reversed(source.upper().split())) for source in sources]


def rare() -> tuple[list[str], list[str]]:
    """The same, each target with a word of its own, which is not known."""
    sources, targets = pairs()
    return sources, [f"{target} {'XYZ'[row % 3]}{row}Q" for row, target in enumerate(targets)]


def made(
    tokens: str | tuple[str, str] = "word",
    *,
    data: tuple[list[str], list[str]] | None = None,
    reading: PairOptions | None = None,
    joint: bool = False,
    **options: Any,
) -> TrainedTranslator:
    """Return a translator with weights as they are drawn, spread so that its answers differ."""
    reading = reading or PairOptions()
    source, target = (tokens, tokens) if isinstance(tokens, str) else tokens
    asked: Any = {"source_tokens": source, "target_tokens": target, "vocabulary": "joint" if joint else "own"}
    examples = cut_pairs(data or pairs(), reading, seed=0)
    train = examples.of_part("train")
    chosen, _ = choose_pair_tokens(PairTokenOptions(**asked), train.sources, train.targets)
    setup = TranslationSetup.fit(examples, chosen, reading=reading)
    torch.manual_seed(1)
    model = TranslatorOptions(**{"hidden_size": 8, "embedding_size": 6, **options})
    network = TrainedTranslator.build(model, setup)
    with torch.no_grad():
        for name, one in network.named_parameters():
            if one.dim() == 2:
                one.mul_(10 if "embedding" in name else 2)
    return TrainedTranslator(network, setup, model)


def always(trained: TrainedTranslator, token: int) -> TrainedTranslator:
    """Let a translator write one token for ever."""
    network: Any = trained.network
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.fill_(-1e4)
        network.output.bias[token] = 0
    return trained
