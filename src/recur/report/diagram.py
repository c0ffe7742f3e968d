"""The network as a drawing: folded, each layer with its loop, and unrolled over the first steps with its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from recur.report.boxes import Inside, inside, kind_name
from recur.report.inspection import InspectedLayer, Inspection

STEPS = 4
"""Steps that are unrolled at most."""

LAYERS = 4
"""Layers that are drawn at most: of more the first ones and the last."""

BOX, PITCH = 136, 202
GAP = 38
MARGIN = 26
BEGINNING = 30
_ROUND = 12
_HEIGHTS = {"input": 40, "embedding": 58, "layer": 76, "output": 84}


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box of the drawing."""

    id: str
    """Its name in the page."""
    kind: str
    """What it is: input, embedding, layer or output."""
    x: int
    """Its left edge."""
    y: int
    """Its upper edge."""
    height: int
    """Its height."""
    inside: Inside
    """What stands in it, and what it opens to."""


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """An arrow of the drawing."""

    points: tuple[tuple[int, int], ...]
    """Its points, from tail to head."""
    label: str
    """The shape of what flows along it."""
    x: int
    """Where the label stands."""
    y: int
    """Its base line."""
    is_centred: bool
    """Whether x is its middle instead of its beginning."""

    @property
    def path(self) -> str:
        """Its path, with round corners."""
        (x, y), *others = self.points
        path = f"M{x} {y}"
        for corner, after in pairwise(others):
            to = _towards(corner, (x, y)), _towards(corner, after)
            path += f"L{to[0][0]} {to[0][1]}Q{corner[0]} {corner[1]} {to[1][0]} {to[1][1]}"
            x, y = corner
        return f"{path}L{others[-1][0]} {others[-1][1]}"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing of the network."""

    width: int
    """Its width."""
    height: int
    """Its height."""
    label: str
    """What it shows, in words."""
    boxes: tuple[Box, ...]
    """Its boxes, in the order in which the network computes them."""
    arrows: tuple[Arrow, ...]
    """Its arrows."""


def _towards(corner: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    """Return the point from which on the way from `corner` to `end` is straight."""
    (x, y), (to_x, to_y) = corner, end
    across, down = max(-_ROUND, min(_ROUND, to_x - x)), max(-_ROUND, min(_ROUND, to_y - y))
    return x + across, y + down


def folded(seen: Inspection) -> Drawing:
    """Return the network as it is built: one of everything, and a loop around each layer."""
    rows = _rows(seen)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    for row in rows:
        boxes.append(_box(seen, row, step=None, x=MARGIN))
        if row.layer is not None:
            right, middle = MARGIN + BOX, row.y + row.height // 2
            arrows.append(
                Arrow(
                    points=(
                        (right, middle + 16),
                        (right + 38, middle + 16),
                        (right + 38, middle - 16),
                        (right + 6, middle - 16),
                    ),
                    label=_state_shape(row.layer),
                    x=right + 44,
                    y=middle + 4,
                    is_centred=False,
                )
            )
    arrows += _upward(seen, rows, MARGIN)
    return Drawing(
        width=2 * MARGIN + BOX + 84,
        height=rows[0].y + rows[0].height + 8,
        label=f"The network as it is built: {_in_words(seen)}. Each layer hands its state on to itself.",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
    )


def unrolled(seen: Inspection) -> Drawing:
    """Return the network over the first steps: a column for each, and the state that goes from one to the next."""
    rows, steps = _rows(seen), min(STEPS, seen.count)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    for step in range(steps):
        x = MARGIN + BEGINNING + step * PITCH
        boxes += [_box(seen, row, step=step, x=x) for row in rows]
        arrows += _upward(seen, rows, x)
        for row in rows:
            if row.layer is None:
                continue
            middle = row.y + row.height // 2
            begin, end = (x - 44, x - 4) if step == 0 else (x - (PITCH - BOX), x - 4)
            label = _beginning(row.layer) if step == 0 else _state_shape(row.layer)
            arrows.append(
                Arrow(
                    points=((begin, middle), (end, middle)),
                    label=label,
                    x=(begin + end) // 2,
                    y=middle - 7,
                    is_centred=True,
                )
            )
            if step == steps - 1:
                right = x + BOX
                arrows.append(
                    Arrow(
                        points=((right, middle), (right + 40, middle)),
                        label="…",
                        x=right + 22,
                        y=middle - 7,
                        is_centred=True,
                    )
                )
    return Drawing(
        width=MARGIN + BEGINNING + steps * PITCH - (PITCH - BOX) + 56,
        height=rows[0].y + rows[0].height + 8,
        label=(
            f"The same network over the first {steps} {seen.unit}s: a column for each, read from the bottom up; "
            "arrows from left to right hand each layer's state to the next step."
        ),
        boxes=tuple(boxes),
        arrows=tuple(arrows),
    )


@dataclass(frozen=True, kw_only=True)
class _Row:
    kind: str
    y: int
    height: int
    layer: InspectedLayer | None
    place: int


def _rows(seen: Inspection) -> list[_Row]:
    """Return the rows of the drawing, the input, which stands at the bottom, first."""
    kinds: list[tuple[str, int]] = [("input", 0)]
    if seen.kind == "text":
        kinds.append(("embedding", 0))
    kinds += [("layer", place) for place in _shown_layers(len(seen.layers))]
    kinds.append(("output", 0))
    rows, y = [], 8
    for kind, place in reversed(kinds):
        layer = seen.layers[place] if kind == "layer" else None
        rows.append(_Row(kind=kind, y=y, height=_HEIGHTS[kind], layer=layer, place=place))
        y += _HEIGHTS[kind] + GAP
    return rows[::-1]


def _shown_layers(count: int) -> list[int]:
    return list(range(count)) if count <= LAYERS else [*range(LAYERS - 1), count - 1]


def _upward(seen: Inspection, rows: list[_Row], x: int) -> Iterator[Arrow]:
    middle = x + BOX // 2
    for below, above in pairwise(rows):
        begin, end = below.y - 1, above.y + above.height + 4
        label = _flow(seen, below, above)
        yield Arrow(
            points=((middle, begin), (middle, end)),
            label=label,
            x=middle + 8,
            y=(begin + end) // 2 + 4,
            is_centred=False,
        )


def _flow(seen: Inspection, below: _Row, above: _Row) -> str:
    if below.kind == "input" and above.kind == "embedding":
        return f"1 of {seen.vocabulary_size:,}" if seen.vocabulary_size else ""
    if below.layer is not None:
        size = _width(below.layer, "h")
        skipped = above.place - below.place - 1 if above.layer is not None else 0
        between = f"{skipped} more layer{'s' if skipped > 1 else ''}, " if skipped > 0 else ""
        return f"{between}{size:,}" if size else between.rstrip(", ")
    if below.kind == "embedding" and seen.embedding_size:
        return f"{seen.embedding_size:,}"
    if above.layer is not None and above.layer.input_size:
        return f"{above.layer.input_size:,}"
    return ""


def _beginning(layer: InspectedLayer) -> str:
    """Return what stands at the arrow into the first step."""
    return {"zero": "0", "learned": "learned", "computed": "computed"}.get(layer.initial, "")


def _state_shape(layer: InspectedLayer) -> str:
    states = [part for part in layer.parts if not part.is_gate]
    if not states:
        return f"{layer.hidden_size:,}" if layer.hidden_size else ""
    widths = {part.width for part in states}
    names = ", ".join(part.name for part in states)
    return f"{names}: {' and '.join(f'{width:,}' for width in sorted(widths, reverse=True))}"


def _width(layer: InspectedLayer, part: str) -> int | None:
    found = layer.part(part)
    return found.width if found is not None else layer.hidden_size


def _in_words(seen: Inspection) -> str:
    layers = [f"{layer.name}, {kind_name(layer)}" for layer in seen.layers]
    return ", then ".join(["the input", *(["the embedding"] if seen.kind == "text" else []), *layers, "the output"])


def _box(seen: Inspection, row: _Row, *, step: int | None, x: int) -> Box:
    where = "net" if step is None else f"step{step}"
    return Box(
        id=f"box-{where}-{row.kind}{row.place}",
        kind=row.kind,
        x=x,
        y=row.y,
        height=row.height,
        inside=inside(seen, row.kind, row.layer, step),
    )
