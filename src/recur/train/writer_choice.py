"""Defaults of writers by their texts: what a token is, and the size of the network. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recur.data.texts.token_options import WriterTokenOptions
from recur.models.texts.writer_options import WriterOptions

_SHORT = 100
"""Characters in the mean up to which texts are written by character."""

_FEW = 20_000
"""Characters, about, below which a network is half as wide."""

_FEW_TOKENS = 256
"""Vocabularies of characters have up to so many; those of pieces of words have more."""

_CONTEXT = 32


def choose_written_tokens(
    options: WriterTokenOptions, texts: Sequence[str]
) -> tuple[WriterTokenOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, by name.

    What is written is to have its capitals and its blanks, so that words are chosen by nobody but the user.

    Args:
        options: As the user gave them.
        texts: Of the training part.

    Example:
        >>> chosen, why = choose_written_tokens(WriterTokenOptions(), ["Schmidt", "Ito"])
        >>> chosen.tokens, chosen.lowercase, why["tokens"]
        ('character', False, 'texts are short')
    """
    reasons: dict[str, str] = {}
    if options.tokens is None:
        is_short = sum(map(len, texts)) <= _SHORT * len(texts)
        reasons["tokens"] = "texts are short" if is_short else "texts are long"
        options = replace(options, tokens="character" if is_short else "bpe")
    if options.lowercase is None:
        options = replace(options, lowercase=False)
    if options.min_count is None and options.tokens != "bpe":
        options = replace(options, min_count=2 if options.tokens in ("word", "space") else 1)
    return options, reasons


def choose_writer(options: WriterOptions, *, num_tokens: int, vocabulary_size: int) -> WriterOptions:
    """Return options with every None replaced by a value.

    Args:
        options: As the user gave them.
        num_tokens: Of the training part.
        vocabulary_size: Number of different tokens.

    Example:
        >>> chosen = choose_writer(WriterOptions(), num_tokens=120_000, vocabulary_size=80)
        >>> chosen.cell, chosen.num_layers, chosen.hidden_size, chosen.embedding_size, chosen.dropout
        ('lstm', 1, 256, 64, 0.3)
    """
    hidden = options.hidden_size or (256 if num_tokens >= _FEW else 128)
    is_few = vocabulary_size <= _FEW_TOKENS
    dropout = 0.3 if options.dropout is None else options.dropout
    embedded = options.embedding_size or (hidden if options.tied else 64 if is_few else 256)
    on_embedding = options.embedding_dropout
    return replace(
        options,
        cell=options.cell or "lstm",
        num_layers=options.num_layers or 1,
        hidden_size=hidden,
        embedding_size=embedded,
        dropout=dropout,
        embedding_dropout=(0.0 if is_few else dropout) if on_embedding is None else on_embedding,
        context_size=options.context_size or _CONTEXT,
    )
