"""Calls of ops drawn at random, to be run on two back ends: form, sizes, strides, lengths, resets, noise, gradients.

Loaded by conftest.py, which hands it to the tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recur.ops import Noise, Options, form, recurrence
from recur.ops._cell import Cell
from recur.ops._forms import OPS

# Around the widths of vectors of 16, 32 and 64 bytes, and of panels of several of them.
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65, 80, 100)


FORMS: dict[str, tuple[str, Options, int]] = {
    "rnn": ("rnn", Options(), 0),
    "rnn_relu_clip_proj": ("rnn", Options(nonlinearity="relu", output_clip=0.4), 3),
    "rnn_norm": ("rnn", Options(layer_norm=True), 0),
    "rnn_proj": ("rnn", Options(gradient_clip=0.5), 3),
    "gru": ("gru", Options(), 0),
    "gru_clip": ("gru", Options(output_clip=0.2, gradient_clip=0.5), 0),
    "gru_norm_proj": ("gru", Options(layer_norm=True), 3),
    "gru_before": ("gru", Options(reset_after=False), 0),
    "gru_before_norm_clip": ("gru", Options(reset_after=False, layer_norm=True, output_clip=0.4), 0),
    "lstm": ("lstm", Options(), 0),
    "lstm_clip_proj": ("lstm", Options(cell_clip=0.4, output_clip=0.2, gradient_clip=0.5), 3),
    "lstm_peephole": ("lstm", Options(peephole=True), 0),
    "lstm_coupled_clip": ("lstm", Options(coupled=True, output_clip=0.3), 0),
    "lstm_norm": ("lstm", Options(layer_norm=True), 0),
    "lstm_peephole_norm_clip_proj": ("lstm", Options(peephole=True, layer_norm=True, cell_clip=0.4), 3),
    "lstm_all_clip_proj": (
        "lstm",
        Options(coupled=True, peephole=True, layer_norm=True, cell_clip=0.4, output_clip=0.3),
        3,
    ),
    "indrnn": ("indrnn", Options(), 0),
    "indrnn_relu_norm": ("indrnn", Options(nonlinearity="relu", layer_norm=True, output_clip=0.4), 0),
    "mgu": ("mgu", Options(gradient_clip=0.5), 0),
    "mgu_norm_clip": ("mgu", Options(layer_norm=True, output_clip=0.4), 0),
    "ligru_relu": ("ligru", Options(nonlinearity="relu"), 0),
    "ligru_norm_proj": ("ligru", Options(layer_norm=True), 3),
}
"""Kind, form and size of the projection: every piece of the kernels is in one of them at least."""


@dataclass
class Drawn:
    """One call.

    Attributes:
        kind: Of the op.
        options: The form of it.
        leaves: Float arguments by name; those of `reset_state` are "reset h0" and "reset c0".
        keywords: Of `recurrence`.
        upstream: Gradients of the outputs that get one, by name.
        wanted: Names of the leaves that require a gradient.
        threads: How many there may be.
    """

    kind: str
    options: Options
    leaves: dict[str, Tensor]
    keywords: dict[str, Any]
    upstream: dict[str, Tensor] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    threads: int = 1

    @property
    def cell(self) -> Cell:
        return form(self.kind, self.options._replace(projected="weight_hr" in self.leaves))

    def __str__(self) -> str:
        said = {n: v for n, v in self.options._asdict().items() if v != Options._field_defaults[n]}
        shapes = {n: (*v.shape,) for n, v in self.leaves.items() if n in ("x", "h0", "weight_hh")}
        keywords = {n: v for n, v in self.keywords.items() if n != "noise"}
        if "noise" in self.keywords:
            masks = _flat(self.keywords["noise"])
            keywords["noise"] = {n: (*v.shape,) for n, v in masks.items()}
        return f"{self.kind} {said} {shapes} {keywords} {self.threads} threads, for {sorted(self.upstream)}"

    def converted(self, dtype: torch.dtype) -> Drawn:
        """The same in another dtype."""
        keywords = dict(self.keywords)
        if "noise" in keywords:
            state, candidate, zoneout = keywords["noise"]
            state, candidate, *kept = (None if m is None else m.to(dtype) for m in (state, candidate, *zoneout))
            keywords["noise"] = Noise(state, candidate, tuple(kept))
        to = lambda named: {n: v.detach().to(dtype) for n, v in named.items()}  # noqa: E731
        return Drawn(self.kind, self.options, to(self.leaves), keywords, to(self.upstream), self.wanted, self.threads)

    def poisoned(self) -> Drawn:
        """The same with NaN for every number, which stays behind in all memory that the kernels use again."""
        leaves = {n: torch.full_like(v, torch.nan) for n, v in self.leaves.items()}
        return Drawn(self.kind, self.options, leaves, self.keywords, self.upstream, self.wanted, self.threads)

    def outputs(self, backend: str, leaves: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Everything that comes out, by name."""
        given = dict(self.leaves if leaves is None else leaves)
        states = [f"{name}0" for name in self.cell.states]
        anew = [given.pop(f"reset {name}") for name in states if f"reset {name}" in given]
        result = recurrence(
            self.kind,
            given.pop("x"),
            [given.pop(name) for name in states],
            given,
            options=self.options,
            reset_state=anew or None,
            backend=backend,
            **self.keywords,
        )
        parts = dict(zip(self.cell.states, result.state, strict=True))
        return {"output": result.output, **parts, **{f"record {n}": v for n, v in result.record.items()}}

    def results(self, backend: str) -> dict[str, Tensor]:
        """All outputs, and the gradients of the wanted leaves under `upstream`; one that there is none of is zero."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads if backend == "cpu" else before)
        try:
            leaves = {n: v.detach().requires_grad_(n in self.wanted) for n, v in self.leaves.items()}
            outputs = self.outputs(backend, leaves)
            asked = [n for n in self.upstream if outputs[n].requires_grad]
            found: Sequence[Tensor | None] = [None] * len(self.wanted)
            if asked and self.wanted:
                found = torch.autograd.grad(
                    [outputs[n] for n in asked],
                    [leaves[n] for n in self.wanted],
                    [self.upstream[n] for n in asked],
                    allow_unused=True,
                )
        finally:
            torch.set_num_threads(before)
        gradients = {
            f"d{n}": torch.zeros_like(leaves[n]) if g is None else g for n, g in zip(self.wanted, found, strict=True)
        }
        return {n: v.detach() for n, v in outputs.items()} | gradients


def _flat(noise: Noise) -> dict[str, Tensor]:
    masks = {"state": noise.state, "candidate": noise.candidate}
    masks |= {f"zoneout[{k}]": mask for k, mask in enumerate(noise.zoneout)}
    return {n: m for n, m in masks.items() if m is not None}


def draw_options(rng: random.Random, kind: str, has_edges: bool) -> tuple[Options, bool]:
    """A form of an op, and whether it is projected.

    Args:
        rng: Draws.
        kind: Of the op.
        has_edges: Whether there may be functions whose slope jumps.
    """
    takes, given = OPS[kind].TAKES, {}
    for name in ("coupled", "peephole", "layer_norm"):
        if name in takes:
            given[name] = rng.random() < 0.35
    if "nonlinearity" in takes:
        given["nonlinearity"] = rng.choice(["tanh", "relu"]) if has_edges else "tanh"
    if "reset_after" in takes:
        given["reset_after"] = rng.random() < 0.6
    for name in ("cell_clip", "output_clip") if has_edges else ():
        if name in takes and rng.random() < 0.25:
            given[name] = rng.choice([0.1, 0.4])
    if rng.random() < 0.2:
        given["gradient_clip"] = rng.choice([0.02, 0.5])
    is_projected = "projected" in takes and given.get("reset_after", True) and rng.random() < 0.35
    return Options(**given), is_projected


def laid_out(rng: random.Random, value: Tensor, can_spread: bool = True) -> Tensor:
    """The same values, or as many, otherwise in memory."""
    how = rng.choice(["dense", "turned", "apart", "within", "spread" if can_spread else "dense"])
    if how == "turned" and value.dim() > 1:
        return value.transpose(0, 1).contiguous().transpose(0, 1)
    if how == "apart":
        return value.repeat_interleave(2, -1)[..., ::2]
    if how == "within":
        # At an odd place, with something on every side that must not be read.
        room = value.new_full([size + 3 for size in value.shape], torch.nan)
        part = room[tuple(slice(1, size + 1) for size in value.shape)]
        part.copy_(value)
        return part
    if how == "spread":
        axis = rng.randrange(value.dim())
        return value.narrow(axis, 0, 1).expand_as(value) if value.shape[axis] else value
    return value


def draw(number: int, dtype: torch.dtype = torch.float64, *, has_edges: bool = True) -> Drawn:
    """The call of this number.

    Args:
        number: Of the call; the same one gives the same call.
        dtype: Of its tensors.
        has_edges: Whether the form may have functions whose slope jumps, at which two roundings may fall apart.
    """
    rng = random.Random(number)
    torch.manual_seed(number)
    kind = rng.choice(list(OPS))
    options, is_projected = draw_options(rng, kind, has_edges)
    is_wide, is_long = rng.random() < 0.3, rng.random() < 0.04
    T, B = rng.choice([1, 1, 2, 3, 4, 6, 9]), rng.choice([1, 2, 3, 4, 5, 6, 7, 9, 13])
    inputs, H, P = (rng.choice(WIDTHS[:12]) for _ in range(3))
    if is_wide:
        # Enough work for several threads, of which there may be more than rows.
        T, B = rng.choice([6, 9]), rng.choice([1, 2, 3, 5, 6, 20])
        inputs, H, P = (rng.choice(WIDTHS[12:]) for _ in range(3))
    if is_long:
        # More than a chunk, in steps or in rows.
        T, B = rng.choice([(140, 1), (60, 5), (2, 150), (3, 300), (33, 8)])
    return call(
        kind,
        options,
        (T, B, inputs, H, P if is_projected else 0),
        dtype,
        rng,
        bias=rng.random() < 0.8,
        lengths=rng.choice([False, True]),
        reset=rng.choice([None, None, "own", "other"]),
        noise=rng.random() < 0.4,
        reverse=rng.random() < 0.4,
        records=rng.random() < 0.3,
        threads=rng.choice([1, 2, 3, 8]),
        partly=rng.random() < 0.4,
        strided=rng.random() < 0.6,
    )


def call(
    kind: str,
    options: Options,
    sizes: tuple[int, int, int, int, int],
    dtype: torch.dtype = torch.float64,
    rng: random.Random | None = None,
    *,
    bias: bool = True,
    lengths: bool = False,
    reset: str | None = None,
    noise: bool = False,
    reverse: bool = False,
    records: bool = False,
    threads: int = 1,
    partly: bool = False,
    strided: bool = False,
) -> Drawn:
    """A call with random numbers.

    Args:
        kind: Of the op.
        options: The form.
        sizes: T, B, I, H, and P or 0.
        dtype: Of its tensors.
        rng: Draws what is left open here.
        bias: Whether there are biases.
        lengths: Whether rows differ in length; NaN lies behind their ends.
        reset: "own" where a reset goes back to the initial state, "other" where to another one, None without resets.
        noise: Whether there are masks.
        reverse: Of the op.
        records: Of the op.
        threads: How many there may be.
        partly: Whether only some of the arguments require a gradient, and some of the outputs get one.
        strided: Whether tensors are not dense.
    """
    rng = rng or random.Random(0)
    T, B, inputs, H, P = sizes
    cell = form(kind, options._replace(projected=P > 0))
    random_of: Callable[..., Tensor] = lambda *shape: torch.randn(*shape, dtype=dtype)  # noqa: E731
    widths = cell.state_sizes(H, P)
    leaves = {"x": random_of(T, B, inputs)}
    leaves |= {f"{n}0": 0.5 * random_of(B, w) for n, w in zip(cell.states, widths, strict=True)}
    keywords: dict[str, Any] = {"reverse": reverse, "records": records}
    if reset is not None:
        keywords["reset"] = torch.rand(T, B) < 0.3
        if strided:
            keywords["reset"] = keywords["reset"].T.contiguous().T
    if reset == "other":
        leaves |= {f"reset {n}0": 0.5 * random_of(B, w) for n, w in zip(cell.states, widths, strict=True)}
    shapes = cell.shapes(inputs, H, P, bias)
    leaves |= {
        n: random_of(*s) * ((s[-1] + 1) ** -0.5 if len(s) > 1 else 0.5) + (1.0 if n.startswith("norm") else 0.0)
        for n, s in shapes.items()
    }
    if noise:
        keywords["noise"] = draw_noise(rng, cell, (T, B, H), widths, dtype, strided)
    if strided:
        # Normalised units that are all alike are nothing but roundings.
        fixed = shapes if options.layer_norm else ()
        leaves = {n: laid_out(rng, v, can_spread=n not in fixed) for n, v in leaves.items()}
    if lengths:
        ends = [rng.choice([0, 1, T, rng.randint(0, T)]) for _ in range(B)]
        keywords["lengths"] = torch.tensor(ends)
        leaves["x"] = leaves["x"].clone()
        leaves["x"][torch.arange(T)[:, None] >= keywords["lengths"]] = torch.nan
    drawn = Drawn(kind, options, leaves, keywords, threads=threads, wanted=tuple(leaves))
    with torch.no_grad():
        outputs = drawn.outputs("reference")
    drawn.upstream = {n: random_of(*v.shape) for n, v in outputs.items()}
    if strided:
        drawn.upstream = {n: laid_out(rng, v) for n, v in drawn.upstream.items()}
    if partly:
        drawn.wanted = tuple(rng.sample(list(leaves), rng.randint(1, len(leaves))))
        chosen = rng.sample(list(outputs), rng.randint(1, len(outputs)))
        drawn.upstream = {n: v for n, v in drawn.upstream.items() if n in chosen}
    return drawn


def draw_noise(
    rng: random.Random,
    cell: Cell,
    sizes: tuple[int, int, int],
    widths: Sequence[int],
    dtype: torch.dtype,
    strided: bool,
) -> Noise:
    """Masks of a call, each of which may be left out."""
    T, B, H = sizes

    def maybe(*shapes: tuple[int, ...]) -> Tensor | None:
        shape = rng.choice([None, *shapes])
        if shape is None:
            return None
        mask = torch.rand(shape, dtype=dtype) if rng.random() < 0.3 else (torch.rand(shape) < 0.6).to(dtype)
        return laid_out(rng, mask) if strided else mask

    candidate = None if len(cell.gates) == 1 else maybe((T, B, H), (1, B, H))
    zoneout = tuple(maybe((T, B, w), (1, 1, 1)) for w in widths) if rng.random() < 0.6 else ()
    return Noise(maybe((B, widths[0])), candidate, zoneout)
