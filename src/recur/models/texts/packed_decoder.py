"""Single steps of a decoder's recurrent layers, with weights that are packed once for all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recur.nn import GatedLayer, PackedStepper

_SPARE = 1.5
"""How many more rows than are asked for may be computed, rather than to pack the weights anew."""

_MOST_SIZES = 12
"""Numbers of rows that packed weights are kept for: enough for batches of 64 whose rows end one by one."""


class PackedDecoder:
    """Steps of a recurrent layer in evaluation, which packs its weights, and looks whether it may, but once.

    Args:
        layer: Whose weights stay as they are as long as this is used.

    Example:
        >>> from recur.nn import LSTM
        >>> layer = LSTM(8, 16).eval()
        >>> state = (torch.zeros(1, 3, 16), torch.zeros(1, 3, 16))
        >>> output, state = PackedDecoder(layer)(torch.randn(1, 3, 8), state)
        >>> output.shape, state[0].shape
        (torch.Size([1, 3, 16]), torch.Size([1, 3, 16]))
    """

    def __init__(self, layer: GatedLayer) -> None:
        self._layer = layer
        self._steppers: dict[int, PackedStepper] = {}
        self._newest: tuple[int, Any] | None = None

    @staticmethod
    def takes(layer: GatedLayer) -> bool:
        """Return whether a layer can be taken so, which is where the engine runs its single steps."""
        if layer.training or layer.bidirectional or layer.skip is not None or torch.is_autocast_enabled("cpu"):
            return False
        weight = next(layer.parameters())
        return layer.explain(weight.detach().new_zeros(1, 1, layer.input_size)).backend == "cpu"

    def __call__(self, x_1NI: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the output of a step, (1, N, H), and the state after it.

        Args:
            x_1NI: (1, N, I).
            state: That before, as the layer has it, of N rows.
        """
        if torch.is_grad_enabled() or x_1NI.dtype is not next(self._layer.parameters()).dtype:
            by_layer: tuple[Tensor, Any] = self._layer(x_1NI, state)
            return by_layer
        num_rows = x_1NI.shape[1]
        stepper = self._stepper(num_rows)
        size = len(stepper.input)
        stepper.input[:num_rows].copy_(x_1NI[0])
        # Where nothing was chosen since, the state lies there already.
        if self._newest is None or self._newest[0] != size or self._newest[1] is not state:
            parts = state if isinstance(state, tuple) else (state,)
            for part, own in zip(parts, zip(*stepper.states, strict=True), strict=True):
                for of_layer, mine in zip(part.unbind(0), own, strict=True):
                    mine[:num_rows].copy_(of_layer)
                    # Rows that nobody asks for; what they hold must not grow.
                    mine[num_rows:].zero_()
        stepper.step()
        states = zip(*stepper.states, strict=True)
        found = tuple([torch.stack([one[:num_rows] for one in own]).to(x_1NI.dtype) for own in states])
        after = found if isinstance(state, tuple) else found[0]
        # Of bfloat16 what lies there is finer, and whether it were used would depend on what others in the batch say.
        self._newest = (size, after) if stepper.input.dtype is x_1NI.dtype else None
        return found[0][-1:], after

    def _stepper(self, num_rows: int) -> PackedStepper:
        sizes = [size for size in self._steppers if num_rows <= size <= _SPARE * num_rows]
        if sizes:
            stepper = self._steppers.pop(min(sizes))
        else:
            if len(self._steppers) == _MOST_SIZES:
                del self._steppers[next(iter(self._steppers))]
            self._newest = None
            stepper = PackedStepper(self._layer, num_rows)
        # The one that was not used for longest stands first.
        self._steppers[len(stepper.input)] = stepper
        return stepper
