"""What a translator wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from recur.decode import Hypothesis, replace_unknown
from recur.tasks.translate.setup import TranslationSetup
from recur.token_ids import UNKNOWN
from recur.wording import option, quantity

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A text that was written from another.

    Attributes:
        text: What was written.
        tokens: Its tokens.
        source_tokens: Those of what was read.
        score: What it was ranked by.
        log_prob: The model's log-probability of the tokens and the end, in nats.
        ended: As of `recur.decode.Hypothesis`: "end"; "length" where it was cut off at its maximum length; "stuck".
        attention: Where each token looked, (tokens, source_tokens); None where the model does not look, or it is not
            kept.
        missing: What was required and is not in it, as where its maximum length leaves no room, or the source lacks a
            word that could but be copied.
    """

    text: str
    tokens: tuple[str, ...]
    source_tokens: tuple[str, ...]
    score: float
    log_prob: float
    ended: Literal["end", "length", "stuck"]
    attention: Tensor | None = field(default=None, compare=False, repr=False)
    missing: tuple[str, ...] = ()


def cut_off(ended: Sequence[str], *, is_asked: bool = True) -> list[str]:
    """Return a note of how many answers did not come to an end by themselves; none where all did.

    Args:
        ended: How each ended.
        is_asked: Whether who reads it can ask for longer ones; a judgement takes no lengths.
    """
    longer = f"; give {option('max_length')} for longer ones" if is_asked else ""
    notes = []
    for why, what in (
        ("length", f"cut off at the most tokens that they may have{longer}"),
        ("stuck", "stopped, as nothing that is allowed could follow"),
    ):
        count = sum(one == why for one in ended)
        if count:
            notes.append(f"{count:,} of {quantity(len(ended), 'answer')} {what}")
    return notes


def lacking(missing: Sequence[str | None]) -> list[str]:
    """Return a note of how many answers do not hold all that was required; none where all do.

    Args:
        missing: What is not in each; None where nothing is.
    """
    count = sum(one is not None for one in missing)
    if not count:
        return []
    return [
        f"{count:,} of {quantity(len(missing), 'answer')} without some of what is required, which does not fit into "
        "the most tokens that they may have, or with what else is asked, or could but be copied from another text"
    ]


def empty_translation() -> Translation:
    """Return what becomes of an empty text."""
    return Translation(text="", tokens=(), source_tokens=(), score=0.0, log_prob=0.0, ended="end")


def translation_of(
    setup: TranslationSetup,
    source: str,
    hypothesis: Hypothesis,
    copied: Sequence[str] = (),
    required: Sequence[str] = (),
    unwritable: Sequence[str] = (),
) -> Translation:
    """Return the text of what a decoder found.

    Args:
        setup: How texts become tokens.
        source: What was read.
        hypothesis: What was found.
        copied: What the ids behind the last one of targets stand for.
        required: What was required of it, in the decoder's order.
        unwritable: What was required too, but could not be written from this source.
    """
    vocabulary = setup.target_vocabulary
    tokens, attention = hypothesis.tokens, hypothesis.attention
    symbols = [copied[one - vocabulary.size] if one >= vocabulary.size else vocabulary.symbol(one) for one in tokens]
    pieces = tuple(piece.text for piece in setup.source_vocabulary.cut(source))
    if vocabulary.bpe is not None:
        text = vocabulary.text_of(tokens)
    else:
        if UNKNOWN in tokens and attention is not None and pieces:
            # An unknown word is most likely that which was looked at.
            places = [-1 if token == UNKNOWN else place for place, token in enumerate(tokens)]
            symbols = replace_unknown(places, attention, setup.words_at(source), symbols, unknown=-1)
        text = vocabulary.join(symbols)
    return Translation(
        text=text,
        tokens=tuple(symbols),
        source_tokens=pieces,
        score=hypothesis.score,
        log_prob=hypothesis.log_prob,
        ended=hypothesis.ended,
        attention=attention,
        missing=(*(required[place] for place in hypothesis.missing), *unwritable),
    )


def table_of(
    sources: Sequence[str],
    answers: Sequence[Sequence[Translation]],
    names: tuple[str, str],
    *,
    has_ranks: bool,
    has_missing: bool,
) -> pl.DataFrame:
    """Return answers as a table, a row for each.

    Args:
        sources: What was read.
        answers: To each, the best ones first.
        names: What sources and targets are called; a column that would be called so too has an underscore behind its
            name.
        has_ranks: Whether it says of each answer which it is, from 1 on.
        has_missing: Whether it says what is missing of what was required.
    """
    import polars as pl

    source, target = names
    rank, score, ended, missing = (_not_in(names, name) for name in ("rank", "score", "ended", "missing"))
    rows = [
        (text, place, one.text, one.score, one.ended, ",".join(one.missing) or None)
        for text, found in zip(sources, answers, strict=True)
        for place, one in enumerate(found, start=1)
    ]
    columns = {source: pl.String, rank: pl.Int64, target: pl.String, score: pl.Float64, ended: pl.String}
    frame = pl.DataFrame(rows, schema=columns | {missing: pl.String}, orient="row")
    return frame.drop([*([] if has_ranks else [rank]), *([] if has_missing else [missing])])


def _not_in(taken: tuple[str, ...], name: str) -> str:
    """Return a name that is not taken."""
    while name in taken:
        name += "_"
    return name
