# ruff: noqa: RUF001 - the letters are those of the equations

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.ops._call import Options, Weights
from recur.ops._cell import Masks
from recur.ops._forms import OPS, form, takers
from recur.report.equations import about_equations, equations, mathml, part_name

TOGETHER: Mapping[str, Sequence[str]] = {"lstm": ("ifgo",), "gru": ("rz", "n"), "mgu": ("f", "n"), "ligru": ("z", "n")}
"""The gates whose products are normalised together, as the page says of each cell."""
VALUES: Mapping[str, Sequence[Any]] = {
    "nonlinearity": ("tanh", "relu"), "reset_after": (True, False), "cell_clip": (None, 0.3), "output_clip": (None, 0.2)
}  # fmt: skip
FLAGS = (False, True)


def forms() -> list[Any]:
    """Return every cell in every form."""
    found = []
    for cell in OPS:
        names = [name for name in Options._fields if cell in takers(name) and name != "gradient_clip"]
        for values in itertools.product(*(VALUES.get(name, FLAGS) for name in names)):
            chosen = dict(zip(names, values, strict=True))
            if chosen.get("projected") and chosen.get("reset_after") is False:
                continue
            found += [pytest.param(cell, chosen, bias, id=f"{cell} {values} {bias}") for bias in FLAGS]
    return found


class Product(Tensor):
    """W h of a gate, which knows those that are normalised together with it."""

    together: Tensor
    place: slice


