"""What the report shows of texts that were written from texts."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recur.data.texts import read_pairs
from recur.report import figures, write_report
from recur.report.translation import translation_of
from recur.run import FORMAT, RunFolder
from recur.tasks.translate.judgement import judge_pairs

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--‮\x00"


def spelled(*words: str) -> Any:
    return read_pairs((words, [" ".join(word.upper()) for word in words]))


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The judgement of a model that spells words, and all those of five letters wrong."""
    pairs = spelled("cat", "dog", "house", "mouse", "tree", "to", "be", "or", "not")
    # Often enough that the letters are a small set.
    train = spelled(*["act", "god", "bus", "eat", "rat", "bad", "sea", "tub", "arc", "bed", "one", "two", "tree"] * 20)
    outputs = [text if len(text) < 9 else "?" for text in pairs.targets]
    log_probs = [-0.5 * len(text) for text in outputs]
    return judge_pairs(pairs, outputs, "test", train=train, log_probs=log_probs, main="exact")


@pytest.fixture
def judged(whole: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(whole)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[dict[str, Any]], RunFolder]:
    def made(judged: dict[str, Any]) -> RunFolder:
        run = RunFolder.create(tmp_path / "run", overwrite=True)
        model = {"cell": "gru", "num_layers": 1, "hidden_size": 64}
        run.write_json("config.json", {"format": FORMAT, "task": "translate", "model": model})
        (run.path / "metrics.jsonl").write_text(json.dumps({"kind": "train", "step": 10, "loss": 1.0}) + "\n")
        # As it is: what is not Unicode cannot be written otherwise.
        (run.path / "translate_evaluation.json").write_text(json.dumps(judged))
        (run.path / "model.safetensors").touch()
        return run

    return made


def test_the_page(make_run: Any, judged: dict[str, Any], said: Any) -> None:
    run = make_run(judged)
    page = write_report(run).read_text(encoding="utf-8")
    text = said(page)
    # Seven of nine words, and of the rule one, which stands in the training part.
    assert "Exact match 77.8% on 9 texts of the test part, against 11.1% by the target of the nearest source" in text
    assert "Exact match on the test part, beside what needs no model." in text
    assert "this model 77.8% target of the nearest source 11.1%" in text
    assert "exact match 77.8% 11.1%" in text
    assert "Judged on 9 texts of the test part." in text
    assert "BLEU, by sacreBLEU nrefs:1|case:mixed|eff:no|tok:none|smooth:exp|version:" in text
    assert "100.0% of sources of 2 to 3 characters, 0.0% of 5 characters." in text
    assert "house written ? right H O U S E" in text
    assert "token accuracy 0.0% · 1 token, right 5 · log-probability -0.5 · the data, row 3" in text
    assert "cat written, and right C A T" in text
    assert "Let it write for new texts" in text
    assert "nats per" not in text
    assert "Not judged" not in text
    drawn = figures(run)
    lengths = drawn["translate_by_length"]
    assert [list(line.y) for line in lengths.data][-1][-1] == 0
    assert (run.path / "translate_by_length.png").stat().st_size > 1000


def test_bars_are_in_order_and_as_long_as_what_they_count(judged: dict[str, Any]) -> None:
    found = translation_of(judged)
    assert found is not None
    assert [bar.is_model for bar in found.bars] == [True, False, False, False]
    assert found.bars[0].share == pytest.approx(7 / 9, abs=1e-4)
    for_errors = translation_of(judged | {"main": "ser"})
    assert for_errors is not None
    assert for_errors.caption.startswith("Symbol error rate (of phonemes: PER) on the test part")
    assert for_errors.caption.endswith("Less is better.")
    # Less is better, and the largest is the whole.
    assert [bar.is_model for bar in for_errors.bars] == [True, False, False, False]
    assert for_errors.bars[-1].share == 1
    of_hundred = translation_of(judged | {"main": "chrf"})
    assert of_hundred is not None
    assert of_hundred.caption.startswith("chrF on the test part")
    own = judged["figures"]["chrf"]
    assert (of_hundred.bars[0].value, of_hundred.bars[0].share) == (f"{own:.1f}", pytest.approx(own / 100, abs=1e-4))


def test_a_model_that_does_not_beat_the_rules_is_a_warning(make_run: Any, judged: dict[str, Any]) -> None:
    judged["verdict"] |= {"is_better": False}
    page = write_report(make_run(judged)).read_text(encoding="utf-8")
    assert '<p class="warning" role="note">' in page
    assert '<p class="verdict">' not in page


