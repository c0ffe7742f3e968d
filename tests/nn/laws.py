"""The contract of a recurrent layer as laws, each of which holds for every layer, option, shape, length and reset.

A law raises AssertionError where it is broken, and returns False where it says nothing of the case. Values and all
gradients are compared, in float64. Everything is time first in here; `Case.run` turns it as the layer wants it.

Loaded by conftest.py, which hands it to the tests.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch

# Under the name by which conftest.py loaded it.
from recur_tests_nn_cases import Case, Named, compare_all, gradients, named, several
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._pytree import tree_map

from recur.ops._cpu import Cpu
from recur.ops._library import Library
from recur.ops._scan import Reference


def padding(case: Case) -> bool:
    """Past a row's end output and gradient are zero, and nothing there is seen."""
    if case.lengths is None:
        return False
    over = ~case.alive
    want = named(*case.run())
    assert all(bool((part[over] == 0).all()) for name, part in want.items() if name.startswith("output"))
    wanted = gradients(want, case.leaves())
    assert bool((wanted["dx"][over] == 0).all()), "a gradient comes back from past the end"
    spoiled = case.x.detach().clone()
    spoiled[over] = torch.nan
    timed = {n: v.clone() for n, v in case.timed.items()}
    for value in timed.values():
        if value.is_floating_point():
            value[over] = torch.nan
    reset = None if case.reset is None else case.reset | over
    other = replace(case, x=spoiled.requires_grad_(), timed=timed, reset=reset)
    got = named(*other.run())
    case.compare(got, want)
    case.compare(gradients(got, other.leaves()), wanted)
    return True


def documents(case: Case) -> bool:
    """A batch is its rows one by one, and a row with resets is its documents one by one, in both directions."""
    own = case.begins()
    given = own if case.hx is None else case.hx
    outputs, states = [], []
    for number, end in enumerate(case.ends):
        row = case.row(number, lengths=None, hx=None, context=None)
        cut = [] if row.reset is None else [t for t in range(1, end) if bool(row.reset[t, 0])]
        is_new = row.reset is not None and bool(row.reset[0, 0])
        bounds = list(pairwise([0, *cut, end])) if end else []
        mine, fresh = case.rows(given, number), case.rows(own, number)
        parts, finals = [], []
        for begin, stop in bounds:
            forward = mine if begin == 0 and not is_new else fresh
            state = case.mixed(forward, mine if stop == end else fresh)
            output, final = row.at(begin, stop, reset=None, hx=state).run()
            parts.append(output)
            finals.append(final)
        states.append(case.mixed(finals[-1], finals[0]) if finals else mine)
        outputs.append(parts)
    want_outputs, want_state = case.run()
    whole = []
    for k, like in enumerate(want_outputs):
        rows = []
        for parts, end in zip(outputs, case.ends, strict=True):
            rest = like.new_zeros(case.num_steps - end, 1, *like.shape[2:])
            rows.append(torch.cat([*(part[k] for part in parts), rest]))
        whole.append(torch.cat(rows, 1))
    compare_all(case, named(want_outputs, want_state), named(tuple(whole), case.joined(states)))
    return True


