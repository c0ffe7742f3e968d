"""The page of an inspection in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from recur.cli.main import main
from recur.report.document import write_document
from recur.report.inspection import read_inspection
from recur.report.inspection_page import inspection_html
from recur.run import RunFolder

pytestmark = pytest.mark.browser

STORY = 'The mill stood by the river. "Who goes there?" cried the miller, and nobody (but the wind) answered.\n'

Inspected = Callable[..., RunFolder]
READY = "'ready' in document.documentElement.dataset"
CURRENT = "[...document.getElementById('text').children].findIndex((one) => one.classList.contains('current'))"
FOCUSED = "document.activeElement.id || document.activeElement.className"


@pytest.fixture(scope="module")
def path(inspected_run: RunFolder) -> Path:
    return written(inspected_run)


def pixels(canvas: str) -> str:
    """Return an expression for what is drawn on a canvas."""
    return f"document.querySelector('{canvas}').toDataURL()"


def written(run: RunFolder) -> Path:
    """Write the page alone, for the pictures take time and are tried elsewhere."""
    path = run.path / "inspect.html"
    write_document(path, inspection_html(read_inspection(run), run))
    return path


def next_frame(page: Any) -> None:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def reach_by_tab(page: Any, expression: str) -> None:
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement?.matches({expression!r})"):
            return
    raise AssertionError(f"the tab key does not lead to {expression}")


@pytest.mark.parametrize("kind", ["text", "series"])
def test_it_fits_every_screen_without_complaint(opened: Any, until: Any, inspected: Inspected, kind: str) -> None:
    with opened(written(inspected(kind=kind)), color_scheme="dark") as page:
        until(page, READY)
        page.locator("a.box").last.click()
        paper, maps = set(), set()
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme)
                next_frame(page)
                assert page.evaluate("document.documentElement.scrollWidth") == width
                paper.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
                maps.add(page.evaluate(pixels("#map")))
            for canvas in page.locator("canvas").all():
                assert canvas.bounding_box()["width"] <= width
        assert paper == {"rgb(17, 21, 26)", "rgb(255, 255, 255)"}
        assert len(maps) == 6


def test_long_and_hostile_strings_neither_run_nor_widen_the_page(opened: Any, until: Any, inspected: Inspected) -> None:
    evil = "</script><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(2)>" + "M" * 300

    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content.update(title=evil, cut=evil, unknown=[{"symbol": evil, "count": 1}])
        content["symbols"] = [evil, *content["symbols"]][:200]
        content["model"]["name"] = evil
        content["next"]["vocabulary"] = [evil] * 65
        content["layers"][0] |= {"name": evil, "kind": evil, "cell": evil, "weights": {evil: [3]}}
        content["properties"][0] |= {"name": evil, "note": evil}
        content["attribution"]["methods"][0]["name"] = evil
        for layer in content["probe"]["layers"]:
            layer |= {"name": evil, "gates": {evil: layer["gates"]["i"]}}
        content["diagnosis"] = [dict.fromkeys(("name", "what", "evidence", "advice"), evil)]

    with opened(written(inspected(change)), viewport={"width": 390, "height": 800}) as page:
        until(page, READY)
        page.locator("#at").press("Home")
        for box in page.locator("a.box").all():
            box.dispatch_event("click")
            assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.set_viewport_size({"width": 1280, "height": 800})
        next_frame(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        assert page.locator("img").count() == 0


def test_keys_work_before_anything_has_the_focus(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        before = page.evaluate("[inspected.state.at, inspected.state.unit]")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("]")
        after = page.evaluate("[inspected.state.at, inspected.state.unit]")
        assert after[0] == before[0] + 1
        assert after[1] != before[1]
        page.locator("#at").focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("inspected.state.at") == before[0] + 2


def test_the_arrow_keys_move_the_current_symbol_in_all_views(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        reach_by_tab(page, "#text")
        page.keyboard.press("Home")
        assert page.evaluate(CURRENT) == 0
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        assert page.evaluate(CURRENT) == 3
        assert page.locator("#at").input_value() == "3"
        now = page.locator("#now").text_content()
        assert now.startswith("space · Character 4 of 200")
        assert "layers.0 h 3: " in now
        until(page, "document.getElementById('said').textContent.startsWith('space, ')")
        listed = page.locator("dl.next .came dt").text_content()
        assert listed == "“m”"
        before = [page.evaluate(pixels(canvas)) for canvas in ("#map", "#parts", "#trail")]
        page.keyboard.press("End")
        next_frame(page)
        assert page.evaluate(CURRENT) == 199
        after = [page.evaluate(pixels(canvas)) for canvas in ("#map", "#parts", "#trail")]
        assert all(one != other for one, other in zip(before, after, strict=True))
        page.keyboard.press("ArrowRight")
        assert page.evaluate(CURRENT) == 199
        page.keyboard.press("ArrowUp")
        here = page.evaluate("document.querySelector('.current').getBoundingClientRect().top")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.querySelector('.current').getBoundingClientRect().top") > here


def test_the_slider_and_its_buttons_move_too(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        slider = page.locator("#at")
        slider.press("Home")
        slider.press("ArrowRight")
        assert page.evaluate(CURRENT) == 1
        assert slider.get_attribute("aria-valuetext").startswith("Character 2 of 200, “h”, ")
        page.locator("[data-step='1']").click()
        assert page.evaluate(CURRENT) == 2


def test_the_pointer_chooses_a_symbol_and_tells_of_another(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        page.locator("#text span").nth(20).click()
        assert page.evaluate(CURRENT) == 20
        page.locator("#text span").nth(4).hover()
        assert page.locator(".tip").text_content().startswith("“m” · ")
        assert page.evaluate(CURRENT) == 20
        page.mouse.move(2, 2)
        assert page.locator(".tip").is_hidden()


def test_the_best_unit_is_chosen_at_first_and_colours_the_text(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        assert page.locator("#unit").input_value() == "3"
        assert page.locator(".candidate[aria-pressed=true] span").text_content() == "layers.0 h 3, state"
        levels = page.evaluate(
            "[...document.getElementById('text').children].map((one) =>"
            " [one.classList.contains('holds'), Number(/d(\\d+)/.exec(one.className)[1])])"
        )
        inside = [level for holds, level in levels if holds]
        outside = [level for holds, level in levels if not holds]
        assert inside
        assert outside
        assert min(inside) > 6 > max(outside)


def test_the_keyboard_changes_the_unit(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        before = page.evaluate("document.getElementById('text').innerHTML")
        reach_by_tab(page, "[data-unit-move='1']")
        page.keyboard.press("Enter")
        assert page.locator("#unit").input_value() == "4"
        assert page.evaluate("document.getElementById('text').innerHTML") != before
        reach_by_tab(page, "#text")
        page.keyboard.press("]")
        page.keyboard.press("]")
        page.keyboard.press("[")
        assert page.locator("#unit").input_value() == "5"
        until(page, "document.getElementById('said').textContent.includes('layers.0 h 5: ')")
        page.locator("#part").select_option("f")
        assert page.locator("#gate-scale").is_visible()
        assert page.locator("#signed-scale").is_hidden()
        assert page.locator("#text span").first.get_attribute("class").startswith("g")
        page.locator("input[value=loss]").check()
        assert page.locator("#loss-scale").is_visible()
        assert page.locator("#text span").first.get_attribute("class").startswith("l")


def test_the_search_finds_properties_and_a_find_is_shown(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        assert page.locator(".property:visible").count() == 2
        page.locator(".search input").fill("LINE position")
        assert page.locator(".property:visible h4").all_text_contents() == ["position in the line"]
        candidate = page.locator(".candidate:visible").nth(4)
        candidate.press("Enter")
        assert candidate.get_attribute("aria-pressed") == "true"
        assert page.locator("#unit").input_value() == candidate.get_attribute("data-unit")
        assert "no better than chance" in candidate.text_content()
        page.locator(".search input").fill("nothing like it")
        assert page.locator(".property:visible").count() == 0
        assert page.locator("#found-none").is_visible()


def test_the_heat_map_moves_units_zooms_and_changes_its_order(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        reach_by_tab(page, "#map")
        seen = set()
        for _ in range(23):
            page.keyboard.press("ArrowDown")
            seen.add(page.locator("#unit").input_value())
        for _ in range(23):
            page.keyboard.press("ArrowUp")
            seen.add(page.locator("#unit").input_value())
        assert seen == {str(unit) for unit in range(24)}
        assert page.locator("#span").text_content() == "h of layers.0, characters 1 to 160"
        page.keyboard.press("Home")
        page.keyboard.press("+")
        assert page.locator("#span").text_content() == "h of layers.0, characters 1 to 80"
        page.keyboard.press("End")
        assert page.locator("#span").text_content() == "h of layers.0, characters 121 to 200"
        page.locator("[data-zoom=all]").click()
        assert page.locator("#span").text_content() == "h of layers.0, characters 1 to 200"
        before = page.evaluate(pixels("#map"))
        page.locator("#order").select_option("property")
        next_frame(page)
        assert page.evaluate(pixels("#map")) != before
        box = page.locator("#map").bounding_box()
        # Ordered by the property, the unit that follows it is the first row.
        page.locator("#map").click(position={"x": box["width"] - 3, "y": 5})
        assert page.locator("#unit").input_value() == "3"
        assert page.evaluate(CURRENT) == 199
        # It is said with the next drawing.
        until(page, "document.getElementById('map').getAttribute('aria-label').includes('Current: unit 3.')")


PLACE, UNIT = 50, 5
"""Where the tests of what is drawn plant something."""


def planted(content: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Let one unit move at one place, the path have one peak there, and one earlier symbol bear all weight."""
    tensors["layers.0.h"][:] = 0
    tensors["layers.0.h"][PLACE, UNIT] = 127
    tensors["layers.0.h"][PLACE + 60, UNIT] = -127
    tensors["pca.0"][:, 0] = np.linspace(-1, 1, 200)
    tensors["pca.0"][:, 1] = 0
    tensors["pca.0"][PLACE, 1] = 1
    tensors["attribution.positions"] = np.array([PLACE], dtype=np.int32)
    shares = np.zeros((1, 32), dtype=np.float32)
    shares[0, 31 - 4], shares[0, 31 - 9] = 1.0, -0.5
    tensors["attribution.gradient_input"] = tensors["attribution.occlusion"] = shares
    content["properties"] = []


