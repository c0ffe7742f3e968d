"""The equations of the cells that recur's ops compute, as their READMEs state them, and as MathML."""

# ruff: noqa: RUF001 - the logistic function has the letter that the equations give it

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, kw_only=True)
class Equation:
    """How one vector of a cell comes about."""

    part: str
    """The state part or gate that it computes."""
    name: str
    """What that is called."""
    says: str
    """What it does, for someone who has never seen one."""
    text: str
    """The equation, as in the op's README."""


_RESET = "how much of the old state the candidate may see: 0 forgets it, 1 keeps it"
_KEEPS = "how much of the old state stays: 1 keeps it, 0 replaces it by the candidate"

EQUATIONS: dict[str, tuple[Equation, ...]] = {
    "rnn": (
        Equation(
            part="h",
            name="state",
            says="what it remembers, and what the next layer sees; f is tanh or the rectifier",
            text="h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)",
        ),
    ),
    "indrnn": (
        Equation(
            part="h",
            name="state",
            says="what it remembers; each unit sees only its own past, times its own u",
            text="h_t = f(W_ih x_t + b_ih + u ⊙ h_{t-1} + b_hh)",
        ),
    ),
    "lstm": (
        Equation(
            part="i",
            name="input gate",
            says="how much of the candidate is written: 0 nothing, 1 all",
            text="i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)",
        ),
        Equation(
            part="f",
            name="forget gate",
            says="how much of the memory stays: 1 keeps it, 0 erases it",
            text="f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)",
        ),
        Equation(
            part="g",
            name="candidate",
            says="what could be written into the memory",
            text="g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)",
        ),
        Equation(
            part="o",
            name="output gate",
            says="how much of the memory is shown: 0 hides it, 1 shows it",
            text="o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)",
        ),
        Equation(
            part="c",
            name="cell state",
            says="the memory: a part of the old one, and what is written",
            text="c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t",
        ),
        Equation(
            part="h",
            name="state",
            says="what the next layer, and the next step, see of the memory",
            text="h_t = o_t ⊙ tanh(c_t)",
        ),
    ),
    "gru": (
        Equation(part="r", name="reset gate", says=_RESET, text="r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)"),
        Equation(part="z", name="update gate", says=_KEEPS, text="z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)"),
        Equation(
            part="n",
            name="candidate",
            says="what the new state could be",
            text="n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))",
        ),
        Equation(
            part="h",
            name="state",
            says="between the candidate and the old state",
            text="h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}",
        ),
    ),
    "mgu": (
        Equation(
            part="f",
            name="forget gate",
            says="how much of the state is replaced by the candidate: 0 nothing, 1 all",
            text="f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)",
        ),
        Equation(
            part="n",
            name="candidate",
            says="what the new state could be",
            text="n_t = tanh(W_in x_t + b_in + W_hn (f_t ⊙ h_{t-1}) + b_hn)",
        ),
        Equation(
            part="h",
            name="state",
            says="between the old state and the candidate",
            text="h_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ n_t",
        ),
    ),
    "ligru": (
        Equation(part="z", name="update gate", says=_KEEPS, text="z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)"),
        Equation(
            part="n",
            name="candidate",
            says="what the new state could be; f is the rectifier or tanh",
            text="n_t = f(W_in x_t + b_in + W_hn h_{t-1} + b_hn)",
        ),
        Equation(
            part="h",
            name="state",
            says="between the old state and the candidate",
            text="h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ n_t",
        ),
    ),
}
"""The equations of every op's plain form, in the order in which they are computed."""

_PART_NAMES = {"h": "state", "c": "cell state"}

_TOKEN = re.compile(
    r"(?P<name>tanh|[A-Za-z]|[σ])(?:_(?:\{(?P<many>[^}]*)\}|(?P<one>[A-Za-z]+)))?|(?P<number>\d+)|(?P<sign>\S)"
)


def part_name(cell: str, part: str) -> str:
    """Return what a state part or gate of a cell is called.

    Example:
        >>> part_name("lstm", "f"), part_name("gru", "z"), part_name("my_cell", "q")
        ('forget gate', 'update gate', 'q')
    """
    found = next((one.name for one in EQUATIONS.get(cell, ()) if one.part == part), None)
    return found or _PART_NAMES.get(part, part)


def part_says(cell: str, part: str) -> str:
    """Return what a state part or gate of a cell does; nothing where that is not known."""
    return next((one.says for one in EQUATIONS.get(cell, ()) if one.part == part), "")


def mathml(text: str) -> Markup:
    """Return an equation as MathML.

    Args:
        text: Letters with subscripts (`h_t`, `h_{t-1}`), numbers and signs.

    Example:
        >>> str(mathml("h_t = 1"))
        '<math><msub><mi>h</mi><mi>t</mi></msub><mo stretchy="false">=</mo><mn>1</mn></math>'
    """
    return Markup("<math>") + _row(text) + Markup("</math>")


def _row(text: str) -> Markup:
    written = Markup("")
    for token in _TOKEN.finditer(text):
        name, many, one = token["name"], token["many"], token["one"]
        if name is None:
            number, sign = token["number"], token["sign"]
            # A hyphen would be too short.
            shown = "\N{MINUS SIGN}" if sign == "-" else sign
            written += (
                Markup("<mn>{}</mn>").format(number) if number else Markup('<mo stretchy="false">{}</mo>').format(shown)
            )
            continue
        letter = Markup("<mi>{}</mi>").format(name)
        if many is not None:
            letter = Markup("<msub>{}<mrow>{}</mrow></msub>").format(letter, _row(many))
        elif one is not None:
            letter = Markup("<msub>{}<mi>{}</mi></msub>").format(letter, one)
        written += letter
    return written
