"""The report of forecasts in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recur.report import write_report
from recur.run import RunFolder

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_every_screen_in_both_themes(opened: Any, forecast_run: RunFolder, width: int) -> None:
    path = forecast_run.path / "report.html"
    with opened(path, viewport={"width": width, "height": 800}, color_scheme="dark") as page:
        assert page.locator(".chart .main-svg").count() >= 15
        fills = set()
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            fills.add(
                page.evaluate("getComputedStyle(document.querySelector('#chart-forecast_example_1 .js-fill')).fill")
            )
        assert len(fills) == 2
        # Tables that are wider than the screen can be scrolled, also by keyboard.
        assert page.locator(".scroll[tabindex='0']").count() == 2


def test_names_of_any_length_do_not_widen_it(
    opened: Any, make_forecast_run: Callable[..., Any], make_forecasts: Callable[..., Any]
) -> None:
    evil = "<img src=x onerror=alert(2)>" + "M" * 300
    found = make_forecasts()
    found["best_rule"] = found["part"] = evil
    for one in (*found["by_series"], *found["examples"]):
        one["series"] = evil
    with opened(write_report(make_forecast_run(found)), viewport={"width": 390, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator("img").count() == 0
