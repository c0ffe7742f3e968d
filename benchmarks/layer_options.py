"""What the options of the layers cost, and what torch has or is written in torch for the same."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import peers
from recur import engine
from recur.measure.layers import LAYERS, Side, checked_race, side_of, threads
from recur.wording import cell_name

BUDGET = 0.5
SHAPES = ((100, 1, 128), (100, 32, 128), (100, 64, 256))
GAIN = 0.5
"""Gain of layer normalisation: at 1 an LSTM with random weights is chaotic, and float32 says little after 100 steps."""


class SeededSide(Side):
    """A side whose random masks are the same whenever its results are asked for."""

    def results(self) -> dict[str, Tensor]:
        """Return what `Side` does."""
        torch.manual_seed(0)
        return super().results()


def made(kind: str, units: int, **options: Any) -> nn.Module:
    """Return recur's layer with the weights of seed 0."""
    torch.manual_seed(0)
    layer = LAYERS[kind][0](units, units, **options)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.startswith("norm") and "bias" not in name:
                weight.fill_(GAIN)
    return layer


def data(steps: int, batch: int, units: int, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Return an input and the gradient of an output that is `width` wide."""
    torch.manual_seed(1)
    return torch.randn(steps, batch, units), torch.randn(steps, batch, width or units)


def ragged(steps: int, batch: int) -> Tensor:
    """Return lengths between a tenth and all of the steps; the longest has all."""
    lengths = torch.randint(max(1, steps // 10), steps + 1, (batch,), generator=torch.Generator().manual_seed(2))
    lengths[0] = steps
    return lengths


def shape_of(steps: int, batch: int, units: int) -> dict[str, int]:
    """Return a shape as rows have it."""
    return {"steps": steps, "batch_size": batch, "input_size": units, "hidden_size": units}


def cases(kind: str, steps: int, batch: int, units: int) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return for each option the layer's arguments and those of its call."""
    reset = torch.rand(steps, batch, generator=torch.Generator().manual_seed(3)) < 0.05
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "layer_norm": ({"layer_norm": True}, {}),
        "zoneout": ({"zoneout": 0.1}, {}),
        "recurrent_dropout": ({"recurrent_dropout": 0.1}, {}),
        "weight_dropout": ({"weight_dropout": 0.1}, {}),
        "gradient_clip": ({"gradient_clip": 1.0}, {}),
        "output_clip": ({"output_clip": 0.5}, {}),
        "learned initial state": ({"initial_state": "learned"}, {}),
        "lengths, all full": ({}, {"lengths": torch.full((batch,), steps)}),
        "lengths": ({}, {"lengths": ragged(steps, batch)}),
        "reset": ({}, {"reset": reset}),
    }
    if kind != "rnn":
        more = {"recurrent_dropout": 0.1, "recurrent_dropout_kind": "candidate"}
        found["recurrent_dropout of the candidate"] = (more, {})
    if kind == "lstm":
        found |= {
            "peephole": ({"peephole": True}, {}),
            "coupled": ({"coupled": True}, {}),
            "cell_clip": ({"cell_clip": 1.0}, {}),
            "projection to as many units": ({"proj_size": units}, {}),
        }
    return found


def options() -> Iterator[dict[str, Any]]:
    """Time the training of recur's layers with each option against the same without; checked against the reference."""
    with threads(engine.num_threads()):
        for kind in LAYERS:
            for shape in SHAPES:
                x, upstream = data(*shape)
                plain = side_of(made(kind, shape[2]), x, upstream)
                for name, (more, inputs) in cases(kind, *shape).items():
                    layer = made(kind, shape[2], **more)
                    truth = made(kind, shape[2], backend="reference", **more)
                    truth.load_state_dict(layer.state_dict())
                    ours = seeded(side_of(layer, x, upstream, **inputs))
                    race = checked_race(
                        ours, plain, budget=BUDGET, expected=seeded(side_of(truth, x, upstream, **inputs))
                    )
                    yield {
                        "what": f"{cell_name(kind)} training, {name}, T {shape[0]}, B {shape[1]}, H {shape[2]}",
                        "work": {"kind": kind, "option": name, **shape_of(*shape)},
                        "threads": torch.get_num_threads(),
                        "backend": layer.explain(x, **inputs).backend,
                        "peer_name": "recur without it",
                        **race,
                    }
                yield one_way(kind, shape, plain)


def seeded(side: Side) -> Side:
    """Return the side with its masks the same in every check."""
    return SeededSide(side.call, side.x, side.weights, side.upstream)