def pixel(page: Any, canvas: str, x: float, y: float) -> tuple[int, ...]:
    # Not from the canvas itself, which the browser warns of.
    found = page.evaluate(
        "(() => { const one = document.createElement('canvas').getContext('2d', { willReadFrequently: true });"
        f" one.drawImage(document.querySelector('{canvas}'), {round(x)}, {round(y)}, 1, 1, 0, 0, 1, 1);"
        " return [...one.getImageData(0, 0, 1, 1).data]; })()"
    )
    return tuple(found[:3])


def rgb(page: Any, variable: str) -> tuple[int, ...]:
    colour = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{variable}').trim()")
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def test_what_is_drawn_is_where_it_was_computed(opened: Any, until: Any, inspected: Inspected) -> None:
    with opened(written(inspected(planted))) as page:
        until(page, READY)
        page.locator("#unit").fill(str(UNIT))
        page.locator("#unit").press("Enter")
        page.locator("#order").select_option("number")
        page.locator("#text").press("Home")
        page.locator("[data-zoom=all]").click()
        next_frame(page)
        classes = [
            one.split()[0]
            for one in page.evaluate("[...document.getElementById('text').children].map(e => e.className)")
        ]
        assert [place for place, name in enumerate(classes) if name == "d12"] == [PLACE]
        assert [place for place, name in enumerate(classes) if name == "d0"] == [PLACE + 60]
        gutter, row, part = 46, 14, 46
        step = (page.locator("#map").bounding_box()["width"] - gutter) / 200
        high, low, paper = rgb(page, "d12"), rgb(page, "d0"), rgb(page, "d6")
        across = {
            place: gutter + (place + 0.5) * step for place in (PLACE - 3, PLACE - 1, PLACE, PLACE + 1, PLACE + 60)
        }
        heat = {place: pixel(page, "#map", x, UNIT * row + row / 2) for place, x in across.items()}
        # Zero lies between two of 256 colours.
        for place, expected in (dict.fromkeys(across, paper) | {PLACE: high, PLACE + 60: low}).items():
            np.testing.assert_allclose(heat[place], expected, atol=1)
        np.testing.assert_allclose(pixel(page, "#map", across[PLACE], (UNIT + 1) * row + row / 2), paper, atol=1)
        # The curve is up where the unit is high, and down where it is low.
        own = rgb(page, "own")
        heights = {
            place: [y for y in range(part) if sum(map(abs, np.subtract(pixel(page, "#parts", x, y), own))) < 120]
            for place, x in across.items()
        }
        assert heights[PLACE][0] < 5
        assert heights[PLACE + 60][-1] > part - 6
        assert all(abs(y - part / 2) < 3 for place in (PLACE - 3, PLACE - 1, PLACE + 1) for y in heights[place])
        assert all(heights.values())


