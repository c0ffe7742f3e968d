"""The equations of the cells that recur's ops compute, in every form that options choose, and as MathML."""

# ruff: noqa: RUF001 - the letters are those of the equations

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from recur.kinds import is_number
from recur.report.passage import visible
from recur.report.values import written


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
    """The equation, with the letters of the op's README."""


_RESET = "how much of the old state the candidate may see: 0 forgets it, 1 keeps it"
_KEEPS = "how much of the old state stays: 1 keeps it, 0 replaces it by the candidate"
_COULD = "what the new state could be"
_PROJECTED = "what the next layer, and the next step, see of the memory: fewer numbers, made of all"

# What changes only how a layer is trained or run, and none of its equations.
_SILENT = frozenset(
    {
        "backend", "chrono_steps", "dropout", "forget_bias", "gradient_clip", "init", "initial_state", "locked_dropout",
        "recompute", "recurrent_dropout", "recurrent_dropout_kind", "weight_dropout",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Form:
    """The form of a cell, from the options of a layer, which may be anything."""

    options: Mapping[str, Any]

    def has(self, name: str) -> bool:
        return self.options.get(name) is True

    @property
    def has_bias(self) -> bool:
        return self.options.get("bias") is not False

    def bias(self, *names: str) -> str:
        return "".join(f" + b_{name}" for name in names) if self.has_bias else ""

    def product(self, gate: str, source: str, of: str) -> str:
        """Return W x + b: what a gate sees of the input, `source` i, or of the state, `source` h."""
        name = f"{source}{gate}"
        seen = f"W_{name} {of}"
        if self.has("layer_norm"):
            seen = f"LN({seen}) ⊙ γ_{name}"
        return seen + self.bias(name)

    def sum(self, gate: str) -> str:
        return f"{self.product(gate, 'i', 'x_t')} + {self.product(gate, 'h', 'h_{t-1}')}"

    def gate(self, gate: str, more: str = "") -> str:
        return f"{gate}_t = σ({self.sum(gate)}{more})"

    def bound(self, name: str) -> float | None:
        bound = self.options.get(name)
        return bound if is_number(bound) and bound > 0 else None

    def clipped(self, text: str, name: str) -> str:
        bound = self.bound(name)
        return text if bound is None else f"clip({text}, {bound:g})"

    def out(self, text: str) -> str:
        """Return what a layer gives for its state: projected and clipped."""
        is_one = re.fullmatch(r"\S+|[a-z]+\([^()]*\)", text) is not None
        # Not by the parameter's name, W_hr, which in a GRU is what the reset gate sees of h.
        projected = f"W_proj {text if is_one else f'({text})'}" if self.has("projected") else text
        return self.clipped(projected, "output_clip")

    def function(self, of: str) -> str:
        named = self.options.get("nonlinearity")
        return f"tanh({of})" if named == "tanh" else f"max(0, {of})" if named == "relu" else f"f({of})"

    def about_function(self) -> str:
        """Return what f is, where the equation says f."""
        named = self.options.get("nonlinearity")
        if named in ("tanh", "relu"):
            return ""
        return "; f is tanh or the rectifier" if named is None else f"; f is {written(named)}"


def _rnn(form: _Form) -> list[Equation]:
    is_normal = form.has("layer_norm")
    seen = "W_ih x_t + W_hh h_{t-1}"
    if is_normal:
        inner = f"LN({seen}) ⊙ γ" + form.bias("ih", "hh")
    else:
        inner = f"W_ih x_t{form.bias('ih')} + W_hh h_{{t-1}}{form.bias('hh')}"
    says = "what it remembers, and what the next layer sees" + form.about_function()
    return [Equation(part="h", name="state", says=says, text=f"h_t = {form.out(form.function(inner))}")]


def _indrnn(form: _Form) -> list[Equation]:
    if form.has("layer_norm"):
        inner = "LN(W_ih x_t + u ⊙ h_{t-1}) ⊙ γ" + form.bias("ih", "hh")
    else:
        inner = f"W_ih x_t{form.bias('ih')} + u ⊙ h_{{t-1}}{form.bias('hh')}"
    says = "what it remembers; each unit sees only its own past, times its own u" + form.about_function()
    return [Equation(part="h", name="state", says=says, text=f"h_t = {form.out(form.function(inner))}")]


def _lstm(form: _Form) -> list[Equation]:
    def eye(gate: str, when: str) -> str:
        return f" + p_{gate} ⊙ c_{when}" if form.has("peephole") else ""

    before = "{t-1}"
    forget = Equation(
        part="f",
        name="forget gate",
        says="how much of the memory stays: 1 keeps it, 0 erases it",
        text=form.gate("f", eye("f", before)),
    )
    written_in = Equation(
        part="i",
        name="input gate",
        says="how much of the candidate is written: 0 nothing, 1 all",
        text="i_t = 1 - f_t" if form.has("coupled") else form.gate("i", eye("i", before)),
    )
    candidate = Equation(
        part="g",
        name="candidate",
        says="what could be written into the memory",
        text=f"g_t = tanh({form.sum('g')})",
    )
    output = Equation(
        part="o",
        name="output gate",
        says="how much of the memory is shown: 0 hides it, 1 shows it",
        text=form.gate("o", eye("o", "t")),
    )
    memory = Equation(
        part="c",
        name="cell state",
        says="the memory: a part of the old one, and what is written",
        text=f"c_t = {form.clipped('f_t ⊙ c_{t-1} + i_t ⊙ g_t', 'cell_clip')}",
    )
    shown = "c_t"
    if form.has("layer_norm"):
        shown = "LN(c_t) ⊙ γ_c" + (" + β_c" if form.has_bias else "")
    state = Equation(
        part="h",
        name="state",
        says=_PROJECTED if form.has("projected") else "what the next layer, and the next step, see of the memory",
        text=f"h_t = {form.out(f'o_t ⊙ tanh({shown})')}",
    )
    first = [forget, written_in] if form.has("coupled") else [written_in, forget]
    # With peepholes the output gate sees the new memory.
    return [*first, candidate, *([memory, output] if form.has("peephole") else [output, memory]), state]


def _blended(form: _Form, text: Callable[[str], str], says: str) -> list[Equation]:
    """Return the equation of a state between the old one and a candidate; `text` is told the letter of the state."""
    if not form.has("projected"):
        return [Equation(part="h", name="state", says=says, text=f"h_t = {form.out(text('h'))}")]
    return [
        Equation(part="c", name="cell state", says=f"the memory: {says}", text=f"c_t = {text('c')}"),
        Equation(part="h", name="state", says=_PROJECTED, text=f"h_t = {form.out('c_t')}"),
    ]


def _gru(form: _Form) -> list[Equation]:
    if form.options.get("reset_after") is False:
        recurrent = form.product("n", "h", "(r_t ⊙ h_{t-1})")
    else:
        recurrent = f"r_t ⊙ ({form.product('n', 'h', 'h_{t-1}')})"
    return [
        Equation(part="r", name="reset gate", says=_RESET, text=form.gate("r")),
        Equation(part="z", name="update gate", says=_KEEPS, text=form.gate("z")),
        Equation(
            part="n",
            name="candidate",
            says=_COULD,
            text=f"n_t = tanh({form.product('n', 'i', 'x_t')} + {recurrent})",
        ),
        *_blended(
            form,
            lambda state: f"(1 - z_t) ⊙ n_t + z_t ⊙ {state}_{{t-1}}",
            "between the candidate and the old state",
        ),
    ]


def _mgu(form: _Form) -> list[Equation]:
    recurrent = form.product("n", "h", "(f_t ⊙ h_{t-1})")
    return [
        Equation(
            part="f",
            name="forget gate",
            says="how much of the state is replaced by the candidate: 0 nothing, 1 all",
            text=form.gate("f"),
        ),
        Equation(
            part="n",
            name="candidate",
            says=_COULD,
            text=f"n_t = tanh({form.product('n', 'i', 'x_t')} + {recurrent})",
        ),
        Equation(
            part="h",
            name="state",
            says="between the old state and the candidate",
            text=f"h_t = {form.clipped('(1 - f_t) ⊙ h_{t-1} + f_t ⊙ n_t', 'output_clip')}",
        ),
    ]


def _ligru(form: _Form) -> list[Equation]:
    return [
        Equation(part="z", name="update gate", says=_KEEPS, text=form.gate("z")),
        Equation(
            part="n",
            name="candidate",
            says=_COULD + form.about_function(),
            text=f"n_t = {form.function(form.sum('n'))}",
        ),
        *_blended(
            form,
            lambda state: f"z_t ⊙ {state}_{{t-1}} + (1 - z_t) ⊙ n_t",
            "between the old state and the candidate",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class _Cell:
    equations: Callable[[_Form], list[Equation]]
    takes: frozenset[str]
    """The options that its equations follow."""
    normalised: str
    """What LN is taken over."""


_ALL = frozenset({"bias", "layer_norm", "output_clip"})
_TOGETHER = "over all units together"
_CELLS: Mapping[str, _Cell] = {
    "rnn": _Cell(equations=_rnn, takes=_ALL | {"nonlinearity", "projected"}, normalised=_TOGETHER),
    "indrnn": _Cell(equations=_indrnn, takes=_ALL | {"nonlinearity"}, normalised=_TOGETHER),
    "lstm": _Cell(
        equations=_lstm,
        takes=_ALL | {"coupled", "peephole", "projected", "cell_clip"},
        normalised="over the products of all gates with x together, over those with h together, and over c",
    ),
    "gru": _Cell(
        equations=_gru,
        takes=_ALL | {"reset_after", "projected"},
        normalised="over the products of r and z together, and over those of n alone",
    ),
    "mgu": _Cell(equations=_mgu, takes=_ALL, normalised="over the product of each gate alone"),
    "ligru": _Cell(
        equations=_ligru,
        takes=_ALL | {"nonlinearity", "projected"},
        normalised="over the product of each gate alone",
    ),
}


def is_known(cell: str) -> bool:
    """Return whether a cell is one that recur's ops compute."""
    return cell in _CELLS


def equations(cell: str, options: Mapping[str, Any] | None = None) -> tuple[Equation, ...]:
    """Return the equations of a cell in the order in which they are computed; none where they are not known.

    Args:
        cell: The op.
        options: Of the layer, by name; None for the plain form.

    Example:
        >>> [one.text for one in equations("rnn", {"nonlinearity": "relu", "bias": False})]
        ['h_t = max(0, W_ih x_t + W_hh h_{t-1})']
    """
    return tuple(_CELLS[cell].equations(_Form(options or {}))) if cell in _CELLS else ()


def about_equations(cell: str, options: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what to know of a cell's equations, in sentences.

    Args:
        cell: The op.
        options: Of the layer, by name; None where they are not known.
    """
    if cell not in _CELLS:
        return ("How it computes its state is up to its own code.",)
    said = ["It computes these one after the other, each for all units at once; ⊙ multiplies unit by unit."]
    form, known = _Form(options or {}), _CELLS[cell]
    if options is None:
        said.append("This is the plain form of the cell; the file does not say which options the layer has.")
    if form.has("layer_norm"):
        said.append(
            f"LN shifts and stretches numbers so that their mean is 0 and their variance 1, {known.normalised}; "
            "γ, and β where there is one, were learned."
        )
    if form.has("projected"):
        said.append("W_proj is the projection, weight_hr.")
    if form.bound("output_clip") is not None or (cell == "lstm" and form.bound("cell_clip") is not None):
        said.append("clip(v, k) holds each number of v between \N{MINUS SIGN}k and k.")
    added = [
        _named(name, value)
        for name, value in form.options.items()
        if name not in known.takes | _SILENT and not _is_nothing(name, value)
    ]
    if added:
        said.append(f"This is the plain form; this layer adds {', '.join(added)}.")
    return tuple(said)


def _is_nothing(name: str, value: object) -> bool:
    if isinstance(value, list):
        return all(_is_nothing(name, one) for one in value)
    return value is None or value is False or value in (0, "", {}) or (name == "dilation" and value == 1)


def _named(name: str, value: object) -> str:
    words = visible(name).replace("_", " ")
    return words if value is True else f"{words} ({written(value)})"


_PART_NAMES = {"h": "state", "c": "cell state"}

_TOKEN = re.compile(
    r"(?P<name>tanh|max|clip|LN|[A-Za-zσγβ])(?:_(?:\{(?P<many>[^}]*)\}|(?P<one>[A-Za-z]+)))?"
    r"|(?P<number>\d+(?:\.\d+)?(?:e[+-]\d+)?)|(?P<sign>\S)"
)


def part_name(cell: str, part: str) -> str:
    """Return what a state part or gate of a cell is called.

    Example:
        >>> part_name("lstm", "f"), part_name("gru", "z"), part_name("my_cell", "q")
        ('forget gate', 'update gate', 'q')
    """
    found = next((one.name for one in equations(cell) if one.part == part), None)
    return found or _PART_NAMES.get(part, part)


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
