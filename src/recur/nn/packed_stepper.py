"""A gated layer on live streams at the speed of its arithmetic: packed weights, one call a step, nothing allocated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recur.errors import BackendError
from recur.nn import options as checks
from recur.nn.gated import GatedLayer
from recur.nn.sequences import Form
from recur.ops._call import Call, State
from recur.ops._cpu import Cpu, stepping


class PackedStepper:
    """Takes a gated layer step by step on the CPU, in inference, between tensors that stay where they are.

    `Stepper` takes any network, checks what it is given and returns new tensors. This one is for when microseconds
    count: write a step into `input`, call `step`, read `output`.

    Args:
        layer: An RNN, GRU, LSTM, IndRNN, MGU or LiGRU in one direction, without dilation and skips, in evaluation, in
            float32, float64 or bfloat16 on the CPU. In bfloat16 the weights take half the memory, which a wide layer's
            step mostly waits for, where the processor has instructions for it (`avx512_bf16`, `avx512_amx`); all else
            is float32.
        batch_size: Streams side by side, B.

    Attributes:
        input: The next step, (B, I); to be written into.
        output: The last step's output, (B, H), or (B, P) with a projection; overwritten by the next one.
        states: Of each layer its state as a tuple, (h,) or (h, c), each (B, H), h (B, P) with a projection; before the
            first step the initial one. To be read, and written into with `copy_` or `zero_`.

    Raises:
        TypeError: `layer` is no gated layer.
        ValueError: It is in training, or reads in two directions, or has dilation, skips or an initial state that is
            computed from a context.
        BackendError: The compiled kernels cannot run it; the message says why.

    Example:
        >>> from recur.nn import LSTM
        >>> layer = LSTM(8, 16, num_layers=2).eval()
        >>> x = torch.randn(5, 1, 8)
        >>> stepper = PackedStepper(layer)
        >>> for x_t in x:
        ...     _ = stepper.input.copy_(x_t)
        ...     stepper.step()
        >>> torch.allclose(stepper.output, layer(x)[0][-1], atol=1e-6)
        True
    """

    def __init__(self, layer: GatedLayer, batch_size: int = 1) -> None:
        if not isinstance(layer, GatedLayer):
            raise TypeError(f"PackedStepper: layer must be a gated layer of recur.nn, but is {type(layer).__name__}.")
        checks.check_size("PackedStepper", "batch_size", batch_size, 1)
        _check(layer)
        self._layer = layer
        weight = layer._sample_weight()
        self._is_narrow = weight.dtype is torch.bfloat16
        dtype = torch.float32 if self._is_narrow else weight.dtype
        with torch.no_grad():
            form = Form(batch_first=False, is_batched=True)
            x_TBI = weight.new_zeros(1, batch_size, layer.input_size)
            first = layer._own_states(x_TBI, None, form, layer._state_form_for(x_TBI))
            self._input = x_TBI[0].to(dtype)
            self._states = tuple(
                [
                    tuple([part.detach().to(dtype, copy=True, memory_format=torch.contiguous_format) for part in parts])
                    for parts in first
                ]
            )
        outputs = [torch.zeros_like(state[0]) for state in self._states]
        self._output = outputs[-1]
        self._between = [self._input, *outputs]
        self.refresh()

    # What the kernels read and write stays the same memory: `stepper.input = x` is an error, not a step of old numbers.

    @property
    def input(self) -> Tensor:
        """The next step, (B, I)."""
        return self._input

    @property
    def output(self) -> Tensor:
        """The last step's output, (B, H or P)."""
        return self._output

    @property
    def states(self) -> tuple[State, ...]:
        """Of each layer its state."""
        return self._states

    def refresh(self) -> None:
        """Pack the weights again.

        `step` does it by itself when torch counts a new version of a weight: after operations in place, optimizers and
        `load_state_dict`. It cannot see writes to `.data`, through NumPy, by other processes, or by optimizers with
        `fused=True`, nor that the layer has other parameters, as after `load_state_dict(assign=True)`, or what a
        parametrized weight is computed from; call this after those.
        """
        layer = self._layer
        calls, weights = [], []
        with torch.no_grad():
            for number, state in enumerate(self._states):
                x_TBI = self._between[number][None]
                noise = layer._noise(x_TBI, state, is_drawn=False)
                weights.append(layer._weights(number))
                call = Call(layer._owner, x_TBI, state, weights[-1], options=layer._form_now(), noise=noise)
                calls.append(call.to(x_TBI.dtype)._replace(bfloat16=self._is_narrow))
            backend = next(each for each in layer._cell.backends if isinstance(each, Cpu))
            for call in calls:
                reason = backend.accepts(call)
                if reason is not None:
                    raise BackendError(f"PackedStepper: the compiled kernels cannot run {layer._owner}: {reason}.")
            self._native, self._kept = stepping(backend, calls, self._between[1:])
        self._weights: list[Any] = [weight for each in weights for weight in each.given() if not weight.is_inference()]
        self._versions = [weight._version for weight in self._weights]
        self._take = self._native.step

    def step(self) -> None:
        """Read `input`, write `output`, and bring `states` one step on."""
        if self._versions != [weight._version for weight in self._weights]:
            self.refresh()
        self._take()

    def __repr__(self) -> str:
        """Return the layer and the number of rows."""
        return f"PackedStepper({self._layer!r}, batch_size={len(self._input)})"


def _check(layer: GatedLayer) -> None:
    name = type(layer).__name__
    if layer.training:
        raise ValueError(f"PackedStepper: {name} is in training. Call eval() on it first.")
    if layer.bidirectional:
        raise ValueError(
            f"PackedStepper: {name} reads in both directions, and the backward one begins at the end, which a stream "
            "does not have. Make it with bidirectional=False."
        )
    if any(dilation != 1 for dilation in layer.dilations) or layer.skip is not None:
        raise ValueError(f"PackedStepper: {name} has dilation or skips; take a Stepper.")
    if layer.initial_state == "context":
        raise ValueError(f"PackedStepper: {name} computes its initial state from a context; take a Stepper.")