def one_way(kind: str, shape: tuple[int, int, int], plain: Side) -> dict[str, Any]:
    """Time both directions, whose time is halved, against one: what the reverse direction costs beside it."""
    x, upstream = data(*shape, width=2 * shape[2])
    layer = made(kind, shape[2], bidirectional=True)
    truth = made(kind, shape[2], bidirectional=True, backend="reference")
    truth.load_state_dict(layer.state_dict())
    both = side_of(layer, x, upstream)
    race = checked_race(both, plain, budget=BUDGET, expected=side_of(truth, x, upstream))
    for name in ("ours", "ratio"):
        if name in race:
            race[name] = {key: value / 2 if key != "repeats" else value for key, value in race[name].items()}
    return {
        "what": f"{cell_name(kind)} training, half of both directions, T {shape[0]}, B {shape[1]}, H {shape[2]}",
        "work": {"kind": kind, "option": "half of both directions", **shape_of(*shape)},
        "threads": torch.get_num_threads(),
        "backend": layer.explain(x).backend,
        "peer_name": "recur without it",
        **race,
    }


# --- against torch ----------------------------------------------------------------------------------------------------


def ragged_and_projected() -> Iterator[dict[str, Any]]:
    """Time what torch does step by step: packed sequences, and the LSTM with a projection."""
    with threads(engine.num_threads()):
        for kind in LAYERS:
            for shape in SHAPES:
                if shape[1] > 1:
                    yield from _ragged(kind, shape)
        for shape in SHAPES:
            yield _projected(shape)


def pair(kind: str, units: int, **options: Any) -> tuple[Any, nn.Module]:
    """Return recur's layer and torch's with the same weights."""
    torch.manual_seed(0)
    theirs = LAYERS[kind][1](units, units, **options)
    ours = LAYERS[kind][0](units, units, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def _ragged(kind: str, shape: tuple[int, int, int]) -> Iterator[dict[str, Any]]:
    steps, batch, units = shape
    lengths = ragged(steps, batch).sort(descending=True).values
    x, upstream = data(*shape)
    ours, theirs = pair(kind, units)

    def padded(x: Tensor) -> tuple[Tensor, Any]:
        packed, state = theirs(pack_padded_sequence(x, lengths))
        return pad_packed_sequence(packed, total_length=steps)[0], state

    row = {
        "work": {"kind": kind, **shape_of(*shape), "share_of_steps": float(lengths.sum()) / (steps * batch)},
        "threads": torch.get_num_threads(),
        "peer_name": "torch",
    }
    where = f"T {steps}, B {batch}, H {units}"
    race = checked_race(
        side_of(ours, x, upstream, lengths=lengths),
        Side(padded, x.clone().requires_grad_(), dict(theirs.named_parameters()), upstream),
        budget=BUDGET,
    )
    backend = ours.explain(x, lengths=lengths).backend
    yield {"what": f"{cell_name(kind)} training, padded with lengths, {where}", **row, "backend": backend, **race}
    packed = pack_padded_sequence(x, lengths)

    def of(layer: nn.Module) -> Side:
        own = PackedSequence(packed.data.clone().requires_grad_(), packed.batch_sizes)
        return Side(layer, own, dict(layer.named_parameters()), upstream.flatten(0, 1)[: len(packed.data)])

    race = checked_race(of(ours), of(theirs), budget=BUDGET)
    backend = ours.explain(packed).backend
    yield {"what": f"{cell_name(kind)} training, packed, {where}", **row, "backend": backend, **race}


def _projected(shape: tuple[int, int, int]) -> dict[str, Any]:
    x, upstream = data(*shape, width=shape[2] // 2)
    ours, theirs = pair("lstm", shape[2], proj_size=shape[2] // 2)
    with warnings.catch_warnings():
        # That oneDNN has no projections.
        warnings.simplefilter("ignore")
        race = checked_race(side_of(ours, x, upstream), side_of(theirs, x, upstream), budget=BUDGET)
    return {
        "what": f"LSTM training, projection to half, T {shape[0]}, B {shape[1]}, H {shape[2]}",
        "work": {"kind": "lstm", "proj_size": shape[2] // 2, **shape_of(*shape)},
        "threads": torch.get_num_threads(),
        "backend": ours.explain(x).backend,
        "peer_name": "torch",
        **race,
    }


def norm_lstm() -> Iterator[dict[str, Any]]:
    """Time the layer-norm LSTM against a loop in plain torch, as it is and with its step compiled by torch."""
    with threads(engine.num_threads()):
        for shape in SHAPES:
            x, upstream = data(*shape)
            layer = made("lstm", shape[2], layer_norm=True)
            ours = side_of(layer, x, upstream)
            for is_compiled in (False, True):
                name = "torch, step compiled" if is_compiled else "torch, eager"
                row = {
                    "what": f"layer-norm LSTM training, T {shape[0]}, B {shape[1]}, H {shape[2]}",
                    "work": {"kind": "lstm", "option": "layer_norm", **shape_of(*shape)},
                    "threads": torch.get_num_threads(),
                    "backend": layer.explain(x).backend,
                    "peer_name": name,
                }
                if is_compiled and not (shutil.which("g++") or shutil.which("clang++")):
                    yield row | {"missing": "torch.compile needs a C++ compiler"}
                    continue
                peer = peers.norm_lstm_side(ours, is_compiled=is_compiled)
                yield row | checked_race(ours, peer, budget=BUDGET)