@pytest.mark.parametrize("kind", ["text", "series"])
def test_the_script_decodes_the_bytes_that_were_measured(
    opened: Any, until: Any, inspected: Inspected, kind: str
) -> None:
    run = inspected(kind=kind)
    with opened(written(run)) as page:
        until(page, READY)
        seen = read_inspection(run)
        rows = page.evaluate(
            "Object.fromEntries(inspected.model.layers.flatMap((layer, at) => layer.parts.flatMap((part) =>"
            " Array.from({ length: part.width }, (_, unit) =>"
            " [[at, part.name, unit].join(' '), [...inspected.row(at, part.name, unit)]]))))"
        )
    expected = {
        f"{at} {part.name} {unit}": part.values[:, unit]
        for at, layer in enumerate(seen.layers)
        for part in layer.parts
        for unit in range(part.width)
    }
    assert rows.keys() == expected.keys()
    for name, values in expected.items():
        # There is room for all steps that a byte has.
        np.testing.assert_array_equal(rows[name], values, err_msg=name)


def test_the_path_has_both_components_and_the_weight_lies_on_its_symbol(
    opened: Any, until: Any, inspected: Inspected
) -> None:
    with opened(written(inspected(planted))) as page:
        until(page, READY)
        assert page.evaluate(CURRENT) == PLACE
        next_frame(page)
        box = page.locator("#trail").bounding_box()
        size = box["width"] - 32
        x, y = box["width"] / 2 + (-1 + 2 * PLACE / 199) / 2 * size, box["width"] / 2 - 0.5 / 2 * size
        assert pixel(page, "#trail", x, y) == rgb(page, "ink")
        assert pixel(page, "#trail", x, box["width"] - y) != rgb(page, "ink")
        page.locator("#trail").click(position={"x": x + size * 60 / 199, "y": box["width"] / 2 + 0.25 * size})
        assert page.evaluate(CURRENT) == PLACE + 60
        spans = page.locator("#rests-text span").all()
        classes = [span.get_attribute("class").split()[0] for span in spans]
        # The last one is what came; before it stands the symbol at the place itself.
        assert classes[-1] == "target"
        assert {len(classes) - 2 - at: name for at, name in enumerate(classes[:-1]) if name != "d6"} == {
            4: "d12",
            9: "d3",
        }
        said = page.locator("#rests-says").text_content()
        assert "5 before (+67%)" in said
        assert "10 before (−33%)" in said  # noqa: RUF001


