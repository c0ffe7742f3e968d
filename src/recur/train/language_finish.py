"""What comes after training a language model: the best weights judged on the held-out parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from recur.data.corpus import Corpus, Part
from recur.errors import TrainingError
from recur.run import RunFolder
from recur.tasks.language import judgement
from recur.tasks.language.trained import load
from recur.train.display import Display

EVALUATION_TOKENS = 1_000_000
"""Tokens of a held-out part that are judged at the end of a training; `recur evaluate` judges all."""


def judge_best(run: RunFolder, text: Corpus, display: Display, device: str) -> None:
    """Judge the best weights on the held-out parts, and write `evaluation.json`.

    Args:
        run: A run with its best weights.
        text: Its text.
        display: Where progress is shown.
        device: Where the model computes, which is where it was trained.

    Raises:
        TrainingError: The figures are not finite.
    """
    trained = load(run, device=device)
    against = judgement.baselines(text.train, text.tokenizer.vocabulary_size)
    partly_counted = judgement.partly_counted(text.train)
    if partly_counted:
        display.say(f"note     {partly_counted}")
    evaluation: dict[str, Any] = {"part": "test"}
    parts: tuple[Part, ...] = ("valid", "test")
    for part in parts:
        ids = text.ids(part)
        is_cut = len(ids) > EVALUATION_TOKENS
        if is_cut:
            display.say(
                f"note     of the {part} part the first {EVALUATION_TOKENS:,} of {len(ids):,} tokens are judged; "
                f"all of them: recur evaluate {run.path} --part {part}"
            )
        ids = ids[:EVALUATION_TOKENS]
        characters = text.tokenizer.characters_of(ids) if is_cut else text.characters(part)
        starts = text.documents(part)
        with display.phase(f"judging the {part} part", total=len(ids)):
            figures, others, nats = judgement.judge(
                trained,
                ids,
                characters=characters,
                document_starts=None if starts is None else starts[starts < len(ids)],
                against=against if part == "test" else {},
                progress=_judging(display, len(ids)),
            )
        if not math.isfinite(figures.nats):
            raise TrainingError(
                f"{run.path}: the loss on the {part} text is not finite, for the weights are too large; "
                "train anew with a lower learning_rate."
            )
        if part == "valid":
            evaluation["valid"] = figures.to_json()
            continue
        evaluation["model"] = figures.to_json()
        evaluation["baselines"] = {name: other.to_json() for name, other in others.items()}
        evaluation["verdict"] = judgement.verdict(
            part, figures, others, advice=judgement.advice_for(run, len(text.train))
        )
        evaluation["surprising"] = judgement.surprising_passages(trained, ids, nats)
    evaluation["weights"] = run.weights_checksum()
    run.write_json("evaluation.json", evaluation)


def _judging(display: Display, total: int) -> Callable[[int], None]:
    return lambda done: display.advance(done, f"{done:,} of {total:,} tokens")
