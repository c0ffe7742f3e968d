"""The pictures of this course that show no measured values: networks folded, unrolled, and cut."""

from __future__ import annotations

from drawing import BLUE, GREEN, GREY, ORANGE, RED, arrow, blank, canvas, loop, node, save


def unrolled(name: str) -> None:
    """Draw the network with its loop, and the same network with a copy for each step."""
    figure, axes = canvas(2.3)
    blank(axes, 7, -0.3, 2.75)
    for x, step in {0.6: "t", 3.2: "1", 4.6: "2", 6.0: "3"}.items():
        node(axes, (x, 0.1), f"$x_{step}$", ORANGE)
        node(axes, (x, 1.2), f"$h_{step}$", BLUE)
        node(axes, (x, 2.3), f"$y_{step}$", GREEN)
        arrow(axes, (x, 0.1), (x, 1.2), "$U$", aside=(0.18, 0))
        arrow(axes, (x, 1.2), (x, 2.3), "$V$", aside=(0.18, 0))
    loop(axes, (0.6, 1.2), "$W$")
    axes.text(1.95, 1.2, "$h_0$", ha="center", va="center")
    for start, end in ((1.95, 3.2), (3.2, 4.6), (4.6, 6.0), (6.0, 7.2)):
        arrow(axes, (start, 1.2), (end, 1.2), "$W$")
    save(figure, name)


def shapes(name: str) -> None:
    """Draw which steps have an input and an output, for four kinds of problem."""
    kinds = {
        "many to one:\na review, is it good?": ((0, 1, 2), (2,)),
        "one to many:\na picture, its caption": ((0,), (0, 1, 2)),
        "many to many, in step:\neach word, its kind": ((0, 1, 2), (0, 1, 2)),
        "many to many, one after the other:\ntranslation": ((0, 1), (2, 3)),
    }
    figure, grid = canvas(4.6, rows=2, columns=2)
    for axes, (title, (inputs, outputs)) in zip(grid.flat, kinds.items(), strict=True):
        blank(axes, 3.6, -0.35, 2.65)
        axes.set_title(title, fontsize=9)
        places = [0.35 + step * 0.96 for step in range(max(*inputs, *outputs) + 1)]
        for step, x in enumerate(places):
            node(axes, (x, 1.15), "", BLUE)
            if step + 1 < len(places):
                arrow(axes, (x, 1.15), (places[step + 1], 1.15))
            if step in inputs:
                node(axes, (x, 0), "", ORANGE)
                arrow(axes, (x, 0), (x, 1.15))
            if step in outputs:
                node(axes, (x, 2.3), "", GREEN)
                arrow(axes, (x, 1.15), (x, 2.3))
    save(figure, name)


def cut(name: str) -> None:
    """Draw how far the gradient of two new steps goes back with k1 = 2 and k2 = 4."""
    figure, axes = canvas(1.9)
    blank(axes, 8.2, -0.75, 2.05)
    for t in range(1, 9):
        at = t - 0.35
        node(axes, (at, 0), f"$h_{t}$", BLUE if t > 4 else GREY)
        if t > 1:
            arrow(axes, (at - 1, 0.1), (at, 0.1))
        if t > 4:
            arrow(axes, (at, -0.1), (at - 1, -0.1), color=RED if t == 5 else BLUE, linestyle=":" if t == 5 else "-")
        if t > 6:
            node(axes, (at, 1.1), f"$E_{t}$", ORANGE)
            arrow(axes, (at, 1.1), (at, 0), color=BLUE)
    axes.axvline(4.15, color=RED, linestyle="--", linewidth=1)
    axes.text(4.0, 0.75, "a constant", ha="right", color=GREY)
    axes.text(4.3, 0.75, "gradient", color=BLUE)
    for begin, end, y, text in ((6.3, 8, 1.6, "k1 = 2 new steps"), (4.3, 8, -0.5, "k2 = 4 steps back")):
        axes.plot((begin, end), (y, y), color=GREY, linewidth=1)
        axes.text((begin + end) / 2, y + (0.08 if y > 0 else -0.25), text, ha="center", fontsize=9)
    save(figure, name)
