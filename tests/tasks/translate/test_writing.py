"""How texts are found to be written."""

from __future__ import annotations

import pytest

from recur.tasks.translate.writing import main_score, writing_of


@pytest.mark.parametrize(
    ("texts", "writing", "main"),
    [
        (["k a t", "d o g s"] * 30, "symbols", "exact"),
        (["I_WALK I_JUMP", "I_JUMP I_JUMP I_RUN"] * 30, "symbols", "exact"),
        (["The cat sat on the mat.", "A dog barked all night."], "words", "chrf"),
        (["2024-01-31", "1999-12-01"] * 20, "characters", "exact"),
        (["walked", "ran"], "characters", "exact"),
        (["東京", "大阪府"], "characters", "exact"),
        (["私は猫が好きです。", "これはペンだと思う"] * 20, "characters", "chrf"),
        (["私 は 猫 が 好き です", "これ は ペン だ と 思う"], "characters", "chrf"),
        (["ฉันชอบแมวมาก", "นี่คือปากกา"] * 40, "characters", "chrf"),
        ([""], "characters", "exact"),
    ],
)
def test_how_texts_are_written_and_what_says_most(texts: list[str], writing: str, main: str) -> None:
    assert writing_of(texts) == writing
    assert main_score(texts) == main
