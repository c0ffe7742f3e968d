from __future__ import annotations

from pathlib import Path

import pytest

from recur.ops._call import Options
from recur.ops._forms import OPS, form
from recur.report.equations import EQUATIONS, mathml, part_name, part_says


@pytest.mark.parametrize("cell", OPS)
def test_the_equations_are_those_of_the_ops_readme(root: Path, cell: str) -> None:
    readme = (root / "src" / "recur" / "ops" / cell / "README.md").read_text(encoding="utf-8")
    lines = {" ".join(line.split()) for line in readme.splitlines()}
    for equation in EQUATIONS[cell]:
        assert any(line.startswith(equation.text) for line in lines), equation.text


@pytest.mark.parametrize("cell", OPS)
def test_every_gate_and_state_has_an_equation_and_a_name(cell: str) -> None:
    plain = form(cell, Options())
    assert {one.part for one in EQUATIONS[cell]} == {*plain.gates, *plain.states}
    assert all(part_says(cell, part) and part_name(cell, part) != part for part in (*plain.gates, *plain.states))


def test_mathml_has_subscripts_and_true_minus_signs() -> None:
    assert str(mathml("h_{t-1} = tanh(c_t)")) == (
        '<math><msub><mi>h</mi><mrow><mi>t</mi><mo stretchy="false">\N{MINUS SIGN}</mo><mn>1</mn></mrow></msub>'
        '<mo stretchy="false">=</mo><mi>tanh</mi><mo stretchy="false">(</mo><msub><mi>c</mi><mi>t</mi></msub>'
        '<mo stretchy="false">)</mo></math>'
    )


def test_mathml_is_escaped() -> None:
    assert "<mo" not in str(mathml("<")).replace('<mo stretchy="false">', "")
    assert "&lt;" in str(mathml("<"))


def test_an_unknown_part_keeps_its_letter() -> None:
    assert (part_name("mine", "q"), part_says("mine", "q")) == ("q", "")
