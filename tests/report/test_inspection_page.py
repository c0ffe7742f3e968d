from __future__ import annotations

import base64
import importlib.resources
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from recur.report import inspection_figures, write_inspection
from recur.report.document import write_document
from recur.report.inspection import read_inspection
from recur.report.inspection_contents import searched, summary_of
from recur.report.inspection_page import inspection_html
from recur.report.passage import LEVELS
from recur.report.probe_contents import layer_view
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]
FIGURES = (
    "network", "unrolled", "text", "states", "trajectory", "unit", "next", "attribution", "deletion", "reach",
    "reach_by_lag", "gates",
)  # fmt: skip
PICTURES = {f"inspect_{key}.png" for key in FIGURES}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--\u202e\x00\ud800"
SHOWN = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--[U+202E]␀[U+D800]"


def page_of(run: RunFolder) -> str:
    return inspection_html(read_inspection(run), run)


def carried(page: str) -> dict[str, Any]:
    """Return what the page's scripts read."""
    found: dict[str, Any] = json.loads(page.split('id="inspection">')[1].split("</script>")[0])
    return found


def unpacked(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    raw = zlib.decompress(base64.b64decode(entry["data"]))
    return np.frombuffer(raw, dtype=entry["type"]).reshape(entry["shape"])


def test_the_inspection_is_one_file_and_a_picture_of_each_figure(inspected: Inspected) -> None:
    run = inspected()
    before = {path.name for path in run.path.iterdir()}
    path = write_inspection(run)
    assert path == run.path / "inspect.html"
    assert {found.name for found in run.path.iterdir()} - before == PICTURES | {"inspect.html"}
    assert all((run.path / name).read_bytes().startswith(b"\x89PNG") for name in PICTURES)
    assert len(inspection_figures(run)) == len(PICTURES)


def test_pictures_of_an_earlier_text_do_not_stay(inspected: Inspected) -> None:
    run = inspected(lambda content, tensors: content.update(layers=[], attribution={}, series={}))
    for name in ("inspect_attribution.png", "inspect_gates.png", "loss.png"):
        (run.path / name).write_bytes(b"")
    write_inspection(run)
    assert not run.has("inspect_attribution.png")
    assert (run.path / "inspect_gates.png").stat().st_size > 0
    assert run.has("loss.png")


def test_a_page_of_older_weights_says_so(inspected: Inspected, said: Any) -> None:
    run = inspected(lambda content, tensors: content.update(weights="0"))
    assert "other weights" not in said(page_of(run))
    run.save_weights({"weight": torch.zeros(2)})
    assert "The run has other weights by now" in said(page_of(run))
    content = run.read_json("inspect.json")
    run.write_json("inspect.json", content | {"weights": run.weights_checksum()})
    assert "other weights" not in said(page_of(run))


def test_names_of_any_kind_can_be_drawn(inspected: Inspected) -> None:
    names = ["M" * 300, "$\\frac{", "_hidden", "漢字"]

    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["symbols"] = (names * 50)[:200]
        content["layers"][0]["name"], content["properties"][0]["name"] = names[:2]
        content["attribution"]["methods"][0]["name"] = names[1]
        gates = content["probe"]["layers"][0]["gates"]
        content["probe"]["layers"][0].update(name=names[0], gates={names[1]: gates["i"], names[2]: gates["f"]})
        content["next"]["vocabulary"] = names * 20

    write_inspection(inspected(change))


def test_an_inspection_goes_with_its_run_when_that_is_overwritten(inspected: Inspected) -> None:
    run = inspected()
    for name in ("inspect.html", *PICTURES):
        (run.path / name).write_bytes(b"")
    RunFolder.create(run.path, overwrite=True)
    assert [path.name for path in run.path.iterdir()] == ["checkpoints"]


def test_the_page_is_the_same_every_time(inspected: Inspected) -> None:
    run = inspected()
    assert page_of(run) == page_of(run)


def test_the_page_asks_for_nothing_from_elsewhere(inspected: Inspected, parsed: Any) -> None:
    elements = parsed(page_of(inspected()))
    fetching = [(tag, found) for tag, found in elements.found if "src" in found or tag in ("link", "iframe", "object")]
    assert fetching == [("link", {"rel": "icon", "href": "data:,"})]
    assert elements.count("script") == 2
    policy = next(a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]
    ids = [found["id"] for _, found in elements.found if "id" in found]
    assert len(ids) == len(set(ids))
    wanted = {value for _, found in elements.found for key in ("for", "aria-controls") if (value := found.get(key))}
    wanted |= {word for _, found in elements.found for word in (found.get("aria-labelledby") or "").split()}
    wanted |= {found["href"][1:] for tag, found in elements.found if tag == "a" and found["href"].startswith("#")}
    assert wanted <= set(ids)


def test_the_page_says_what_was_found(inspected: Inspected, said: Any) -> None:
    text = said(page_of(inspected()))
    assert "LSTM, 2 x 24 units (1,234,567 parameters), as it reads a story: the first 200 of 1,000 characters." in text
    assert "Unit 3 of layers.0, h, follows “inside quotes” (0.95 of 1, on the half of the input" in text
    assert "nine tenths of the lesson is gone 10 characters back" in text
    assert "From 10 steps back on, less than a tenth of it is left." in text
    assert "What its predictions rest on can be told, by gradient by input." in text
    assert "Symbols that it does not know were replaced: “ß” (3)." in text
    assert "holds at 32% of the characters; the best of all units reaches 0.31 by chance" in text
    assert "layers.0 h 3, state 0.95 / 0.97, high where it holds" in text
    assert "too rare in this text to judge" in text
    assert "No unit follows it." not in text
    assert "Inside romeo" in text
    assert "no better than chance" in text
    assert "gradient by input can be believed" in text
    assert "occlusion not clear Not" not in text
    assert "Not clearly better than chance over 6 predictions. Deleting the 20%" in text
    assert "Deleting the 20% of the inputs that it calls most important costs the prediction 1.07 nats," in text
    assert "as many at random 0.22 (standard error of the difference 0.30)." in text
    assert "deleted its choice at random standard error 5% 0.54 0.11 0.10" in text
    assert "Going back no further than a window of the training does removes 12% of the gradient" in text
    assert "The gradients of the training: clipped in 25% of the steps, which took 5% off the norm" in text
    assert "States are shown in 255 steps between their extremes, gates in 255 or 128." in text
    assert "The run has other weights by now" not in text
    assert "all below zero: a small difference in the state halves in about 9 steps" in text
    assert "vanishing gradient The gradient is lost within 20 steps." in text
    assert "Try a forget gate that starts open." in text
    # What only colours show stands in tables too.
    assert "loss at step state at 0 state at 6 state at 12 state at 17 state at 23" in text
    assert "17 0.023 0.086 0.33 1" in text
    assert "share of values from 0.0 to 0.2 0.2 to 0.4" in text
    assert "i, input gate 20% 20% 20% 20% 20%" in text
    assert "Nothing was found" not in text
    assert "To keep this file below 5 MB" not in text


def test_nothing_wrong_is_said_too(inspected: Inspected, said: Any) -> None:
    text = said(page_of(inspected(lambda content, tensors: content.update(diagnosis=[]))))
    assert "Nothing was found: no sign of a gradient that vanishes or explodes" in text
    assert "Health Nothing was found to be wrong with it." in text


def test_without_a_probe_nothing_is_claimed(inspected: Inspected, said: Any) -> None:
    text = said(page_of(inspected(lambda content, tensors: content.update(diagnosis=[], probe=None))))
    assert "Nothing was found" not in text
    assert "How far back it can learn" not in text


def test_what_the_scripts_read_is_what_was_computed(inspected: Inspected, shown: Any) -> None:
    kept: dict[str, Any] = {}
    data = carried(page_of(inspected(lambda content, tensors: kept.update(content=content, tensors=tensors))))
    tensors, content = kept["tensors"], kept["content"]
    assert len(data["tracks"]) == 12
    classes = unpacked(data["classes"])
    for place, layer in enumerate(data["layers"]):
        for part in layer["parts"]:
            stored = tensors[f"layers.{place}.{part['name']}"]
            assert part["is_signed"] == (stored < 0).any()
            units = shown(data["tracks"], place, part["name"], part["is_signed"], classes)
            if part["scale"] <= 1.5:
                np.testing.assert_array_equal(np.stack([units[unit] for unit in range(24)]), stored.T)
            else:
                np.testing.assert_allclose(np.stack([units[unit] for unit in range(24)]), stored.T, atol=1)
    names = [data["names"][place] for place in unpacked(data["named"])]
    assert names[:5] == ["“T”", "“h”", "“e”", "space", "“m”"]
    ids = unpacked(data["next"]["ids"])
    vocabulary = content["next"]["vocabulary"]
    assert data["next"]["names"][ids[9, 0]].strip("“”") in (
        vocabulary[tensors["next.ids"][9, 0]],
        "space",
        "line break",
    )
    shares = data["next"]["shares"]
    back = shares["low"] + (unpacked(shares).astype(np.float64) + 32_767) * shares["step"]
    np.testing.assert_allclose(back, tensors["next.probs"], atol=shares["step"])
    assert data["rests"]["positions"] == tensors["attribution.positions"].tolist()


def test_every_symbol_is_coloured_by_its_loss_before_any_script_runs(inspected: Inspected, parsed: Any) -> None:
    page = page_of(inspected())
    text = page.split('id="text"')[1].split("</p>")[0]
    assert text.count("<span") == 200
    assert len(set(re.findall(r'class="(l\d)', text))) > 4
    assert "<noscript" not in page


def test_all_of_512_units_at_five_thousand_symbols_stays_below_five_megabytes(inspected: Inspected, said: Any) -> None:
    page = page_of(inspected(count=5000, hidden=512, num_layers=1))
    assert 4_000_000 < len(page.encode()) < 5_000_000
    units = {(of["part"], unit) for one in carried(page)["tracks"] for of in one["of"] for unit in of["units"]}
    assert len(units) == 6 * 512
    assert re.search(r"States are shown in \d+ steps .*, the unit that follows a property best in 63\.", said(page))


def test_what_else_is_on_the_page_leaves_less_room_for_states(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["symbols"] = [f"{number}{'x' * 180}" for number in range(5000)]

    page = page_of(inspected(change, count=5000, hidden=200, num_layers=1))
    assert 4_000_000 < len(page.encode()) < 5_000_000
    assert carried(page)["tracks"]


def test_a_long_series_of_many_channels_stays_small(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        draw = np.random.default_rng(0)
        for name in ("values", "predictions"):
            tensors[name] = draw.normal(size=(5000, 40)).astype(np.float32)
        content["series"]["channels"] = [f"sensor {place}" for place in range(40)]

    run = inspected(change, kind="series", count=5000, hidden=64, num_layers=1)
    assert len(page_of(run).encode()) < 5_000_000


def test_what_is_measured_in_the_loss_is_not_said_to_be_in_nats(inspected: Inspected, said: Any) -> None:
    run = inspected(lambda content, tensors: content["attribution"].update(unit="units of the loss"), kind="series")
    text = said(page_of(run))
    assert "costs the prediction 1.07 units of the loss, as many at random" in text
    assert "nats" not in text


@pytest.mark.parametrize("kind", ["text", "series"])
def test_hostile_strings_are_shown_and_do_nothing(inspected: Inspected, parsed: Any, kind: str) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content.update(title=EVIL, cut=EVIL, unit=EVIL, unknown=[{"symbol": EVIL, "count": EVIL}])
        content["model"]["name"] = EVIL
        content["layers"][0] |= {"name": EVIL, "kind": EVIL, "cell": EVIL, "weights": {EVIL: [EVIL]}}
        content["layers"][0]["states"][1] = EVIL
        content["layers"][0]["scales"][EVIL] = 1.0
        tensors["layers.0.x"] = tensors["layers.0.c"]
        content["properties"][0] |= {"name": EVIL, "note": EVIL}
        content["attribution"] |= {"note": EVIL, "unit": EVIL}
        content["attribution"]["methods"][0]["name"] = EVIL
        for layer in content["probe"]["layers"]:
            layer |= {"name": EVIL, "kind": EVIL, "gates": {EVIL: next(iter(layer["gates"].values()))}}
        content["diagnosis"] = [dict.fromkeys(("name", "what", "evidence", "advice"), EVIL)]
        if kind == "text":
            content["symbols"] = [EVIL, *EVIL, *content["symbols"]][:200]
            content["next"]["vocabulary"] = [EVIL] * 65
        else:
            content["series"] = {"channels": [EVIL, EVIL], "times": [EVIL] * 200}

    run = inspected(change, kind=kind)
    # As it is written, for what is no Unicode is replaced then.
    write_document(run.path / "inspect.html", page_of(run))
    page = (run.path / "inspect.html").read_text(encoding="utf-8")
    elements = parsed(page)
    assert elements.count("script") == 2
    assert elements.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert elements.text.count(SHOWN) > 20
    assert "\x00" not in page
    assert "\u202e" not in page
    assert SHOWN in json.dumps(carried(page), ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize("value", [0.0, 3.4e38, -3.4e38, np.nan, np.inf])
def test_numbers_of_any_size_can_be_drawn(inspected: Inspected, value: float) -> None:
    number = value if np.isfinite(value) else None

    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        for array in tensors.values():
            if array.dtype == np.float32:
                array[::2] = value
        content["losses"] = [number] * 200
        probe = content["probe"]
        probe.update(reach=[[number] * 24] * 24, by_lag=[number] * 24, memory_length=number)
        for layer in probe["layers"]:
            layer.update(lyapunov=[number], time_constants=[number] * 3)
        content["attribution"]["methods"][0]["deletion"].update(chosen=[number] * 4, random=[0.0] * 4)

    run = inspected(change, count=200, hidden=6)
    page_of(run)
    inspection_figures(run)
    if value in (3.4e38, 0.0):
        # The largest, and none: where a picture's axes have no range of their own.
        write_inspection(run)


@pytest.mark.parametrize("kind", ["text", "series"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_inputs_can_be_shown(inspected: Inspected, kind: str, count: int) -> None:
    run = inspected(kind=kind, count=count)
    assert page_of(run).count('class="opened"') > 4
    assert "network" in inspection_figures(run)
    if count == 1:
        write_inspection(run)


@pytest.mark.parametrize("missing", ["layers", "properties", "attribution", "next", "model", "probe", "losses"])
def test_what_is_missing_is_left_out(inspected: Inspected, missing: str) -> None:
    page = page_of(inspected(lambda content, tensors: content.pop(missing)))
    assert ('id="states"' in page) == (missing != "layers")
    assert ('id="finder"' in page) == (missing != "properties")
    assert ('id="rests"' in page) == (missing != "attribution")
    assert ('id="reach"' in page) == (missing != "probe")


def test_what_was_damaged_is_named(inspected: Inspected, said: Any) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["layers.1.h"] = tensors["layers.1.h"][:3]

    text = said(page_of(inspected(change)))
    assert "Damaged, and so not shown: layers.1.h is I8 of shape (3, 24), expected I8 of shape (200, any)" in text


def test_a_report_is_linked_when_there_is_one(inspected: Inspected) -> None:
    run = inspected()
    assert "report.html" not in page_of(run)
    (run.path / "report.html").write_text("", encoding="utf-8")
    assert '<a href="report.html">' in page_of(run)


def test_finds_no_better_than_chance_come_last_and_are_named(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["properties"].reverse()

    views = searched(read_inspection(inspected(change)))
    assert [(view.place, view.name) for view in views] == [(1, "inside quotes"), (0, "position in the line")]
    assert [one.verdict for one in views[0].candidates] == ["", *["no better than chance"] * 6]
    assert views[0].candidates[0].share == 0.95
    # Of those that were found by chance, by what is held out.
    assert [one.unit for one in views[0].candidates] == [3, 4, 5, 6, 7, 8, 9]
    assert views[1].candidates[0].score == "0.04 / 0.26, falls with it"


def test_units_are_chosen_by_the_half_that_was_searched(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        first = content["properties"][0]["units"][0]
        # What is best on the other half is so by luck.
        lucky = first | {"unit": 20, "score": 0.9, "held_out": 0.99}
        content["properties"][0]["units"] = [lucky, first]
        content["properties"][1]["units"] = [first | {"unit": 21, "score": 0.7, "held_out": 1.0}]

    seen = read_inspection(inspected(change))
    views = searched(seen)
    assert [view.name for view in views] == ["inside quotes", "position in the line"]
    assert [(one.unit, one.score) for one in views[0].candidates] == [
        (3, "0.95 / 0.97, high where it holds"),
        (20, "0.99 / 0.90, high where it holds"),
    ]
    assert dict(summary_of(seen))["Units"].startswith(
        "Unit 3 of layers.0, h, follows “inside quotes” (0.95 of 1, on the half of the input that it was not chosen by)"
    )


def test_where_nothing_holds_the_summary_says_so(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["properties"][0]["units"] = content["properties"][0]["units"][1:]
        for method in content["attribution"]["methods"]:
            method["deletion"]["is_faithful"] = False

    summary = dict(summary_of(read_inspection(inspected(change))))
    assert summary["Units"] == "No single unit follows any of the properties that were tried better than chance."
    assert summary["Reasons"] == "No method could tell what its predictions rest on clearly better than chance."


@pytest.mark.parametrize(
    ("leading", "says"),
    [
        (-0.5, "all below zero: a small difference in the state halves in about 1 step"),
        (0.001, "the first is close to zero: small differences in the state neither grow nor fade"),
        (0.2, "the first is above zero: small differences in the state grow, the layer is chaotic"),
    ],
)
def test_lyapunov_exponents_are_explained(inspected: Inspected, leading: float, says: str) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["probe"]["layers"][0].update(lyapunov=[leading], time_constants=[1.0, 12.0, None])

    probe = read_inspection(inspected(change)).probe
    assert probe is not None
    facts = {name: (value, meaning) for name, value, meaning in layer_view(probe.layers[0], "lstm").says}
    assert facts["Lyapunov exponents per step"][1] == says
    assert facts["stretch"][0] == "0.9 in 1 step, 0.8 in 2 steps, 0.6 in 4 steps"
    assert facts["forgotten in"] == (
        "12 steps",
        "half of the units faster, half slower, the slowest never; until 1/e is left",
    )


STYLE = (importlib.resources.files("recur.report") / "templates" / "inspect.css").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_in_its_colour_and_the_scales_run_one_way(theme: int) -> None:
    part = STYLE.split("@media screen and (prefers-color-scheme: dark)")[theme]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", part))
    pairs = [(colours[f"d{level}"], colours[f"e{level}"]) for level in range(13)]
    pairs += [(colours[f"g{level}"], colours[f"j{level}"]) for level in range(LEVELS)]
    contrasts = [
        (max(a, b) + 0.05) / (min(a, b) + 0.05) for a, b in ((luminance(one), luminance(two)) for one, two in pairs)
    ]
    assert min(contrasts) >= 4.5
    gates = [luminance(colours[f"g{level}"]) for level in range(LEVELS)]
    below, above = ([luminance(colours[f"d{level}"]) for level in side] for side in (range(7), range(12, 5, -1)))
    for scale in (gates, below[::-1], above[::-1]):
        assert scale in (sorted(scale), sorted(scale, reverse=True))