def test_damaged_values_are_left_out(judged: dict[str, Any]) -> None:
    for name in judged:
        for value in (None, [], {}, "?", 7, [[1]], [{"name": "exact"}], {"rows": [3]}, {"rows": [{"least": 1}]}):
            found = translation_of({**judged, name: value})
            if name in ("figures", "main"):
                assert found is None
            else:
                assert found is not None
                assert found.bars[0].is_model
    assert translation_of({}) is None


def test_long_texts_are_cut_and_a_judgement_of_other_weights_is_not_shown(
    make_run: Any, judged: dict[str, Any], said: Any
) -> None:
    judged["worst"][0]["output"] = "x" * 5000
    found = translation_of(judged)
    assert found is not None
    assert found.worst[0].output == "x" * 600 + "…"
    text = said(write_report(make_run(judged | {"weights": "others"})).read_text(encoding="utf-8"))
    assert "Not judged on held-out data yet" in text


def test_texts_are_shown_as_they_are(make_run: Any, judged: dict[str, Any]) -> None:
    judged["verdict"]["text"] = EVIL
    judged["worst"][0] |= {"source": EVIL, "output": EVIL, "references": [EVIL], "place": EVIL}
    judged["scores"][0]["title"] = judged["by_length"]["unit"] = judged["baselines"][0]["name"] = EVIL
    page = write_report(make_run(judged)).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page


@pytest.mark.browser
def test_the_page_fits_a_telephone(opened: Any, make_run: Any, judged: dict[str, Any]) -> None:
    judged["worst"][0] |= {"source": "M" * 200, "output": "W" * 300, "references": ["M" * 300]}
    path = write_report(make_run(judged))
    with opened(path, viewport={"width": 390, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_where_it_looked_is_drawn(make_run: Any, judged: dict[str, Any], said: Any) -> None:
    judged["attention"] = [
        {"source": ["a", "b"], "written": ["A", "C"], "weights": [[0.75, 0.25], [0.125, 0.875]]},
        {"source": ["a"], "written": ["A", "C"], "weights": [[1.0]]},
        {"source": ["a"], "written": ["A"], "weights": [[None]]},
        {"source": [], "written": [], "weights": []},
        7,
    ]
    judged["likelihood"] = {"perplexity": 1.25, "nats_per_token": 0.223, "nats_per_character": 0.1, "tokens": 12}
    judged["likelihood"]["trigram_perplexity"] = 1.5
    found = translation_of(judged)
    assert found is not None
    assert [one.key for one in found.maps] == ["translate_attention_1"]
    # Of a run that has not kept the text.
    assert found.maps[0].title == "A C"
    assert found.maps[0].summary == "Where each token looked most: A at a, C at b."
    run = make_run(judged)
    drawn = figures(run)["translate_attention_1"]
    (trace,) = drawn.data
    assert [list(map(list, row)) for row in trace.customdata] == [[["A", "a"], ["A", "b"]], [["C", "a"], ["C", "b"]]]
    assert [list(row) for row in trace.z] == judged["attention"][0]["weights"]
    assert list(drawn.layout.xaxis.ticktext) == ["a", "b"]
    assert list(drawn.layout.yaxis.ticktext) == ["A", "C"]
    text = said(write_report(run).read_text(encoding="utf-8"))
    assert "Where it looks" in text
    assert "A trigram model of the training part's targets has 1.5." in text
    assert "The right targets have a perplexity of 1.25 a token, 0.1 nats a character, of 12 tokens." in text
    assert (run.path / "translate_attention_1.png").stat().st_size > 1000


def test_maps_are_called_by_the_text_where_tokens_are_bytes(judged: dict[str, Any]) -> None:
    one = {"source": ["moon"], "written": [r"\xe6\x9c", r"\x88"], "weights": [[1.0], [1.0]], "text": "月\n火"}
    judged["attention"] = [one]
    found = translation_of(judged)
    assert found is not None
    assert found.maps[0].title == "月 火"
    assert found.maps[0].y_names == tuple(one["written"])


@pytest.mark.browser
def test_a_map_shows_its_cells_on_the_page(opened: Any, make_run: Any, judged: dict[str, Any]) -> None:
    judged["attention"] = [{"source": ["a", "b"], "written": ["A", "C"], "weights": [[0.75, 0.25], [0.125, 0.875]]}]
    with opened(write_report(make_run(judged))) as page:
        assert page.locator("#chart-translate_attention_1 .heatmaplayer image").count() == 1
        # What a written token looked at lights up while the cursor is on it.
        page.locator(".looking .into span").nth(1).hover()
        assert page.locator(".looking .said").text_content() == "“C” looked at “b” 88%, “a” 13%."
        shown = "[...document.querySelector('.looking .source').children].map((one) => one.style.cssText)"
        assert page.evaluate(shown) == ["--looked: 0.143;", "--looked: 1.000;"]
