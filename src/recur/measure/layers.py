"""Recur's layers beside torch's own: the same weights, the same work, checked and then timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import recur.nn
from recur.measure.timing import raced
from recur.wording import cell_name

LAYERS: dict[str, tuple[Callable[..., recur.nn.GatedLayer], Callable[..., nn.Module]]] = {
    "rnn": (recur.nn.RNN, nn.RNN),
    "gru": (recur.nn.GRU, nn.GRU),
    "lstm": (recur.nn.LSTM, nn.LSTM),
}
"""Each kind of layer that torch has too: recur's and torch's."""

_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
TOLERANCE = 1e-4
"""How far two float32 sides may be apart, as a share of the largest element of the tensor."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a layer of torch's form is given to do.

    Attributes:
        kind: A key of `LAYERS`.
        steps: T.
        batch_size: B.
        input_size: I.
        hidden_size: H.
        num_layers: L.
        bidirectional: Whether there are two directions.
        training: Whether the gradients of the input and of all weights are wanted too.
        last_only: Whether the loss is one of the last step alone, as where a sequence has one label.
    """

    kind: str
    steps: int
    batch_size: int
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    training: bool = True
    last_only: bool = False

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products: 2 T B G H (I + H) forward, three times that in training."""
        directions = 1 + self.bidirectional
        inputs = self.input_size + (self.num_layers - 1) * self.hidden_size * directions
        width = inputs + self.num_layers * self.hidden_size
        products = 2 * self.steps * self.batch_size * _GATES[self.kind] * self.hidden_size * width * directions
        return products * (3 if self.training else 1)

    def __str__(self) -> str:
        sizes = f"T {self.steps}, B {self.batch_size}, "
        is_square = self.input_size == self.hidden_size
        sizes += f"H {self.hidden_size}" if is_square else f"I {self.input_size}, H {self.hidden_size}"
        stack = (f", {self.num_layers} layers" if self.num_layers > 1 else "") + (
            ", both directions" if self.bidirectional else ""
        )
        stack += ", loss at the last step" if self.last_only else ""
        return f"{cell_name(self.kind)} {'training' if self.training else 'inference'}, {sizes}{stack}"


@dataclass
class Side:
    """One side of a comparison.

    Attributes:
        call: The network: from the input to output and state, whose parts may be nested.
        x: The input; in training it wants a gradient.
        weights: The parameters by name; in training their gradients are taken too.
        upstream: The gradient of the output; None for inference.
    """

    call: Callable[[Any], tuple[Any, Any]]
    x: Any
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    upstream: Tensor | None = None

    def run(self) -> tuple[Any, Any, tuple[Tensor, ...]]:
        """Return output, state and, in training, the gradients of x and of the weights."""
        output, state = self.call(self.x)
        if self.upstream is None:
            return output, state, ()
        values, x = (each if isinstance(each, Tensor) else each.data for each in (output, self.x))
        return output, state, torch.autograd.grad(values, [x, *self.weights.values()], self.upstream)

    def results(self) -> dict[str, Tensor]:
        """Return everything that `run` does as named tensors without a history."""
        output, state, gradients = self.run()
        named = {"output": output if isinstance(output, Tensor) else output.data}
        named |= {f"state {k}": part for k, part in enumerate([state] if isinstance(state, Tensor) else state)}
        named |= {f"d{name}": each for name, each in zip(["x", *self.weights], gradients, strict=False)}
        return {name: value.detach() for name, value in named.items()}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch, and with it recur, use so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_of(layer: nn.Module, x: Tensor, upstream: Tensor | None, **inputs: Any) -> Side:
    """Return the side that runs `layer` on a copy of `x`, in training where there is an upstream gradient."""
    is_training = upstream is not None
    layer.train(is_training)
    copy = x.clone().requires_grad_(is_training)
    return Side(lambda x: layer(x, **inputs), copy, dict(layer.named_parameters()), upstream)


def beside_torch(work: Work, seed: int = 0) -> tuple[recur.nn.GatedLayer, Side, Side]:
    """Return recur's layer, the side that runs it, and the side of torch's layer with the same weights and input."""
    ours_kind, torch_kind = LAYERS[work.kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = work.input_size, work.hidden_size, work.num_layers
        theirs = torch_kind(*sizes, bidirectional=work.bidirectional)
        x = torch.randn(work.steps, work.batch_size, work.input_size)
        width = work.hidden_size * (1 + work.bidirectional)
        upstream = torch.randn(work.steps, work.batch_size, width) if work.training else None
        if upstream is not None and work.last_only:
            upstream[:-1] = 0
        ours = ours_kind(*sizes, bidirectional=work.bidirectional)
    ours.load_state_dict(theirs.state_dict())
    return ours, side_of(ours, x, upstream), side_of(theirs, x, upstream)


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, str]:
    """Return the largest distance of two sides' tensors and the name of the tensor that it is in.

    The distance is that of the worst element, divided by the largest element that is expected of its tensor, or by the
    smallest normal number where that is zero; infinite where one side is not finite, or has no such tensor.
    """
    worst = (0.0, "nothing")
    for name in {**expected, **found}:
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            return float("inf"), name
        a, b = found[name].double(), expected[name].double()
        scale = max(float(b.abs().amax()), torch.finfo(torch.float32).tiny)
        share = float((a - b).abs().amax()) / scale
        worst = max(worst, (share if share == share else float("inf"), name))
    return worst


def checked_race(
    ours: Side, peer: Side, *, budget: float, tolerance: float = TOLERANCE, expected: Side | None = None, **race: Any
) -> dict[str, Any]:
    """Return how far the sides are apart and, unless that is too far, their times in turns.

    Args:
        ours: Recur's side.
        peer: The other one.
        budget: Seconds.
        tolerance: Distance that is still agreement.
        expected: What ours has to agree with in place of the peer.
        race: More arguments of `raced`.

    Returns:
        `distance`, with `disagrees` in place of all times where it is above the tolerance, else what `raced` returns.
    """
    reference = peer if expected is None else expected
    with torch.inference_mode(ours.upstream is None):
        far, name = distance(ours.results(), reference.results())
        if not far <= tolerance:
            return {"distance": far, "disagrees": f"{name} is {far:.1e} apart, more than {tolerance:.0e}"}
        return {"distance": far, **raced(ours.run, peer.run, budget=budget, **race)}


def compare(work: Work, *, budget: float, **race: Any) -> dict[str, Any]:
    """Return the times of recur's layer and of torch's for the same work, with the threads that torch has now.

    Args:
        work: What is to be done.
        budget: Seconds.
        race: More arguments of `raced`.

    Returns:
        `what`, `work`, `threads`, `backend` (the one that ran) and what `checked_race` returns, times in ms.
    """
    layer, ours, peer = beside_torch(work)
    row = {
        "what": str(work),
        "work": asdict(work),
        "threads": torch.get_num_threads(),
        "backend": layer.explain(ours.x).backend,
    }
    return row | checked_race(ours, peer, budget=budget, **race)
