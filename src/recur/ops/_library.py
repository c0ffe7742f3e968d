"""The back end that uses torch's own recurrent functions (oneDNN and native code on a CPU, cuDNN on CUDA)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur.ops._call import SILENCE, Call, Options, Result, State, Weights
from recur.ops._checks import has_values
from recur.ops._rolled import is_rolled
from recur.ops._scan import mask_of

Sequential: TypeAlias = Callable[[Tensor, State, list[Tensor], bool], Result]
"""Inputs (T, B, I), state, weights that are there, whether there are biases: to outputs and final state."""

Step: TypeAlias = Callable[[Tensor, State, Weights], State]

Freezer: TypeAlias = Callable[[Tensor, Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]
"""Inputs, which steps are past the end (T, B, 1) and weights: to inputs and weights under which, past the end, the
state that is not an output stays as it was, and none grows."""


class Library:
    """Torch's own function for whole sequences, and its cell for single steps.

    Torch's functions know neither `lengths` (but for packed sequences, which take 5 to 100 times as long on a CPU) nor
    `reset` nor a reverse direction alone, so:

    - padded rows run to the end, the outputs past it are zeroed and the final output is gathered at the last step;
    - rows are turned around within their length for the reverse direction;
    - the time is split wherever any row is reset. Right for any resets, fast when they are rare.
    """

    name = "torch"

    def __init__(
        self,
        sequence: Sequential,
        step: Step,
        freeze: Freezer | None = None,
        forms: Sequence[Options] = (Options(),),
    ) -> None:
        """Make the back end of one op.

        Args:
            sequence: Torch's function for a whole sequence.
            step: Torch's function for one step. A sequence of one step costs 584 us through `torch.lstm`, 47 us
                through `torch.lstm_cell` (B 1, H 256, one thread), and is slower with gradients as well.
            freeze: Holds the state past the end of a row; needed when it is more than the output, or has no bound.
            forms: The forms of the cell that torch has.
        """
        self._forms = forms
        self._sequence = sequence
        self._step = step
        self._freeze = freeze

    def accepts(self, call: Call) -> str | None:
        """Refuse what torch's functions cannot do, see `Backend.accepts`."""
        if is_rolled(call.x_TBI):
            return (
                "torch's recurrent functions are unrolled when a program is exported, and the number of steps is open"
            )
        if torch._C._are_functorch_transforms_active():
            return "torch's recurrent functions do not run under torch.func transforms such as vmap"
        if forward_ad._current_level >= 0:
            return "torch's recurrent functions have no forward-mode derivative on every device"
        if call.options is not self._forms[0] and call.options not in self._forms:
            odd = min((_differences(call.options, form) for form in self._forms), key=len)
            return f"torch's own cell has no form with {', '.join(odd)}"
        if "weight_hr" in call.weights.more and not _is_narrower(call.weights.more["weight_hr"]):
            return "torch's own cell takes projections to fewer than hidden_size units only"
        if call.noise is not SILENCE:
            return "torch's own cell takes no noise within a layer, such as zoneout or recurrent dropout"
        if call.records:
            return "torch's own functions do not give the states and gates of every step"
        if call.reset is not None and not has_values(call.reset):
            return "where the time is split at resets is not known while compiling or on the device meta"
        return None

    def run(self, call: Call) -> Result:
        """Run the call, see `Backend.run`."""
        call = call.cast()
        if not call.reverse and call.reset is None and call.lengths is None:
            return self._run_full(call.x_TBI, call.state, call.weights)
        x_TBI, lengths, reset = call.x_TBI, call.lengths, call.reset
        if call.reverse:
            x_TBI = turn(x_TBI, lengths)
            reset = None if reset is None else turn(reset[..., None], lengths)[..., 0]
        y_TBH, state, _ = self._run_split(x_TBI, call, lengths, reset)
        return Result(turn(y_TBH, lengths) if call.reverse else y_TBH, state)

    def _run_full(self, x_TBI: Tensor, state: State, weights: Weights) -> Result:
        if x_TBI.shape[0] == 1 and not weights.more:
            # An index would cost three times as much, and this is a character's path.
            state = self._step(x_TBI.squeeze(0), state, weights)
            return Result(state[0].unsqueeze(0), state)
        return self._sequence(x_TBI, state, weights.given(), weights.bias_ih is not None)

    def _run_split(self, x_TBI: Tensor, call: Call, lengths: Tensor | None, reset: Tensor | None) -> Result:
        if reset is None:
            return self._run_padded(x_TBI, call.state, call.weights, lengths)
        num_steps = len(x_TBI)
        if lengths is not None:
            reset = reset & mask_of(lengths, num_steps)
        starts = reset[1:].any(1).nonzero()[:, 0].add_(1).tolist()
        bounds = list(pairwise([0, *starts, num_steps]))
        outputs = []
        state = call.state
        # Slices would each zero-fill a gradient as large as x in the backward pass; split does not.
        for (begin, end), x_part in zip(
            bounds, x_TBI.split_with_sizes([end - begin for begin, end in bounds]), strict=True
        ):
            # Before the first step there is nothing to replace, unless the state was carried on from elsewhere.
            if begin or call.reset_state is not None:
                here = reset[begin, :, None]
                state = tuple(torch.where(here, first, s) for first, s in zip(call.anew, state, strict=True))
            rest = None if lengths is None else (lengths - begin).clamp(0, end - begin)
            y_part, state, _ = self._run_padded(x_part, state, call.weights, rest)
            outputs.append(y_part)
        return Result(torch.cat(outputs), state)

    def _run_padded(self, x_TBI: Tensor, initial: State, weights: Weights, lengths: Tensor | None) -> Result:
        if lengths is None:
            return self._run_full(x_TBI, initial, weights)
        alive_TB1 = mask_of(lengths, len(x_TBI))[..., None]
        # What lies past the end may be anything, and 0 * NaN is NaN in the backward pass: drop it before the op.
        x_TBI = torch.where(alive_TB1, x_TBI, 0)
        given = weights.given()
        if self._freeze is not None:
            x_TBI, given = self._freeze(x_TBI, ~alive_TB1, given)
        y_TBH, (_, *rest), _ = self._sequence(x_TBI, initial, given, weights.bias_ih is not None)
        last = (lengths - 1).clamp(min=0)[None, :, None].expand(1, -1, y_TBH.shape[2])
        h_BH = torch.where(lengths[:, None] > 0, y_TBH.gather(0, last)[0], initial[0])
        return Result(torch.where(alive_TB1, y_TBH, 0), (h_BH, *rest))


