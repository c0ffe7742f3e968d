"""What comes after training: the best weights judged on the held-out parts, and the report."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from recur.data.corpus import Corpus, Part
from recur.errors import Interrupted, TrainingError
from recur.report import write_report
from recur.run import RunFolder
from recur.tasks import judgement
from recur.tasks.trained_language import load
from recur.train import processes
from recur.train.display import Display

EVALUATION_TOKENS = 1_000_000
"""Tokens of a held-out part that are judged at the end of a training; `recur evaluate` judges all."""


def finish_alone(run: RunFolder, text: Corpus, display: Display) -> RunFolder:
    """Judge and report in the first process only, and say how to go on when that is interrupted.

    Raises:
        Interrupted: Ctrl-C; the training itself is saved.
        TrainingError: The figures are not finite.
    """
    if not processes.is_first():
        raise SystemExit(0)
    try:
        return _finish(run, text, display)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"interrupted after the training, all is saved; judge it with: recur train --resume {run.path}"
        ) from error
    finally:
        display.stop()


def _finish(run: RunFolder, text: Corpus, display: Display) -> RunFolder:
    """Judge the best weights on the held-out parts, write `evaluation.json` and the report."""
    trained = load(run)
    against = judgement.baselines(text.train, text.tokenizer.vocabulary_size)
    evaluation: dict[str, Any] = {"part": "test"}
    parts: tuple[Part, ...] = ("valid", "test")
    for part in parts:
        ids = text.ids(part)
        is_cut = len(ids) > EVALUATION_TOKENS
        ids = ids[:EVALUATION_TOKENS]
        characters = text.tokenizer.characters_of(ids) if is_cut else text.characters(part)
        starts = text.documents(part)
        display.start(f"judging the {part} part", total=len(ids))
        figures, others, nats = judgement.judge(
            trained,
            ids,
            characters=characters,
            document_starts=None if starts is None else starts[starts < len(ids)],
            against=against if part == "test" else {},
            progress=_judging(display, len(ids)),
        )
        display.stop()
        if part == "valid":
            evaluation["valid"] = figures.to_json()
            continue
        evaluation["model"] = figures.to_json()
        evaluation["baselines"] = {name: other.to_json() for name, other in others.items()}
        evaluation["verdict"] = judgement.verdict(part, figures, others)
        evaluation["surprising"] = judgement.surprising_passages(trained, ids, nats)
    if not math.isfinite(evaluation["model"]["nats_per_character"]):
        raise TrainingError(
            f"{run.path}: the loss on the test text is not finite, for the weights are too large; "
            "train anew with a lower learning_rate."
        )
    run.write_json("evaluation.json", _finite(evaluation))
    write_report(run)
    return run


def _judging(display: Display, total: int) -> Callable[[int], None]:
    return lambda done: display.advance(done, f"{done:,} of {total:,} tokens")


def _finite(content: Any) -> Any:
    """Return JSON without the numbers that JSON has no words for, such as a perplexity that overflows."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items() if value not in (math.inf, -math.inf)}
    return content
