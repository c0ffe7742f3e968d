"""Kinds, options, shapes, lengths and resets drawn together; every combination is held to every law."""

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FLAGS = st.booleans()


def maybe(value):
    return st.sampled_from([None, value])


@st.composite
def stack_options(draw, kind):
    """What every layer takes, and the sizes of its layers."""
    options = {"num_layers": draw(st.integers(1, 3)), "bidirectional": draw(FLAGS)}
    if options["bidirectional"]:
        options["merge"] = draw(st.sampled_from(["concat", "sum", "mean", "product", None]))
    if options["num_layers"] > 1:
        skips = [None, "dense"] if options.get("merge", "concat") is None else [None, "dense", "residual", "highway"]
        options["skip"] = draw(st.sampled_from(skips))
        if draw(FLAGS):
            options |= {"dropout": 0.5, "locked_dropout": draw(FLAGS)}
    hidden = draw(st.integers(3, 6))
    if kind.draws and options.get("skip") in (None, "dense") and draw(FLAGS):
        hidden = draw(st.lists(st.integers(3, 6), min_size=options["num_layers"], max_size=options["num_layers"]))
    dilations = st.lists(st.integers(1, 3), min_size=options["num_layers"], max_size=options["num_layers"])
    options["dilation"] = draw(st.one_of(st.just(1), st.integers(1, 4), dilations))
    options["initial_state"] = draw(st.sampled_from(["zeros", "learned", "context"]))
    if options["initial_state"] == "context":
        options["context_size"] = 2
    options["zoneout"] = draw(st.sampled_from([0.0, 0.3]))
    options["gradient_clip"] = draw(maybe(0.05))
    options["batch_first"], options["state_batch_first"] = draw(FLAGS), draw(FLAGS)
    return {n: v for n, v in options.items() if n not in kind.cannot}, hidden


@st.composite
def gated_options(draw, kind):
    """What layers that run an op take; noise is silent in evaluation, where the laws are."""
    given = kind.options
    options = {"bias": draw(FLAGS), "layer_norm": draw(FLAGS), "output_clip": draw(maybe(0.5))}
    options |= {"recurrent_dropout": 0.3, "weight_dropout": draw(st.sampled_from([0.0, 0.3]))}
    options["backend"] = draw(st.sampled_from(["auto", "reference"]))
    if kind.name not in ("RNN", "IndRNN"):
        options["recurrent_dropout_kind"] = draw(st.sampled_from(["state", "candidate"]))
    if kind.name != "IndRNN":
        options["init"] = draw(st.sampled_from(["torch", "orthogonal", "identity"]))
    if kind.name in ("RNN", "GRU", "LSTM", "LiGRU") and given.get("reset_after", True):
        options["proj_size"] = draw(st.sampled_from([0, 0, 2, 5]))
    if kind.name in ("RNN", "IndRNN", "LiGRU"):
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu", torch.nn.functional.softsign]))
    if kind.draws == "lstm":
        options |= {"peephole": draw(FLAGS), "coupled": draw(FLAGS), "cell_clip": draw(maybe(0.4))}
    return {name: value for name, value in options.items() if name not in given}


def hold(data, kinds, laws, make_case, compare):
    kind = kinds[data.draw(st.sampled_from(sorted(kinds)))]
    options, hidden = data.draw(stack_options(kind))
    if kind.draws:
        options |= data.draw(gated_options(kind))
    elif kind.name != "Recurrent":
        options |= data.draw(st.sampled_from([{}, {"recurrent_dropout": 0.3, "weight_dropout": 0.3}]))
    num_steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.none() | st.lists(st.integers(0, num_steps), min_size=batch, max_size=batch))
    torch.manual_seed(data.draw(st.integers(0, 2**16)))
    if (kind.options | options).get("layer_norm"):
        # A normalised product is divided by a spread of at least sqrt(1e-5), and so multiplies a rounding by up to 316;
        # a state, its gates and its gradient have been through three of them.
        compare = functools.partial(compare, terms=316**3)
    case = make_case(
        kind,
        (kind.input_size or data.draw(st.integers(1, 4)), hidden),
        options,
        compare,
        num_steps=num_steps,
        batch=batch,
        lengths=lengths,
        resets=data.draw(st.sampled_from([0.0, 0.2, 0.6])),
        is_given=data.draw(FLAGS),
    )
    for law in laws.values():
        law(case)


COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


@settings(max_examples=50, **COMMON)
@given(data=st.data())
def test_any_combination_keeps_every_law(data, all_kinds, laws, make_case, compare):
    hold(data, all_kinds, laws, make_case, compare)


@pytest.mark.slow
@settings(max_examples=600, **COMMON)
@given(data=st.data())
def test_hundreds_of_combinations_keep_every_law(data, all_kinds, laws, make_case, compare):
    hold(data, all_kinds, laws, make_case, compare)
