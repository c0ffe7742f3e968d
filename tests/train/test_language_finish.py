"""What comes after training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from recur.errors import TrainingError
from recur.tasks.language import judgement
from recur.train import language_finish

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.mark.parametrize("nats", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_figures_that_are_not_finite_are_an_error(
    part: str, nats: float, train: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judgement.judge

    def spoilt(*arguments: Any, against: Any, **options: Any) -> Any:
        figures, others, losses = judge(*arguments, against=against, **options)
        is_spoilt = bool(against) == (part == "test")
        return replace(figures, nats=nats) if is_spoilt else figures, others, losses

    monkeypatch.setattr(judgement, "judge", spoilt)
    with pytest.raises(TrainingError, match=rf"run: the loss on the {part} text is not finite, .* lower learning_rate"):
        train(max_steps=5)
    assert not (tmp_path / "run/evaluation.json").exists()


def test_a_long_text_is_judged_in_part_and_that_is_said(train: Any, console: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(language_finish, "EVALUATION_TOKENS", 300)
    monkeypatch.setattr(judgement, "LARGEST_BASELINE", 8000)
    run = train(max_steps=5)
    found = run.read_json("evaluation.json")
    assert found["valid"]["tokens"] == found["model"]["tokens"] == found["model"]["characters"] == 300
    notes = [line for line in console.file.getvalue().splitlines() if line.startswith("note ")]
    assert notes == [
        "note     the baselines know only the first 8,000 of 9,000 tokens to train on.",
        *(
            f"note     of the {part} part the first 300 of 500 tokens are judged; "
            f"all of them: recur evaluate {run.path} --part {part}"
            for part in ("valid", "test")
        ),
    ]
    assert judgement.evaluate_run(run.path)["notes"] == [notes[0].removeprefix("note     ")]
