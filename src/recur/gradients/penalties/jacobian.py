"""A penalty on steps of a recurrent layer that let a gradient vanish or explode on its way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from recur.nn.asked import Asked
from recur.nn.contract import in_evaluation
from recur.nn.form import GatedForm
from recur.nn.layer import RecurrentLayer
from recur.nn.sequences import Form, Lengths, Sequences, lengths_of, time_first
from recur.nn.twin import twin_of
from recur.ops._scan import mask_of

_OWNER = "jacobian_penalty"


def jacobian_penalty(
    layer: nn.Module,
    x: Sequences,
    hx: Any = None,
    *,
    states: Mapping[str, Tensor] | None = None,
    along: Mapping[str, Tensor] | None = None,
    lengths: Lengths | None = None,
    reset: Tensor | None = None,
    number: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return how far a layer's steps are from keeping the norm of a gradient, to be added to the loss with a factor.

    For a gradient v_t of the error with respect to the state after step t, the step passes v_t J_t on to the state
    before it, with J_t = ds_t / ds_{t-1} (s is the whole state, h and c of an LSTM together):

    $$\Omega = \frac{1}{N} \sum_t \left( \frac{\|v_t J_t\|}{\|v_t\|} - 1 \right)^2$$

    The states and v are constants: only the derivative by this layer's weights counts, as in the paper. So all steps
    are independent of each other and run as the rows of one. They run as in evaluation, without noise.

    Source: Pascanu, Mikolov & Bengio (2013), equations (9) and (10), with the mean over steps and rows for the sum.

    Args:
        layer: A layer of this library or of torch, in one direction, without dilation.
        x: Its input, in any form that it takes: (T, B, I), or (B, T, I) with the layer's batch_first, and so on. A
            constant.
        hx: State before the first step, of the whole stack as the layer takes it. Without it the sequences begin
            here, so that their first step has no state before it to keep, and does not count.
        states: Each part of the state after each step by name, (T, B, H) as `x`, such as
            `layer(x, return_all=True).steps[number].values`; without it they are computed, once more and without
            gradient.
        along: v by the names of the parts of the state, each (T, B, H) as `x`; where all of it is zero, a step does not
            count. Random directions when not given.
        lengths: True steps of each row, past which nothing counts.
        reset: (T, B) bool, as `x`: where a sequence begins, which passes nothing on and does not count.
        number: Which layer of a stack, from 0; `x` is then the input of that one.
        generator: Of the random directions.

    Returns:
        (), differentiable in the layer's weights; 0 where no step counts.

    Raises:
        TypeError: `layer` is no recurrent layer, or an argument is of the wrong kind or dtype.
        ValueError: The layer has two directions or a dilation, there is no such layer, a part of the state is missing,
            or a shape does not fit.

    Example:
        >>> layer = nn.LSTM(3, 4)
        >>> x = torch.randn(6, 2, 3)
        >>> penalty = jacobian_penalty(layer, x)
        >>> penalty.backward()
        >>> layer.weight_hh_l0.grad.shape
        torch.Size([16, 4])
    """
    own = _recurrent(layer, number)
    wanted = own._in_size(number)
    x_TBI, lengths, form = time_first(
        _OWNER, x, lengths, batch_first=own.batch_first, num_features=own._num_features, wanted=str(wanted)
    )
    num_steps, batch, num_features, *_ = x_TBI.shape
    if num_features != wanted:
        raise ValueError(
            f"{_OWNER}: x has {num_features} features, but layer {number} takes {wanted}. Give the input of that layer."
        )
    x_TBI = x_TBI.detach()
    lengths_B = None if lengths is None else lengths_of(_OWNER, lengths, num_steps, batch).to(x_TBI.device)
    reset_TB = None if reset is None else own._reset(reset, num_steps, batch, form).to(x_TBI.device)
    first = None if hx is None else own._given(hx, batch, form, own._state_form_for(x_TBI))[number]
    with in_evaluation(own):
        if states is None:
            after = _states(own, number, x_TBI, first, lengths_B, reset_TB, form)
        else:
            after = _parts("states", states, own, own._state_names, number, x_TBI, form)
        picked = _passing_on(x_TBI, lengths_B, reset_TB, is_begun=first is not None).flatten().nonzero()[:, 0]
        given = None
        if along is not None:
            free = tuple(name for name in own._state_names if name not in own._fixed_states)
            given = torch.cat([part.flatten(2) for part in _parts("along", along, own, free, number, x_TBI, form)], 2)
            given = given.flatten(0, 1)[picked]
            heads = torch.linalg.vector_norm(given, dim=1) > 0
            given, picked = given[heads], picked[heads]
        if not len(picked):
            return x_TBI.new_zeros(())
        before = []
        for place, part in enumerate(after):
            begin = torch.zeros_like(part[:1]) if first is None else first[place].detach()[None].to(part.dtype)
            before.append(torch.cat([begin, part[:-1]]).flatten(0, 1)[picked])
        return _penalty(own, number, x_TBI.flatten(0, 1)[picked], before, given, generator)


