"""Letters of scripts that matplotlib's own fonts lack are drawn with those of the machine, or told of."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from matplotlib.image import imread

from recur.report import picture
from recur.report.chart import Grid, Letters
from recur.report.picture import _FONTS_OF_SCRIPTS, write_png, write_pngs

MOON = "月"

GRID = Grid(
    key="moons",
    title=MOON * 10,
    summary="",
    x_label="",
    y_label="",
    values=np.zeros((2, 2)),
    x=(0.0, 1.0),
    y=(0.0, 1.0),
    x_names=(MOON, "a"),
    y_names=("b", "c"),
)
LETTERS = Letters(
    key="moons", title="", summary="", rows=((MOON,),), names=(MOON,), values=(0.0,), top=1.0, is_signed=False
)


@pytest.fixture
def font(tmp_path, monkeypatch):
    """A font that a system has, whose letter for the moon is a full square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "moon"])
    builder.setupCharacterMap({ord(MOON): "moon"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "moon": square})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "moon"), (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Noto Sans CJK JP", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000, usWinDescent=0)
    builder.setupPost()
    path = tmp_path / "moon.ttf"
    builder.save(path)
    # The machine may have such fonts, even this one, and the first of a name is taken.
    others = [font for font in fontManager.ttflist if font.name not in _FONTS_OF_SCRIPTS]
    monkeypatch.setattr(fontManager, "ttflist", others)
    monkeypatch.setattr(picture, "findSystemFonts", list)
    picture._find_new_fonts.cache_clear()
    # What was found with other fonts is not to be found again.
    fontManager._findfont_cached.cache_clear()
    yield lambda: fontManager.addfont(path)
    fontManager._findfont_cached.cache_clear()
    picture._find_new_fonts.cache_clear()


@pytest.mark.parametrize("drawing", [GRID, LETTERS], ids=["grid", "letters"])
def test_letters_that_matplotlib_lacks_are_drawn_with_a_font_of_the_machine(font, drawing, tmp_path, caplog):
    assert write_png(drawing, tmp_path / "without.png") == [MOON]
    font()
    assert write_png(drawing, tmp_path / "with.png") == []
    without, found = (imread(tmp_path / f"{name}.png") for name in ("without", "with"))
    # The font has no bold letters, as many have none.
    assert not caplog.messages
    # A box is hollow.
    assert (found[..., :3].sum(-1) < 1.5).sum() > (without[..., :3].sum(-1) < 1.5).sum() + 50


def test_letters_without_a_font_are_told_once(font, tmp_path):
    said = []
    drawings = [(tmp_path / f"{key}.png", GRID) for key in ("one", "two")]
    write_pngs(drawings, said.append)
    font_of_it = "pictures show boxes for it; install one such as Noto Sans CJK"
    assert said == [f"no font here has the letter {MOON}: {font_of_it}"]
    titled = replace(GRID, title="火水木ሀ\N{CRAB}金")
    write_pngs([*drawings, (tmp_path / "three.png", titled)], said.append)
    letters = set(said[1].removeprefix("no font here has the letters ").split(", ...: ")[0].split(", "))
    assert len(letters) == 5
    assert letters < {*titled.title, MOON}
    assert said[1].endswith("pictures show boxes for them; install one such as Noto Sans CJK, Unifont and Symbola")
    # Nobody listens.
    write_pngs(drawings)
    font()
    write_pngs(drawings, said.append)
    assert len(said) == 2


def test_a_font_that_was_installed_after_matplotlib_looked_for_some_is_found(font, tmp_path, monkeypatch):
    (tmp_path / "damaged.ttf").write_bytes(b"none")
    monkeypatch.setattr(
        picture, "findSystemFonts", lambda: [str(tmp_path / name) for name in ("damaged.ttf", "moon.ttf")]
    )
    assert write_png(GRID, tmp_path / "found.png") == []


def test_other_warnings_are_not_kept_back(font, tmp_path, monkeypatch):
    def draw(drawing):
        warnings.warn("of something else", UserWarning, stacklevel=1)
        return drawn(drawing)

    drawn = picture._drawn
    monkeypatch.setattr(picture, "_drawn", draw)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(UserWarning, match="of something else"):
            write_png(GRID, tmp_path / "one.png")
