"""What was written, as a table and in notes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from tests.tasks.translate.conftest import GREEDY, WIDE, always, made, pairs

from recur.data.texts import read_pairs
from recur.tasks.translate.evaluation import judge_translator
from recur.tasks.translate.translation import cut_off


def test_a_row_for_each_text(tmp_path: Path) -> None:
    sources, targets = pairs()
    trained = made(data={"english": sources, "shouted": targets})  # type: ignore[arg-type]
    asked = ["red door", "", "old house"]
    texts = [found[0].text for found in trained.translate(asked)]
    expected = {"english": asked, "shouted": texts}
    path = tmp_path / "new.txt"
    path.write_text("\n".join(asked) + "\n")
    table = tmp_path / "new.csv"
    pl.DataFrame({"number": [1, 2, 3], "english": asked}).write_csv(table)
    for given in (asked, tuple(asked), path, table, {"english": asked}, pl.DataFrame({"english": asked})):
        found = trained.predict(given)
        assert found.columns == ["english", "shouted", "score", "ended"]
        assert {name: found[name].fill_null("").to_list() for name in expected} == expected
    several = trained.predict(asked, decoding=WIDE)
    assert several.columns == ["english", "rank", "shouted", "score", "ended"]
    assert several["rank"].to_list() == [1, 2, 3, 1, 1, 2, 3]
    assert several["english"].to_list() == [asked[0]] * 3 + [""] + [asked[2]] * 3


def test_answers_that_are_cut_off_are_told() -> None:
    trained = always(made(), 2)
    found = trained.predict(["red", "", "old"], decoding=GREEDY)
    assert found["ended"].to_list() == ["length", "end", "length"]
    assert cut_off(found["ended"].to_list()) == [
        "2 of 3 answers cut off at the most tokens that they may have; give max_length= for longer ones"
    ]
    assert cut_off(["end", "stuck"]) == ["1 of 2 answers stopped, as nothing that is allowed could follow"]
    assert cut_off(["end"]) == []
    judged = judge_translator(
        trained, read_pairs((["red", "old", "red", "new"], ["RED", "OLD", "RED RED", "NEW"])), "given"
    )
    assert judged["cut_off"] == 3
    # No judgement takes another length.
    assert "3 of 3 answers cut off at the most tokens that they may have" in judged["notes"]


def test_columns_that_are_called_as_those_of_figures(tmp_path: Path) -> None:
    sources, targets = pairs()
    trained = made(data={"rank": sources, "score": targets})  # type: ignore[arg-type]
    several = trained.predict(["red door"], decoding=WIDE)
    assert several.columns == ["rank", "rank_", "score", "score_", "ended"]
    assert several["score"].to_list() == [one.text for one in trained.translate(["red door"], decoding=WIDE)[0]]
    assert several["rank_"].to_list() == [1, 2, 3]