def _penalty(
    own: RecurrentLayer,
    number: int,
    x_NI: Tensor,
    before: list[Tensor],
    along: Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Return the mean over N steps, each of which is a row.

    Args:
        own: The layer.
        number: Which of its stack.
        x_NI: Their inputs.
        before: Each part of the state before them, (N, ...), detached.
        along: The directions, (N, H) for all parts that count together, or None for random ones.
        generator: Of those.
    """
    is_differentiable = torch.is_grad_enabled()
    counts = [name not in own._fixed_states for name in own._state_names]
    with torch.enable_grad(), _by_reference(own):
        leaves = [part.requires_grad_(count) for part, count in zip(before, counts, strict=True)]
        asked = Asked(number, tuple(leaves), None, None, None, reverse=False, records=False)
        result = own._run_one(x_NI[None], asked)
        old = [part for part, count in zip(leaves, counts, strict=True) if count]
        new = torch.cat([part.flatten(1) for part, count in zip(result.state, counts, strict=True) if count], 1)
        if along is None:
            where = new.device if generator is None else generator.device
            along = torch.randn(new.shape, dtype=new.dtype, device=where, generator=generator).to(new.device)
        found = torch.autograd.grad(new, old, along.to(new.dtype), create_graph=is_differentiable, allow_unused=True)
        passed = [torch.zeros_like(part) if each is None else each for part, each in zip(old, found, strict=True)]
        norms = torch.linalg.vector_norm(torch.cat([each.flatten(1) for each in passed], 1), dim=1)
        penalty: Tensor = (norms / torch.linalg.vector_norm(along, dim=1) - 1).square().mean()
    return penalty if is_differentiable else penalty.detach()


def _recurrent(layer: nn.Module, number: int) -> RecurrentLayer:
    """Return the layer as one of this library's, checked."""
    own = twin_of(layer)
    if own is None:
        raise TypeError(
            f"{_OWNER}: layer must be a recurrent layer of recur.nn or torch.nn, but is {type(layer).__name__}."
        )
    if own.bidirectional:
        raise ValueError(f"{_OWNER}: {own._owner} has two directions. Give a layer of one.")
    if number not in range(own.num_layers):
        raise ValueError(f"{_OWNER}: there is no layer {number}; num_layers is {own.num_layers}.")
    if own.dilations[number] > 1:
        raise ValueError(f"{_OWNER}: {own._owner} has a dilation of {own.dilations[number]}. Give a layer without.")
    return own


def _states(
    own: RecurrentLayer,
    number: int,
    x_TBI: Tensor,
    first: tuple[Tensor, ...] | None,
    lengths: Tensor | None,
    reset: Tensor | None,
    form: Form,
) -> list[Tensor]:
    """Run the layer without gradient, and return each part of the state after each step, (T, B, ...)."""
    anew = None
    if first is None or reset is not None:
        if own.initial_state == "context":
            raise ValueError(
                f"{_OWNER}: the initial state of {own._owner} comes from a context. Give hx, and no reset, or states."
            )
        anew = own._own_states(x_TBI, None, form, own._state_form_for(x_TBI))[number]
    begin = anew if first is None else first
    assert begin is not None
    with torch.no_grad():
        record = own._run_one(x_TBI, Asked(number, begin, lengths, reset, anew, reverse=False, records=True)).record
    return [record[name] for name in own._state_names]


def _parts(
    what: str,
    given: Mapping[str, Tensor],
    own: RecurrentLayer,
    names: tuple[str, ...],
    number: int,
    x_TBI: Tensor,
    form: Form,
) -> list[Tensor]:
    """Return parts of the state of each step that were given by name, (T, B, ...), checked and without gradient."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{_OWNER}: {what} must be a mapping from {', '.join(names)}, but is {type(given).__name__}.")
    shapes = dict(zip(own._state_names, own._state_form_for(x_TBI).shapes[number], strict=True))
    found = []
    for name in names:
        if name not in given:
            raise ValueError(f"{_OWNER}: {what} has no {name!r}, only {', '.join(given)}. Give {', '.join(names)}.")
        value = given[name]
        if not isinstance(value, Tensor):
            raise TypeError(f"{_OWNER}: {what}[{name!r}] must be a torch.Tensor, but is {type(value).__name__}.")
        num_steps, batch = x_TBI.shape[:2]
        wanted: tuple[int, ...]
        letters, wanted = "(T, B, H)", (num_steps, batch, *shapes[name])
        if not form.is_batched:
            letters, wanted = "(T, H)", (num_steps, *shapes[name])
        elif form.batch_first:
            letters, wanted = "(B, T, H)", (batch, num_steps, *shapes[name])
        if value.shape != wanted:
            raise ValueError(
                f"{_OWNER}: {what}[{name!r}] must have shape {letters} = {wanted}, but has {tuple(value.shape)}."
            )
        steps = value.detach()
        if not form.is_batched:
            steps = steps[:, None]
        elif form.batch_first:
            steps = steps.transpose(0, 1)
        found.append(steps)
    return found


def _passing_on(x_TBI: Tensor, lengths: Tensor | None, reset: Tensor | None, *, is_begun: bool) -> Tensor:
    """Return which steps have a state before them that came from a step, (T, B) bool."""
    num_steps, batch = x_TBI.shape[:2]
    counted = torch.ones(num_steps, batch, dtype=torch.bool, device=x_TBI.device)
    if not is_begun:
        counted[0] = False
    if lengths is not None:
        counted &= mask_of(lengths, num_steps)
    return counted if reset is None else counted & ~reset


@contextmanager
def _by_reference(layer: nn.Module) -> Iterator[None]:
    """Compute in plain torch for a while: cuDNN has no second derivatives, and the kernels would run a step twice."""
    backends = [(module, module.backend) for module in layer.modules() if isinstance(module, GatedForm)]
    for module, _ in backends:
        module.backend = "reference"
    try:
        yield
    finally:
        for module, backend in backends:
            module.backend = backend