def test_a_box_opens_to_its_equations_by_keyboard(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        assert page.locator(".opened:visible").count() == 0
        reach_by_tab(page, "a.box[href='#box-step1-layer0']")
        page.keyboard.press("Enter")
        shown = page.locator(".opened:visible")
        assert shown.get_attribute("id") == "box-step1-layer0"
        assert shown.locator("math").count() == 6
        assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
        page.keyboard.press("Tab")
        page.keyboard.press(" ")
        assert page.locator(".opened:visible").get_attribute("id") == "box-step1-layer1"
        page.keyboard.press("Enter")
        assert page.locator(".opened:visible").count() == 0


def test_predictions_are_stepped_through_and_take_the_current_symbol_along(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        rests, says = page.locator("#rests-text"), page.locator("#rests-says")
        slider = page.locator("[aria-labelledby=rests] .stepper input")
        slider.press("Home")
        first = says.text_content()
        assert page.evaluate(CURRENT) == 8
        # What comes, "s", and the nine symbols before it.
        assert rests.text_content() == "The mill s"
        assert rests.locator(".target").text_content() == "s"
        page.locator("[aria-labelledby=rests] [data-move='1']").click()
        assert says.text_content() != first
        assert page.evaluate(CURRENT) == 46
        assert rests.locator("span").count() == 33
        colours = [span.get_attribute("class") for span in rests.locator("span").all()]
        page.get_by_label("occlusion (not clearly better than chance)").check()
        assert [span.get_attribute("class") for span in rests.locator("span").all()] != colours
        assert "by occlusion most weight lies on" in says.text_content()
        slider.press("End")
        assert page.locator("[aria-labelledby=rests] [data-move='1']").is_disabled()


def test_a_series_is_moved_through_by_keyboard_and_pointer(opened: Any, until: Any, inspected: Inspected) -> None:
    with opened(written(inspected(kind="series"))) as page:
        until(page, READY)
        page.locator("#series").focus()
        page.keyboard.press("Home")
        next_frame(page)
        before = page.evaluate(pixels("#series"))
        page.keyboard.press("ArrowRight")
        next_frame(page)
        assert page.locator("#now").text_content().startswith("1 h · Step 2 of 200")
        assert page.evaluate(pixels("#series")) != before
        box = page.locator("#series").bounding_box()
        page.locator("#series").click(position={"x": box["width"] - 2, "y": 30})
        assert page.locator("#at").input_value() == "159"
        page.locator("input[value=loss]").check()
        next_frame(page)
        assert page.locator("#loss-scale").is_visible()


def test_units_that_were_cut_are_passed_over_and_named(
    opened: Any, until: Any, inspected: Inspected, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = inspected()
    page_html = written(run).read_text(encoding="utf-8")
    tracks = json.loads(page_html.split('id="inspection">')[1].split("</script>")[0])["tracks"]
    states = len(json.dumps(tracks, separators=(",", ":")))
    # Room for a few units, in the fewest steps.
    monkeypatch.setattr("recur.report.inspection_page.LARGEST", len(page_html.encode()) - states + 12_000)
    with opened(written(run)) as page:
        until(page, READY)
        page.locator("#part").select_option("f")
        first = int(page.locator("#unit").input_value())
        shown = [first]
        for _ in range(24):
            page.locator("[data-unit-move='1']").click()
            shown.append(int(page.locator("#unit").input_value()))
        missing = sorted(set(range(first, max(shown))) - set(shown))
        assert missing
        assert page.locator("#unit-note").text_content().startswith("Underlined")
        page.locator("#unit").fill(str(missing[0]))
        page.locator("#unit").press("Enter")
        assert f"layers.0 f {missing[0]} is not on this page" in page.locator("#unit-note").text_content()
        assert "not all units of every part are in it" in page.locator("[aria-labelledby=about]").text_content()


def test_the_first_tab_stop_skips_to_the_page_and_no_key_is_trapped(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        stops = []
        for _ in range(200):
            page.keyboard.press("Tab")
            stops.append(page.evaluate(FOCUSED))
            if page.evaluate("document.activeElement === document.body"):
                break
        assert "at" in stops
        assert stops[-1] in ("", "skip")
        assert [page.locator(landmark).count() for landmark in ("body > header", "main", "body > footer", "h1")] == [
            1
        ] * 4


def test_everything_that_can_be_operated_has_a_name(opened: Any, until: Any, path: Path) -> None:
    with opened(path) as page:
        until(page, READY)
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, select, a, canvas, svg[role], [tabindex=\"0\"]')]"
            ".filter((one) => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')"
            " || one.labels?.length || one.textContent.trim())).map((one) => one.outerHTML.slice(0, 100))"
        )
        assert unnamed == []


def test_on_paper_it_is_light_and_nothing_is_hidden_behind_a_scroll_bar(opened: Any, until: Any, path: Path) -> None:
    with opened(path, color_scheme="dark") as page:
        until(page, READY)
        page.evaluate(
            "addEventListener('beforeprint', () => {"
            " window.onPaper = getComputedStyle(document.body).backgroundColor; })"
        )
        page.pdf(format="A4")
        assert page.evaluate("window.onPaper") == "rgb(255, 255, 255)"
        page.emulate_media(media="print")
        assert (
            page.evaluate(
                "(() => { const text = document.getElementById('text');"
                " return text.scrollHeight - text.clientHeight; })()"
            )
            <= 1
        )
        assert page.locator(".cursor").is_hidden()


def test_without_scripts_text_network_units_and_diagnosis_are_there(opened: Any, path: Path) -> None:
    with opened(path, java_script_enabled=False) as page:
        assert page.get_by_text("need JavaScript").is_visible()
        assert page.locator("#text span").count() == 200
        assert page.locator("svg.net").count() == 2
        assert page.locator(".candidate").count() > 10
        assert page.get_by_text("Try a forget gate that starts open.").is_visible()
        assert page.locator("#map").is_hidden()
        assert page.locator("form.cursor").is_hidden()
        page.locator("#boxes > summary").click()
        assert page.locator("#box-step2-layer1").is_visible()


@pytest.mark.parametrize("kind", ["text", "series"])
def test_an_inspection_of_almost_nothing_opens_too(opened: Any, until: Any, inspected: Inspected, kind: str) -> None:
    def nearly_all(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        for key in ("layers", "properties", "attribution", "next", "probe", "diagnosis", "model", "losses"):
            content.pop(key, None)

    def arrays(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors.clear()
        tensors["nothing"] = np.zeros(1, dtype=np.int8)

    for count, without in ((1, nearly_all), (30, arrays)):
        with opened(written(inspected(without, kind=kind, count=count))) as page:
            until(page, READY)
            page.locator("#at").press("End")
            assert f" {count} of {count}" in page.locator("#now").text_content()


TINY = "--num-layers 1 --hidden-size 24 --batch-size 8 --window 32 --max-steps 60 --device cpu --sample-length 20"


def test_a_network_is_trained_inspected_and_looked_into(
    opened: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(STORY * 60, encoding="utf-8")
    assert main(["train", "text.txt", "--out", "run", *TINY.split()]) == 0
    # As after a training that was killed before its end.
    Path("run/report.html").unlink()
    assert main(["inspect", "run"]) == 0
    with opened(tmp_path / "run" / "inspect.html") as page:
        until(page, READY)
        content = json.loads(Path("run/inspect.json").read_bytes())
        assert page.locator("#text span").count() == len(content["symbols"])
        assert page.locator("svg.net").count() == 2
        assert page.locator(".property").count() == len(content["properties"])
        assert page.locator("dl.next dt").count() > 3
        assert page.locator("#rests-text span").count() > 3
        assert page.locator(".matrix path").count() > 3
        assert page.locator("a[href='report.html']").count() == 1
        page.locator("#part").select_option("h")
        page.locator("#unit").fill("7")
        page.locator("#unit").press("Enter")
        page.locator("#text").press("Home")
        stored = load_file("run/inspect.safetensors")
        scale = content["layers"][0]["scales"]["h"] / 127
        for place in range(3):
            told = page.locator("#now").text_content().rsplit(": ", 1)[1].replace("\N{MINUS SIGN}", "-")
            assert float(told) == pytest.approx(stored["layers.0.h"][place, 7] * scale, abs=0.0051)
            page.locator("#text").press("ArrowRight")
        page.locator("a.box").first.click()
        assert page.locator(".opened:visible").count() == 1
    report = Path("run/report.html").read_text(encoding="utf-8")
    assert 'href="inspect.html"' in report
    assert "with other weights than it has now" not in report
    assert "page     run/inspect.html" in capsys.readouterr().out
