"""The report in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recur.report import write_report
from recur.run import RunFolder

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def path(finished_run: RunFolder) -> Path:
    return write_report(finished_run)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_it_fits_every_screen_without_complaint(opened: Any, path: Path, width: int) -> None:
    with opened(path, viewport={"width": width, "height": 800}, color_scheme="dark") as page:
        for folded in page.locator("details").all():
            folded.evaluate("element => { element.open = true; }")
        assert page.locator(".chart .scatterlayer .trace").count() >= 6
        assert page.locator(".chart").first.bounding_box()["width"] <= width
        paper = set()
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            gaps = page.evaluate(
                "[...document.querySelectorAll('.plot')].map((plot) => plot.querySelector('figcaption')"
                ".getBoundingClientRect().top - plot.querySelector('.main-svg').getBoundingClientRect().bottom)"
            )
            assert min(gaps) >= 0, "a caption lies over its chart"
            paper.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert paper == {"rgb(17, 21, 26)", "rgb(255, 255, 255)"}


def test_long_and_hostile_strings_neither_run_nor_widen_the_page(
    opened: Any, make_run: Callable[..., RunFolder]
) -> None:
    evil = "</script><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(2)>" + "M" * 300
    rows: list[dict[str, Any]] = [{"kind": "train", "step": i, "loss": 1.0 + i, "grad_norm": 1.0} for i in range(3)]
    rows += [{"kind": "sample", "step": i, "prompt": evil, "text": evil} for i in range(3)]
    rows += [{"kind": "event", "step": 1, "text": evil}]
    own = {"nats_per_character": 2.0, "nats_per_token": 2.0}
    run = make_run(
        rows,
        {"format": 1, "task": evil, "name": evil, "model": {"cell": evil, evil: evil}, "training": {}},
        env={
            "cpu": {"brand": evil},
            evil: evil,
            "backends": [{"layer": evil, "others": [{"backend": evil, "reason": evil}]}],
        },
        schema={"corpus": {"sources": [{"name": evil, "bytes": 3, "sha256": evil}]}},
        model={"layers": [{"name": evil, "kind": evil, "weights": {evil: [3]}, "output": evil}], "parameters": 3},
        evaluation={
            "part": evil,
            "verdict": evil,
            "model": own,
            "baselines": {evil: own, "<img src=y>": own, "W" * 14: own},
            "surprising": [{"tokens": [evil, "a"], "losses": [1.0, 2.0]}],
        },
    )
    for width in (390, 1280):
        with opened(write_report(run), viewport={"width": width, "height": 800}) as page:
            for folded in page.locator("details").all():
                folded.evaluate("element => { element.open = true; }")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator("img").count() == 0


def test_the_keyboard_moves_through_the_samples(opened: Any, path: Path) -> None:
    with opened(path) as page:
        shown = page.locator(".sample:not(.away)")
        slider, earlier, later = (
            page.locator(".stepper input"),
            page.locator("[data-move='-1']"),
            page.locator("[data-move='1']"),
        )
        assert "Sample of step 2000." in shown.text_content()
        assert later.is_disabled()
        for _ in range(40):
            page.keyboard.press("Tab")
            if earlier.evaluate("element => element === document.activeElement"):
                break
        page.keyboard.press("Enter")
        assert "Sample of step 1750." in shown.text_content()
        assert later.is_enabled()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowLeft")
        assert "Sample of step 1500." in shown.text_content()
        assert slider.get_attribute("aria-valuetext") == "step 1,500"
        page.keyboard.press("Home")
        assert "Sample of step 250." in shown.text_content()
        assert earlier.is_disabled()
        assert shown.count() == 1
        assert not page.get_by_text("Sample of step 2000.").is_visible()


def test_the_page_does_not_jump_from_sample_to_sample(opened: Any, path: Path) -> None:
    with opened(path, viewport={"width": 390, "height": 800}) as page:
        heights = set()
        for _ in range(8):
            heights.add(page.evaluate("document.documentElement.scrollHeight"))
            page.locator(".stepper input").press("ArrowLeft")
        assert len(heights) == 1


def test_the_keyboard_reaches_a_passage_and_tells_the_loss(opened: Any, path: Path) -> None:
    with opened(path) as page:
        passage, tip = page.locator(".symbols").first, page.locator(".tip")
        for _ in range(60):
            page.keyboard.press("Tab")
            if passage.evaluate("element => element === document.activeElement"):
                break
        told = passage.locator("span").evaluate_all("spans => spans.map((span) => span.dataset.says)")
        assert tip.text_content() == told[0]
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert tip.text_content() == told[2]
        assert page.locator("#said").text_content() == told[2]
        # The first line is "ROMEO:" and its break; the second begins after seven symbols.
        page.keyboard.press("ArrowDown")
        assert tip.text_content() == told[9]
        page.keyboard.press("End")
        page.keyboard.press("ArrowRight")
        assert tip.text_content() == told[-1]
        page.keyboard.press("Escape")
        assert tip.is_hidden()


def test_the_pointer_tells_the_loss_inside_the_window(opened: Any, path: Path) -> None:
    with opened(path, viewport={"width": 390, "height": 800}, has_touch=True) as page:
        symbol = page.locator(".symbols").first.locator("span").first
        symbol.hover()
        tip = page.locator(".tip")
        assert tip.text_content() == symbol.get_attribute("data-says")
        box = tip.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        page.mouse.move(2, 2)
        assert tip.is_hidden()


def test_the_first_tab_stop_skips_to_the_report(opened: Any, path: Path) -> None:
    with opened(path) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        assert [page.locator(landmark).count() for landmark in ("body > header", "main", "body > footer", "h1")] == [
            1
        ] * 4


def test_the_charts_follow_the_theme_and_keep_the_zoom(opened: Any, until: Any, path: Path) -> None:
    colour = "document.querySelector('#chart-loss .scatterlayer .trace:nth-child(2) .js-line').style.stroke"
    left_end = "document.getElementById('chart-loss').layout.xaxis.range[0]"
    with opened(path, color_scheme="light") as page:
        assert page.evaluate(colour) == "rgb(31, 95, 153)"
        page.locator("#chart-loss").scroll_into_view_if_needed()
        box = page.locator("#chart-loss .draglayer .nsewdrag").first.bounding_box()
        assert page.evaluate(left_end) == 0
        page.mouse.move(box["x"] + 200, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + 400, box["y"] + 152, steps=5)
        page.mouse.up()
        until(page, f"{left_end} > 0")
        zoomed = page.evaluate(left_end)
        page.emulate_media(color_scheme="dark")
        until(page, f"{colour} === 'rgb(116, 179, 234)'")
        assert page.evaluate(left_end) == zoomed


def test_on_paper_it_is_light_and_fits(opened: Any, until: Any, path: Path) -> None:
    colour = "document.querySelector('#chart-loss .scatterlayer .trace:nth-child(2) .js-line').style.stroke"
    with opened(path, color_scheme="dark") as page:
        page.evaluate(f"addEventListener('beforeprint', () => {{ window.onPaper = {colour}; }})")
        page.pdf(format="A4")
        assert page.evaluate("window.onPaper") == "rgb(31, 95, 153)"
        until(page, f"{colour} === 'rgb(116, 179, 234)'")


def test_without_scripts_every_sample_and_a_word_about_the_charts_is_there(opened: Any, path: Path) -> None:
    with opened(path, java_script_enabled=False) as page:
        assert page.locator(".sample").count() == 8
        assert all(sample.is_visible() for sample in page.locator(".sample").all())
        assert page.get_by_text("The charts need JavaScript.").is_visible()
        assert page.locator(".stepper").is_hidden()


def test_a_run_without_anything_opens_too(opened: Any, make_run: Callable[..., RunFolder]) -> None:
    missing: dict[str, Any] = dict.fromkeys(("env", "schema", "model", "evaluation"))
    run = make_run([], {"format": 1, "task": "language"}, **missing)
    with opened(write_report(run)) as page:
        assert page.get_by_text("Nothing has been logged yet.").is_visible()
