"""Recurrent networks on live streams: a step or a chunk at a time, the state held apart from the network."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from recur.nn import nest
from recur.nn import options as checks
from recur.nn.contract import check_one_direction
from recur.nn.gated_cell import GatedCell
from recur.nn.layer import RecurrentLayer
from recur.nn.module_cell import ModuleCell
from recur.nn.sequences import Form
from recur.ops._checks import shape_of

Rows: TypeAlias = int | Sequence[int] | Tensor
"""One row, several, or a bool tensor (B,) that marks them."""

_WANTED = "but a model on streams has forward(x, state), which returns output and state, where None is the first state."


class Stepper:
    """Runs a recurrent layer or network on streams as they come, in inference, and holds their state.

    What it returns, step after step or chunk after chunk, is what one run over each whole stream returns. The state
    lies here and not in the network, so any number of steppers share one, and `state` can be kept and put back.

    Args:
        network: A recurrent layer with one direction; or a model, a module whose `forward(x, state)` returns output and
            state, where None is the initial state, and x has the batch first and the time second.
        batch_size: Streams side by side, B; None for one stream without a batch, which models do not take.
        context: What the initial state is computed from, (B, C), in a layer with initial_state="context".

    Raises:
        TypeError: An argument is of the wrong kind, or `forward` does not take x and a state.
        ValueError: The network reads in two directions, or `batch_size` is below 1.

    Example:
        >>> from recur.nn import GRU
        >>> layer = GRU(8, 16).eval()
        >>> stepper = Stepper(layer, batch_size=2)
        >>> x = torch.randn(5, 2, 8)
        >>> y = torch.stack([stepper(x_t) for x_t in x])
        >>> torch.allclose(y, layer(x)[0], atol=1e-6)
        True
        >>> stepper.reset(rows=1)
        >>> stepper.state[0, 1].abs().sum()
        tensor(0.)
    """

    def __init__(self, network: nn.Module, batch_size: int | None = 1, *, context: Tensor | None = None) -> None:
        if not isinstance(network, nn.Module):
            raise TypeError(f"Stepper: network must be a module, but is {type(network).__name__}.")
        if isinstance(network, nn.RNNBase) and not isinstance(network, RecurrentLayer):
            name = type(network).__name__
            raise TypeError(
                f"Stepper: network is torch's {name}; call recur.accelerate on it, or take recur.nn.{name}."
            )
        if batch_size is not None:
            checks.check_size("Stepper", "batch_size", batch_size, 1)
        if isinstance(network, GatedCell | ModuleCell):
            raise TypeError(
                f"Stepper: {type(network).__name__} is a single cell, which takes and returns its state as it is; call "
                "it step by step, or give a layer."
            )
        check_one_direction("Stepper", network, "Make it with bidirectional=False.")
        self.network = network
        self.batch_size = batch_size
        self.context = context
        self._layer = network if isinstance(network, RecurrentLayer) else None
        if self._layer is None and batch_size is None:
            raise ValueError("Stepper: a model takes batches; pass batch_size=1 for one stream.")
        if self._layer is None:
            _check_model(network)
        if self._layer is None and context is not None:
            raise ValueError("Stepper: context is for layers; a model gets what it needs by keyword at each call.")
        self._state: Any = None
        # Of a layer: the shape of one step of one row, which the state of a convolutional one depends on.
        self._step_shape: tuple[int, ...] | None = None
        # Of a model: the rows that begin anew at the next step, (B,).
        self._anew: Tensor | None = None

    def __call__(self, x: Tensor, **inputs: Any) -> Any:
        """Return the output for the next step, or for the next steps, of each stream.

        Args:
            x: For a layer one step (B, I), or a chunk as the layer takes it, (T, B, I) or with `batch_first` (B, T, I);
                without a batch (I,) or (T, I). For a model a chunk as it takes it, (B, T, ...).
            inputs: What else the network takes by keyword: `lengths` with a chunk, where the streams have not all got
                so many steps; `reset`; what some layers take beside x. Tensors that have a time have it as x has, so
                for one step none.

        Returns:
            The output, of one step (B, O), of a chunk as the network gives it. No gradient flows back from it.

        Raises:
            TypeError: Something is of the wrong kind or dtype, or a model does not return output and state.
            ValueError: A shape is wrong, or the network is in training.
        """
        if self.network.training:
            raise ValueError(
                "Stepper: the network is in training, where dropout and zoneout are drawn anew at each call. Call "
                "eval() on it first."
            )
        if "return_all" in inputs:
            raise ValueError("Stepper: return_all is not for streams; call the layer itself with stepper.state.")
        if not isinstance(x, Tensor):
            raise TypeError(f"Stepper: x must be a torch.Tensor, but is {type(x).__name__}.")
        with torch.inference_mode():
            return self._run_model(x, inputs) if self._layer is None else self._run_layer(self._layer, x, inputs)

    def _run_layer(self, layer: RecurrentLayer, x: Tensor, inputs: dict[str, Any]) -> Any:
        num_dims = layer._num_features + (self.batch_size is not None)
        if x.dim() not in (num_dims, num_dims + 1):
            batch = "" if self.batch_size is None else "B, "
            letters = f"B, T, {layer._step_shape}" if batch and layer.batch_first else f"T, {batch}{layer._step_shape}"
            raise ValueError(
                f"Stepper: x has {x.dim()} dimensions, {shape_of(x)}. Give one step ({batch}{layer._step_shape}), "
                f"or a chunk ({letters})."
            )
        time = 1 if layer.batch_first and self.batch_size is not None else 0
        is_step = x.dim() == num_dims
        if is_step:
            x = x.unsqueeze(time)
            inputs = {
                name: value.unsqueeze(time) if isinstance(value, Tensor) and name != "lengths" else value
                for name, value in inputs.items()
            }
        if self.batch_size is not None:
            self._check_rows(x.shape[1 - time])
        needs_context = self.context is not None and (self._state is None or "reset" in inputs)
        given = {"context": self.context} if needs_context else {}
        output, self._state = layer(x, self._state, **given, **inputs)
        self._step_shape = tuple(x.shape[-layer._num_features :])
        return output.squeeze(time) if is_step else output

    def _run_model(self, x: Tensor, inputs: dict[str, Any]) -> Any:
        if x.dim() < 2:
            raise ValueError(f"Stepper: x has shape {shape_of(x)}; give a model a chunk (B, T, ...).")
        self._check_rows(x.shape[0])
        if self._anew is not None:
            reset = inputs.get("reset")
            reset = x.new_zeros(x.shape[:2], dtype=torch.bool) if reset is None else reset.clone()
            reset[:, 0] |= self._anew.to(x.device)
            inputs = inputs | {"reset": reset}
        found = self.network(x, self._state, **inputs)
        if not isinstance(found, tuple | list) or len(found) != 2:
            what = f"{len(found)} things" if isinstance(found, tuple | list) else f"a {type(found).__name__}"
            raise TypeError(f"Stepper: {type(self.network).__name__} returned {what}, {_WANTED}")
        output, self._state = found
        lengths = inputs.get("lengths")
        if self._anew is not None:
            # A row without a step in this chunk still has to begin.
            waiting = None if lengths is None else self._anew & (torch.as_tensor(lengths).cpu() == 0)
            self._anew = waiting if waiting is not None and bool(waiting.any()) else None
        return output

    def _check_rows(self, count: int) -> None:
        if count != self.batch_size:
            raise ValueError(f"Stepper: x has {count} rows, but batch_size is {self.batch_size}.")

    @property
    def state(self) -> Any:
        """The state after the last step, as the network returns it, a copy; of a layer the initial one at first.

        It can be set, to what it was at some time or elsewhere; None begins anew. Of a model, and of a layer whose
        state depends on the size of its input, it is None before the first step. Reading it raises ValueError where
        rows of a model begin anew at the next step, because only the model knows what with.
        """
        if self._anew is not None:
            raise ValueError("Stepper: rows of the model begin anew at the next step; read the state after it.")
        state = self._state
        if state is None and self._layer is not None and (x_TBI := self._example(self._layer)) is not None:
            state = self._joined(self._layer, x_TBI, self._initial(self._layer, x_TBI))
        return None if state is None else nest.mapped(lambda part: part.detach().clone(), state)

    @state.setter
    def state(self, state: Any) -> None:
        x_TBI = None if self._layer is None else self._example(self._layer)
        if state is not None and self._layer is not None and x_TBI is not None:
            self._layer._given(state, x_TBI.shape[1], self._form(self._layer), self._layer._state_form_for(x_TBI))
        self._state = None if state is None else nest.mapped(lambda part: part.detach().clone(), state)
        self._anew = None

    def reset(self, rows: Rows | None = None) -> None:
        """Let streams begin anew, with the initial state.

        Args:
            rows: Which ones: a number, several, or a bool tensor (B,) that marks them; None for all.

        Raises:
            TypeError: `rows` is of the wrong kind.
            ValueError: There is no such row; there is no batch; or the model takes no `reset`.
        """
        if rows is None:
            self.state = None
            return
        chosen_B = self._chosen(rows)
        layer = self._layer
        if layer is None:
            if "reset" not in inspect.signature(self.network.forward).parameters:
                raise ValueError(
                    f"Stepper: {type(self.network).__name__} takes no reset, so rows cannot begin anew one by one; "
                    "reset all."
                )
            # Before the first step every row begins anew in any case.
            if self._state is not None:
                self._anew = chosen_B if self._anew is None else self._anew | chosen_B
            return
        if self._state is None:
            return
        with torch.inference_mode():
            x_TBI = self._example(layer)
            assert x_TBI is not None
            state_form = layer._state_form_for(x_TBI)
            before = layer._given(self._state, x_TBI.shape[1], self._form(layer), state_form)
            mixed = []
            for old, new, copies in zip(before, self._initial(layer, x_TBI), state_form.copies, strict=True):
                # A dilated layer has several states, in front of the batch.
                ahead = (1,) if copies > 1 else ()
                mask = [chosen_B.to(p.device).reshape(*ahead, -1, *[1] * (p.dim() - len(ahead) - 1)) for p in old]
                mixed.append(tuple([torch.where(m, b, a) for m, a, b in zip(mask, old, new, strict=True)]))
            self._state = self._joined(layer, x_TBI, mixed)

    def _chosen(self, rows: Rows) -> Tensor:
        """Return `rows` as (B,) bool."""
        if self.batch_size is None:
            raise ValueError("Stepper: there is one stream and no batch, so no rows; leave rows out.")
        if isinstance(rows, Tensor) and rows.dtype == torch.bool:
            if tuple(rows.shape) != (self.batch_size,):
                raise ValueError(f"Stepper: rows must have shape ({self.batch_size},), but has {shape_of(rows)}.")
            return rows.cpu()
        found = rows.tolist() if isinstance(rows, Tensor) else rows
        chosen_B = torch.zeros(self.batch_size, dtype=torch.bool)
        for row in found if isinstance(found, list | tuple | range) else [found]:
            if isinstance(row, bool) or not isinstance(row, int):
                raise TypeError(f"Stepper: rows must be whole numbers or a bool tensor, but has {row!r}.")
            if not -self.batch_size <= row < self.batch_size:
                raise ValueError(f"Stepper: there is no row {row}; batch_size is {self.batch_size}.")
            chosen_B[row] = True
        return chosen_B

    def _form(self, layer: RecurrentLayer) -> Form:
        return Form(layer.batch_first, self.batch_size is not None)

    def _example(self, layer: RecurrentLayer) -> Tensor | None:
        """Return an input of one step, which tells what the state looks like; None where that is not known yet."""
        shape = (layer.input_size,) if layer._num_features == 1 else self._step_shape
        return None if shape is None else layer._sample_weight().new_zeros(1, self.batch_size or 1, *shape)

    def _initial(self, layer: RecurrentLayer, x_TBI: Tensor) -> list[Any]:
        return layer._own_states(x_TBI, self.context, self._form(layer), layer._state_form_for(x_TBI))

    def _joined(self, layer: RecurrentLayer, x_TBI: Tensor, states: list[Any]) -> Any:
        form = layer._state_form_for(x_TBI)
        return layer._outer(form.joined(states, is_batched=self.batch_size is not None))


def _check_model(network: nn.Module) -> None:
    """Raise TypeError where `forward` does not take a state beside x; what it needs by keyword comes with each call."""
    try:
        signature = inspect.signature(network.forward)
    except ValueError:
        # It is not written in Python.
        return
    try:
        signature.bind_partial(None, None)
    except TypeError:
        raise TypeError(f"Stepper: {type(network).__name__} takes {signature}, {_WANTED}") from None