def halves(case: Case) -> bool:
    """Two parts with the state carried over are the whole, and so is one step after another."""
    if case.directions == 2:
        return False
    want = named(*case.run())
    steps = case.num_steps
    for bounds in {tuple(range(steps + 1)), (0, steps // 2, steps), (0, 1, steps)}:
        outputs, state = [], case.hx
        for begin, end in pairwise(bounds):
            if begin == end:
                continue
            (output,), state = case.at(begin, end, hx=state).run()
            outputs.append(output)
        compare_all(case, named((torch.cat(outputs),), state), want)
    return True


def mirror(case: Case) -> bool:
    """The directions change places where their weights do and the rows are turned around."""
    kept = case.layer.merge in ("sum", "mean", "product") or case.layer.num_layers == 1
    if case.directions == 1 or not kept or case.context is not None or case.timed:
        return False
    reset = None if case.reset is None else case.reset & case.alive
    if reset is not None:
        # One before the first step would be one behind the last.
        reset[0] = False
    case = replace(case, reset=reset)
    want_outputs, want_state = case.run()
    layer = case.kind.make(*case.sizes, **case.options).eval()
    layer.load_state_dict(_exchanged(case.layer.state_dict(), case.layer.num_layers))
    turned = None
    if reset is not None:
        turned = torch.zeros_like(reset)
        for row, end in enumerate(case.ends):
            for t in range(1, end):
                turned[end - t, row] = reset[t, row]
    hx = None if case.hx is None else _swapped(case, case.hx)
    outputs, state = replace(case, layer=layer, x=_turned(case, case.x), reset=turned, hx=hx).run()
    outputs = tuple(_turned(case, part) for part in outputs)
    if len(outputs) == 2:
        outputs = (outputs[1], outputs[0])
    elif case.layer.merge == "concat":
        one, other = outputs[0].chunk(2, 2)
        outputs = (torch.cat([other, one], 2),)
    case.compare(named(outputs, _swapped(case, state)), named(want_outputs, want_state))
    return True


def _turned(case: Case, value: Tensor) -> Tensor:
    columns = [
        torch.cat([value[:end, row].flip(0), value[end:, row]])
        for row, end in zip(range(case.batch), case.ends, strict=True)
    ]
    return torch.stack(columns, 1)


def _swapped(case: Case, state: Any) -> Any:
    columns = case.columns(state)
    return case.assembled([columns[k ^ 1] for k in range(len(columns))], state)


def _exchanged(weights: Named, num_layers: int) -> Named:
    """The weights of a bidirectional layer with the directions exchanged."""
    found = {}
    for name, value in weights.items():
        head, dot, rest = name.partition(".")
        number, _, last = rest.partition(".")
        if head == "cells" and dot:
            found[f"cells.{int(number) ^ 1}.{last}"] = value
        elif name.endswith("_0"):
            found[name] = value.unflatten(0, (num_layers, 2)).flip(1).flatten(0, 1)
        elif name.endswith("_reverse"):
            found[name.removesuffix("_reverse")] = value
        elif f"{name}_reverse" in weights:
            found[f"{name}_reverse"] = value
        else:
            found[name] = value
    return found


def forms(case: Case) -> bool:
    """Packed, ragged, unbatched, batch first and states batch first are other ways to say the same."""
    outputs, state = case.run()
    want = named(outputs, state)
    for changes in (
        {"batch_first": not case.layer.batch_first},
        {"state_batch_first": not case.layer.state_batch_first},
    ):
        case.compare(named(*case.twin(**changes).run()), want)
    # One row, without a batch.
    if case.ends[0]:
        row = case.row(0)
        keywords: dict[str, Any] = {name: value[:, 0] for name, value in row.timed.items()}
        if row.reset is not None:
            keywords["reset"] = row.reset[:, 0]
        if row.context is not None:
            keywords["context"] = row.context[0]
        if row.lengths is not None:
            keywords["lengths"] = row.lengths
        hx = None if row.hx is None else tree_map(lambda leaf: leaf.squeeze(case.axis(leaf)), row.hx)
        found, final = case.layer(row.x[:, 0], hx, **keywords)
        parts = several(found)
        final = tree_map(lambda leaf, like: leaf.unsqueeze(case.axis(like)), final, case.rows(state, 0))
        got = named(tuple(part[:, None] for part in parts), final)
        case.compare(got, named(tuple(part[:, :1] for part in outputs), case.rows(state, 0)))
    if case.timed or case.lengths is None or max(case.ends) == 0:
        return True
    case = case.at(0, max(case.ends))
    outputs = tuple(part[: case.num_steps] for part in outputs)
    keywords = {} if case.context is None else {"context": case.context}
    if case.reset is not None:
        keywords["reset"] = case.reset.T if case.layer.batch_first else case.reset
    hx = None if case.hx is None else case.turned(case.hx)
    ragged = [case.x[:end, row] for row, end in enumerate(case.ends)]
    found, final = case.layer(ragged, hx, **keywords)
    for part, like in zip(several(found), outputs, strict=True):
        assert isinstance(part, list)
        for row, end in enumerate(case.ends):
            case.compare({"row": part[row]}, {"row": like[:end, row]})
    case.compare(named((), case.turned(final)), named((), state))
    if min(case.ends) == 0:
        return True
    packed = pack_padded_sequence(case.x, torch.tensor(case.ends), enforce_sorted=False)
    found, final = case.layer(packed, hx, **keywords)
    parts = several(found)
    case.compare(
        named(tuple(pad_packed_sequence(part)[0] for part in parts), case.turned(final)), named(outputs, state)
    )
    return True


def records(case: Case) -> bool:
    """With return_all every state and gate comes out: what stepping gives, zero past the end, with its gradient."""
    outputs, state = case.run()
    everything = case.call(return_all=True)
    case.compare(named(case.outputs(everything.output), case.turned(everything.state)), named(outputs, state))
    layer, directions = case.layer, case.directions
    assert [(s.layer, s.direction) for s in everything.steps] == [
        (k // directions, "backward" if k % directions else "forward") for k in range(layer.num_layers * directions)
    ]
    steps = [{n: case.outputs(v)[0] for n, v in s.values.items()} for s in everything.steps]
    names = layer._state_names
    for values in steps:
        assert list(values)[: len(names)] == list(names)
        assert all(bool((v[~case.alive] == 0).all()) for v in values.values())
        assert all(v.requires_grad for n, v in values.items() if n not in layer._fixed_states)
    columns = case.columns(state)
    for k, values in enumerate(steps):
        newest = {}
        for row, end in enumerate(case.ends):
            for name, part in zip(names, columns[k], strict=True):
                if end and layer.dilations[k // directions] == 1:
                    last = values[name][0 if k % directions else end - 1, row]
                    newest[f"{name}{row}"] = (last, part[row])
        case.compare({n: v[0] for n, v in newest.items()}, {n: v[1] for n, v in newest.items()})
    # What the first t steps end with is what step t says; with two directions in the first layer only.
    known = range(layer.num_layers) if directions == 1 else range(1)
    for t in range(case.num_steps):
        _, until = case.at(0, t + 1).run()
        for number in known:
            for name, part in zip(names, case.columns(until)[number * directions], strict=True):
                newest_part = part if layer.dilations[number] == 1 else part[-1]
                rows = case.alive[t]
                case.compare({name: steps[number * directions][name][t][rows]}, {name: newest_part[rows]})
    has_own_output = case.kind.name == "Recurrent"
    if layer.skip in (None, "dense") and layer.merge in ("concat", None) and not has_own_output and not case.timed:
        seen = tuple(values[names[0]] for values in steps[-directions:])
        merged = seen if layer.merge is None else (torch.cat(seen, 2),)
        if len(merged) == len(outputs) and merged[0].shape == outputs[0].shape:
            compare_all(case, named(merged, ()), named(outputs, ()))
    return True


def stack(case: Case) -> bool:
    """A stack is its layers one by one, with what is between them: skips, merges, turned rows."""
    layer, directions, options = case.layer, case.directions, dict(case.options)
    if case.timed:
        return False
    own = case.begins()
    columns = case.columns(own if case.hx is None else case.hx)
    for name in ("num_layers", "bidirectional", "skip", "merge", "initial_state", "context_size", "dilation"):
        options.pop(name, None)
    for name in ("batch_first", "state_batch_first", "dropout", "locked_dropout"):
        options.pop(name, None)
    sizes, x, finals = layer.hidden_sizes, case.x, []
    below = [x]
    outputs: list[Tensor] = []
    for number in range(layer.num_layers):
        outputs = []
        for direction in range(directions):
            k = number * directions + direction
            one = case.kind.make(x.shape[2], sizes[number], dilation=layer.dilations[number], **options).eval()
            one.load_state_dict(_weights_of(layer.state_dict(), k, number, direction))
            seen = _turned(case, x) if direction else x
            single = replace(case, layer=one, reset=None, context=None, timed={}, x=seen)
            hx = single.assembled([columns[k]], one(seen)[1])
            (y,), final = replace(single, hx=hx).run()
            outputs.append(_turned(case, y) if direction else y)
            finals.append(single.columns(final)[0])
        merged = outputs[0] if directions == 1 else torch.cat(outputs, 2)
        if layer.merge in ("sum", "mean"):
            merged = (outputs[0] + outputs[1]) / (2 if layer.merge == "mean" else 1)
        elif layer.merge == "product":
            merged = outputs[0] * outputs[1]
        if layer.skip == "residual" and number:
            merged = merged + x
        if layer.skip == "highway" and number:
            weight, bias = (getattr(layer, f"{name}_skip_l{number}") for name in ("weight", "bias"))
            gate = torch.sigmoid(x.movedim(2, -1) @ weight.T + bias).movedim(-1, 2)
            merged = gate * merged + (1 - gate) * x
        below.append(merged)
        x = torch.cat(below, 2) if layer.skip == "dense" and number < layer.num_layers - 1 else merged
    want = tuple(outputs) if layer.merge is None and directions == 2 else (x,)
    got_outputs, state = replace(case, reset=None).run()
    case.compare(named(got_outputs, state), named(want, case.assembled(finals, state)))
    return True


def _weights_of(weights: Named, k: int, number: int, direction: int) -> Named:
    """The weights of one layer in one direction, as of a single layer."""
    suffix = f"_l{number}{'_reverse' if direction else ''}"
    found = {n.removesuffix(suffix) + "_l0": v for n, v in weights.items() if n.endswith(suffix)}
    found |= {f"cells.0.{n.removeprefix(f'cells.{k}.')}": v for n, v in weights.items() if n.startswith(f"cells.{k}.")}
    return {n: v for n, v in found.items() if "_skip_" not in n and not n.removesuffix("_l0").endswith("_0")}


def dilated(case: Case) -> bool:
    """With a dilation of d, each step takes the state from d steps back."""
    layer = case.layer
    if layer.num_layers > 1 or case.directions == 2 or layer.dilations[0] == 1 or case.timed:
        return False
    options = {n: v for n, v in case.options.items() if n not in ("dilation", "initial_state", "context_size")}
    plain = case.kind.make(*case.sizes, **options).eval()
    plain.load_state_dict({n: v for n, v in layer.state_dict().items() if n in plain.state_dict()})
    like = replace(case, layer=plain, hx=None, context=None, lengths=None, reset=None)
    shape = like.run()[1]
    given = case.columns(case.begins() if case.hx is None else case.hx)[0]
    waiting = [like.assembled([[part[n] for part in given]], shape) for n in range(layer.dilations[0])]
    outputs = []
    for t in range(case.num_steps):
        (output,), new = like.at(t, t + 1, hx=waiting.pop(0)).run()
        outputs.append(output)
        waiting.append(new)
    (got,), state = replace(case, lengths=None, reset=None).run()
    parts = zip(*[like.columns(each)[0] for each in waiting], strict=True)
    want = case.assembled([[torch.stack(part) for part in parts]], state)
    got_named, want_named = named((got,), state), named((torch.cat(outputs),), want)
    case.compare(got_named, want_named)
    # Each layer has weights of its own.
    weights = dict(plain.named_parameters())
    inputs = {n: v for n, v in case.leaves().items() if n == "x" or n.startswith("hx")}
    ours = {n: v for n, v in layer.named_parameters() if n in weights}
    case.compare(gradients(got_named, inputs | ours), gradients(want_named, inputs | weights))
    return True


def kernels(case: Case) -> bool:
    """A gated layer runs on the kernels of the CPU, whatever its options, also in training and in float32."""
    layer = case.layer
    if not case.kind.draws or layer.backend != "auto":
        return False
    wanted = Cpu if isinstance(getattr(layer, "nonlinearity", "tanh"), str) else Reference
    single = copy.deepcopy(layer).float().train()
    to = lambda state: tree_map(lambda leaf: None if leaf is None else leaf.float(), state)  # noqa: E731
    for one in (case, replace(case, layer=single, x=case.x.float(), hx=to(case.hx), context=to(case.context))):
        one.layer.backend = "auto"
        inputs = one.x.transpose(0, 1) if layer.batch_first else one.x
        reset = one.reset.T if layer.batch_first and one.reset is not None else one.reset
        assert one.layer.explain(inputs, lengths=one.lengths, reset=reset).backend == wanted.name
        for more in ({}, {"return_all": True}):
            with runs() as ran:
                one.call(**more)
            assert set(ran) == {wanted}, f"{ran} ran"
    return True


@contextmanager
def runs() -> Iterator[list[type]]:
    """Give a list to which each back end is added that runs."""
    ran: list[type] = []
    with ExitStack() as stack:
        for kind, name in ((Cpu, "run"), (Cpu, "run_both"), (Cpu, "run_stack"), (Library, "run"), (Reference, "run")):
            honest = getattr(kind, name)

            def run(*arguments: Any, kind: type = kind, honest: Any = honest) -> Any:
                ran.append(kind)
                return honest(*arguments)

            stack.enter_context(patch.object(kind, name, run))
        yield ran


LAWS: dict[str, Callable[[Case], bool]] = {
    law.__name__: law for law in (padding, documents, halves, mirror, forms, records, stack, dilated, kernels)
}
