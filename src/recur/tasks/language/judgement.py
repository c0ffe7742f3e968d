"""The last word on a trained language model: held-out figures beside the baselines, and what surprised it most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.corpus import Part, encode_text
from recur.errors import DataError, OptionError, RunError
from recur.models.ngram import NGramModel
from recur.run import RunFolder
from recur.tasks.advice import TRAIN_ON, longer_or_more
from recur.tasks.language.held_out import HeldOutFigures, most_surprising, score_baseline
from recur.tasks.language.run_text import corpus_of, text_options
from recur.tasks.language.trained import TrainedLanguageModel, load
from recur.wording import quantity

LARGEST_BASELINE = 20_000_000
"""Tokens of the training part that the n-gram models count at most, so that they fit into memory."""

_FEW_TOKENS = 5000
"""With fewer a network hardly learns to spell, however long it trains."""

_TOKENS_PER_STREAM = 8192
_MOST_STREAMS = 64


def streams_for(num_tokens: int) -> int:
    """Return how many parts of a text are judged side by side: few enough that the burn-in costs little."""
    return min(max(num_tokens // _TOKENS_PER_STREAM, 1), _MOST_STREAMS)


def baselines(train_ids: NDArray[Any], vocabulary_size: int) -> dict[str, NGramModel]:
    """Return a unigram and, where the vocabulary allows it, a trigram model of the training part, by name."""
    ids = train_ids[:LARGEST_BASELINE]
    found = {"unigram": NGramModel(vocabulary_size, order=1).fit(ids)}
    if 3 * np.log2(vocabulary_size) <= 62:
        found["trigram"] = NGramModel(vocabulary_size, order=3).fit(ids)
    return found


def partly_counted(train_ids: NDArray[Any]) -> str:
    """Return what has to be said of baselines that were counted on a part of the training part; empty if nothing."""
    if len(train_ids) <= LARGEST_BASELINE:
        return ""
    return f"the baselines know only the first {LARGEST_BASELINE:,} of {len(train_ids):,} tokens to train on."


def judge(
    trained: TrainedLanguageModel,
    ids: NDArray[Any],
    *,
    characters: int,
    document_starts: NDArray[np.int64] | None,
    against: dict[str, NGramModel],
    streams: int | None = None,
    window: int = 512,
    progress: Callable[[int], None] | None = None,
) -> tuple[HeldOutFigures, dict[str, HeldOutFigures], NDArray[np.float32]]:
    """Return the model's figures, each baseline's, and the loss of every token from the second on, (N - 1,) nats.

    Args:
        trained: The model.
        ids: The text's tokens, (N,), N at least 2.
        characters: Characters that they spell.
        document_starts: Where documents start, or None.
        against: The baselines.
        streams: Parts of the text read side by side; chosen by its length when None.
        window: Tokens run at once.
        progress: Called with the number of tokens judged so far.
    """
    losses: dict[int, list[NDArray[np.float32]]] = {}
    figures = trained.evaluate(
        ids,
        characters=characters,
        document_starts=document_starts,
        streams=streams or streams_for(len(ids)),
        window=window,
        progress=progress,
        losses=losses,
    )
    first = trained.first_token_nats(int(ids[0]))
    others = {
        name: score_baseline(model, ids, first_token_nats=first, characters=characters)
        for name, model in against.items()
    }
    nats = np.concatenate([part for stream in sorted(losses) for part in losses[stream]])
    return figures, others, nats


def verdict(part: str, figures: HeldOutFigures, others: dict[str, HeldOutFigures], *, advice: str = TRAIN_ON) -> str:
    """Return one sentence: how good, and whether the best baseline was beaten.

    Args:
        part: The text's name: train, valid or test; or given, which the training knows nothing of.
        figures: The model's.
        others: The baselines', by name.
        advice: What to do if none of them is beaten, as `advice_for` gives it; not told of a given text.
    """
    ours = figures.nats_per_character
    text = f"{ours:.3f} nats per character on the {part} text"
    if not others:
        return f"{text}."
    name, best = min(others.items(), key=lambda item: item[1].nats_per_character)
    gap = best.nats_per_character - ours
    # Not a comparison with <=, which a loss that is no number would pass.
    if not gap > 0:
        more = ", which has counted the training part" if part in ("given", "train") else f"; {advice}"
        return f"{text}: the model does NOT beat a {name} model ({best.nats_per_character:.3f}){more}."
    return f"{text}, {gap:.3f} below a {name} model ({best.nats_per_character:.3f})."


def advice_for(run: RunFolder, train_tokens: int) -> str:
    """Return what may make the model of a finished run better than the baselines: more text, or more training.

    Args:
        run: The run, whose metrics tell how often the text was read.
        train_tokens: Length of its training part.
    """
    if train_tokens < _FEW_TOKENS:
        return f"{quantity(train_tokens, 'token')} to train on are too few, so give it more text"
    return longer_or_more(run, "text")


def surprising_passages(
    trained: TrainedLanguageModel, ids: NDArray[Any], nats: NDArray[np.float32], *, passages: int = 12
) -> list[dict[str, Any]]:
    """Return the stretches of text with the highest mean loss, as they stand in `evaluation.json`.

    Args:
        trained: The model, for its vocabulary.
        ids: The text's tokens, (N,).
        nats: Loss of each token from the second on, (N - 1,).
        passages: How many at most.
    """
    found = []
    for start, stop in most_surprising(nats, passages=passages):
        own = nats[start:stop]
        found.append(
            {
                "position": start + 1,
                "loss_mean": float(own.mean()),
                "tokens": [trained.tokenizer.symbol(int(token)) for token in ids[start + 1 : stop + 1]],
                "losses": [round(float(loss), 4) for loss in own],
            }
        )
    return found


def evaluate_run(
    run: str | Path,
    data: Sequence[str | Path] = (),
    *,
    part: Part = "test",
    streams: int | None = None,
    window: int = 512,
    device: str = "cpu",
    encoding: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Return the figures of a run's model and of the baselines, as `recur evaluate --json` prints them.

    Args:
        run: The run folder.
        data: Text to judge; the run's own held-out part when empty.
        part: Which part of the run's own text.
        streams: Parts of the text read side by side; chosen by its length when None, 1 is exact.
        window: Tokens run at once.
        device: Where the model computes.
        encoding: Encoding of `data`; that of the run's own text when None.
        progress: Called with the number of tokens judged so far.

    Raises:
        RunError: The run is missing or damaged, or its text is needed and cannot be found.
        DataError: `data` cannot be used.
        OptionError: `encoding` is none of text files, or would be ignored.
    """
    if encoding is not None and not data:
        raise OptionError("encoding is of DATA, and the run's own text is read as it was; leave encoding or give DATA.")
    folder = RunFolder.open(run)
    trained = load(folder, device=device)
    notes: list[str] = []
    against: dict[str, NGramModel] = {}
    advice = TRAIN_ON
    try:
        own = corpus_of(folder)
        against = baselines(own.train, trained.tokenizer.vocabulary_size)
        notes += filter(None, [partly_counted(own.train)])
        advice = advice_for(folder, len(own.train))
    except (RunError, DataError) as error:
        if not data:
            raise
        notes.append(f"no baselines, for they need the run's own text: {error}")
        own = None
    if data:
        text = encode_text(data, trained.tokenizer, text_options(folder, encoding))
        ids, characters, starts, unknown, name = text.ids, text.characters, text.documents, text.unknown, "given"
    else:
        assert own is not None
        ids, characters, starts, unknown = own.ids(part), own.characters(part), own.documents(part), own.unknown(part)
        name = part
    if unknown:
        are = "is a character" if unknown == 1 else "are characters"
        notes.append(f"{unknown:,} of {quantity(len(ids), 'token')} {are} that the training part does not have.")
    figures, others, _ = judge(
        trained,
        ids,
        characters=characters,
        document_starts=starts,
        against=against,
        streams=streams,
        window=window,
        progress=progress,
    )
    return {
        "part": name,
        "model": figures.to_json(),
        "baselines": {key: other.to_json() for key, other in others.items()},
        "verdict": verdict(name, figures, others, advice=advice),
        "notes": notes,
    }