def _is_narrower(weight_hr: Tensor) -> bool:
    return weight_hr.shape[0] < weight_hr.shape[1]


def _differences(one: Options, other: Options) -> list[str]:
    pairs = zip(Options._fields, one, other, strict=True)
    return [_shown(name, a) for name, a, b in pairs if a != b]


def _shown(name: str, value: object) -> str:
    """Return an option as a reason gives it; without the address that a function is written with, which is no two's."""
    if callable(value):
        return f"a function as its {name}"
    return name if isinstance(value, bool) else f"{name}={value!r}"


def turn(x_TBF: Tensor, lengths: Tensor | None) -> Tensor:
    """Return each row's true steps in the opposite order, (T, B, F); what lies past its length stays in its place."""
    if lengths is None:
        return x_TBF.flip(0)
    t_T1 = torch.arange(x_TBF.shape[0], device=x_TBF.device)[:, None]
    index_TB = torch.where(t_T1 < lengths, lengths - 1 - t_T1, t_T1)
    return x_TBF.gather(0, index_TB[..., None].expand_as(x_TBF))


def flatten_weights(mode: str, weights: Sequence[Tensor]) -> None:
    """Move the weights of one layer and direction into one piece of CUDA memory, as cuDNN wants them; else do nothing.

    Args:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
        weights: The weights that are there, in torch's order.
    """
    first = weights[0]
    if (
        not first.is_cuda
        or not torch._use_cudnn_rnn_flatten_weight()
        or len({w.data_ptr() for w in weights}) != len(weights)
    ):
        return
    if any(w.dtype != first.dtype or not w.is_cuda or not torch.backends.cudnn.is_acceptable(w) for w in weights):  # type: ignore[no-untyped-call]
        return
    from torch.backends.cudnn import rnn

    projection = weights[-1] if len(weights) % 2 else None
    if projection is not None and not _is_narrower(projection):
        return
    hidden_size = weights[1].shape[1] if projection is None else projection.shape[1]
    proj_size = 0 if projection is None else projection.shape[0]
    with torch.cuda.device_of(first), torch.no_grad():  # type: ignore[no-untyped-call]
        torch._cudnn_rnn_flatten_weight(
            list(weights),
            len(weights),
            first.shape[1],
            rnn.get_cudnn_mode(mode),  # type: ignore[no-untyped-call]
            hidden_size,
            proj_size,
            1,
            False,
            False,
        )