class Matrix:
    """W of an equation."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.name = page, name

    def __matmul__(self, value: Tensor) -> Tensor:
        return self.page.product(self.name, value)


class Page:
    """Computes what equations say, letter by letter."""

    def __init__(self, cell: str, weights: dict[str, Tensor], gates: Sequence[str], hidden: int) -> None:
        self.cell, self.weights, self.gates, self.hidden = cell, weights, gates, hidden
        self.known: dict[str, Any] = {}

    def rows(self, name: str, gate: str) -> slice:
        # Where gates are coupled the rows are without i; peepholes are without i then, and never have g.
        gates = [one for one in self.gates if not (name == "weight_ch" and one == "g")]
        place = gates.index(gate)
        return slice(place * self.hidden, (place + 1) * self.hidden)

    def block(self, name: str, gate: str) -> Tensor:
        return self.weights[name][self.rows(name, gate)]

    def product(self, name: str, value: Tensor) -> Tensor:
        if name == "proj":
            return value @ self.weights["weight_hr"].T
        if name in ("ih", "hh"):
            return value @ self.weights[f"weight_{name}"].T
        matrix = {"i": "weight_ih", "h": "weight_hh"}[name[0]]
        gate = name[1]
        group = next((one for one in TOGETHER[self.cell] if gate in one), gate)
        members = [one for one in group if one in self.gates]
        product = (value @ self.block(matrix, gate).T).as_subclass(Product)
        product.together = torch.cat([value @ self.block(matrix, one).T for one in members], -1)
        place = members.index(gate) * self.hidden
        product.place = slice(place, place + self.hidden)
        return product

    def norm(self, value: Tensor) -> Tensor:
        whole = value.together if isinstance(value, Product) else value
        centred = whole - whole.mean(-1, keepdim=True)
        normal = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return normal[..., value.place] if isinstance(value, Product) else normal

    def letter(self, name: str) -> Tensor:
        """Return a vector: b_if, γ_hn, p_o, u, γ and the like."""
        kind, _, of = name.partition("_")
        if kind == "u":
            return self.weights["weight_hh"]
        if kind == "p":
            return self.block("weight_ch", of)
        if name == "γ":
            return self.weights["norm"]
        if of == "c":
            return self.weights["norm_c" if kind == "γ" else "norm_c_bias"]
        stored = {"b": "bias", "γ": "norm"}[kind]
        if of in ("ih", "hh"):
            return self.weights[f"{stored}_{of}"]
        return self.block(f"{stored}_{of[0]}h", of[1])

    def compute(self, text: str) -> None:
        left, right = text.split(" = ")
        code = right.replace("h_{t-1}", "h_old").replace("c_{t-1}", "c_old").replace("⊙", "*")
        # A product is written without a sign between its factors.
        code = re.sub(r"W_(\w+) ", r"matrix('\1') @ ", code)
        code = re.sub(r"\b([bpγβ]_[a-z]+|u|γ)(?![\w'(])", r"letter('\1')", code)
        self.known[left] = eval(
            code.replace("σ(", "sigmoid("),
            {
                "matrix": lambda name: Matrix(self, name), "letter": self.letter, "LN": self.norm, "tanh": torch.tanh,
                "sigmoid": torch.sigmoid, "max": lambda low, value: value.clamp(min=low),
                "clip": lambda value, bound: value.clamp(-bound, bound), **self.known,
            },
        )  # fmt: skip


@pytest.mark.parametrize(("cell", "chosen", "bias"), forms())
def test_the_equations_compute_what_the_op_does(cell: str, chosen: dict[str, Any], bias: bool) -> None:
    options = Options(**chosen)
    made = form(cell, options)
    draw = torch.Generator().manual_seed(0)
    size, hidden, batch = 4, 3, 2
    proj = 2 if options.projected else 0
    shapes = made.shapes(size, hidden, proj, bias)
    weights = {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
    x = torch.randn(batch, size, generator=draw, dtype=torch.float64)
    state = tuple(
        torch.randn(batch, width, generator=draw, dtype=torch.float64) for width in made.state_sizes(hidden, proj)
    )
    four = [weights.get(name) for name in Weights._fields[:4]]
    more = {name: value for name, value in weights.items() if name not in Weights._fields[:4]}
    after, gates = reference(cell)(x, state, Weights(*four, more), options, Masks())
    page = Page(cell, weights, [gate for gate in made.gates if gate != "h"] or ["h"], hidden)
    page.known = {"x_t": x, "h_old": state[0], "c_old": state[-1]}
    for equation in equations(cell, chosen | {"bias": bias}):
        page.compute(equation.text)
    for name, value in (*zip(made.states, after, strict=True), *gates.items()):
        torch.testing.assert_close(page.known[f"{name}_t"].as_subclass(Tensor), value)
    assert about_equations(cell, chosen | {"bias": bias})[-1].startswith("This is the plain form") is False


def reference(cell: str) -> Any:
    import importlib

    return importlib.import_module(f"recur.ops.{cell}.reference").step


@pytest.mark.parametrize("cell", OPS)
def test_the_plain_equations_are_those_of_the_ops_readme(root: Path, cell: str) -> None:
    readme = (root / "src" / "recur" / "ops" / cell / "README.md").read_text(encoding="utf-8")
    lines = {" ".join(line.split()) for line in readme.splitlines()}
    for equation in equations(cell):
        assert any(line.startswith(equation.text) for line in lines), equation.text


@pytest.mark.parametrize("cell", OPS)
def test_every_gate_and_state_has_an_equation_and_a_name(cell: str) -> None:
    plain = form(cell, Options())
    assert {one.part for one in equations(cell)} == {*plain.gates, *plain.states}
    assert all(one.says and part_name(cell, one.part) == one.name != one.part for one in equations(cell))


@pytest.mark.parametrize(
    ("cell", "options", "text"),
    [
        ("lstm", {"coupled": True}, "i_t = 1 - f_t"),
        ("lstm", {"peephole": True}, "o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho + p_o ⊙ c_t)"),
        (
            "lstm",
            {"layer_norm": True},
            "f_t = σ(LN(W_if x_t) ⊙ γ_if + b_if + LN(W_hf h_{t-1}) ⊙ γ_hf + b_hf)",
        ),
        ("lstm", {"projected": True}, "h_t = W_proj (o_t ⊙ tanh(c_t))"),
        ("lstm", {"cell_clip": 3.0}, "c_t = clip(f_t ⊙ c_{t-1} + i_t ⊙ g_t, 3)"),
        ("gru", {"reset_after": False}, "n_t = tanh(W_in x_t + b_in + W_hn (r_t ⊙ h_{t-1}) + b_hn)"),
        ("rnn", {"nonlinearity": "relu", "bias": False}, "h_t = max(0, W_ih x_t + W_hh h_{t-1})"),
        ("ligru", {"nonlinearity": "tanh"}, "n_t = tanh(W_in x_t + b_in + W_hn h_{t-1} + b_hn)"),
        ("indrnn", {"nonlinearity": "Softsign"}, "h_t = f(W_ih x_t + b_ih + u ⊙ h_{t-1} + b_hh)"),
    ],
)
def test_an_option_changes_its_equation(cell: str, options: dict[str, Any], text: str) -> None:
    assert text in [one.text for one in equations(cell, options)]


def test_what_a_function_is_called_is_said() -> None:
    assert equations("rnn", {"nonlinearity": "Softsign"})[0].says.endswith("; f is Softsign")
    assert equations("ligru")[1].says.endswith("; f is tanh or the rectifier")


def test_options_that_the_equations_do_not_follow_are_named() -> None:
    options = {"bias": True, "zoneout": 0.1, "dilation": 4, "peephole": True, "gradient_clip": 1.0, "skip": None}
    assert about_equations("gru", options)[-1] == (
        "This is the plain form; this layer adds zoneout (0.1), dilation (4), peephole."
    )
    assert "does not say which options" in about_equations("gru", None)[-1]
    assert len(about_equations("gru", {"bias": True, "zoneout": [0.0, 0.0], "dilation": 1, "skip": None})) == 1


def test_options_of_any_kind_make_equations() -> None:
    wrong = {"bias": 3, "layer_norm": "yes", "cell_clip": [1], "nonlinearity": {"a": [None]}, "coupled": None}
    assert equations("lstm", wrong) == equations("lstm")
    assert equations("rnn", wrong)[0].text == "h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)"
    assert equations("mine", {}) == ()


def test_mathml_has_subscripts_and_true_minus_signs() -> None:
    assert str(mathml("h_{t-1} = tanh(c_t)")) == (
        '<math><msub><mi>h</mi><mrow><mi>t</mi><mo stretchy="false">\N{MINUS SIGN}</mo><mn>1</mn></mrow></msub>'
        '<mo stretchy="false">=</mo><mi>tanh</mi><mo stretchy="false">(</mo><msub><mi>c</mi><mi>t</mi></msub>'
        '<mo stretchy="false">)</mo></math>'
    )


def test_mathml_keeps_functions_and_numbers_whole() -> None:
    shown = str(mathml("clip(LN(c_t) ⊙ γ_c, 0.25)"))
    assert "<mi>clip</mi>" in shown
    assert "<mi>LN</mi>" in shown
    assert "<mn>0.25</mn>" in shown


def test_mathml_is_escaped() -> None:
    assert "<mo" not in str(mathml("<")).replace('<mo stretchy="false">', "")
    assert "&lt;" in str(mathml("<"))


def test_an_unknown_part_keeps_its_letter() -> None:
    assert part_name("mine", "q") == "q"
