"""A layer and what goes into it, as the laws of the contract see it: time first, whatever the layer's options.

Loaded by conftest.py, which hands it to the laws and the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

Named = dict[str, Tensor]


@dataclass
class Case:
    """A layer and what goes into it, time first.

    Attributes:
        kind: Of the layer.
        sizes: It was made from.
        options: It was made from, beside those of its kind.
        layer: In evaluation.
        x: (T, B, ...).
        compare: Raises unless two mappings of tensors are the same.
        lengths: One for each row, or None.
        reset: (T, B), or None.
        hx: Initial state, or None.
        context: (B, C), or None.
        timed: Further arguments (T, B, ...) by name.
    """

    kind: Any
    sizes: tuple[Any, ...]
    options: Mapping[str, Any]
    layer: Any
    x: Tensor
    compare: Callable[..., None]
    lengths: list[int] | None = None
    reset: Tensor | None = None
    hx: Any = None
    context: Tensor | None = None
    timed: Named = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        return self.x.shape[0]

    @property
    def batch(self) -> int:
        return self.x.shape[1]

    @property
    def ends(self) -> list[int]:
        return [self.num_steps] * self.batch if self.lengths is None else self.lengths

    @property
    def directions(self) -> int:
        return 2 if self.layer.bidirectional else 1

    @property
    def alive(self) -> Tensor:
        """Which steps lie before their row's end, (T, B)."""
        return torch.arange(self.num_steps)[:, None] < torch.tensor(self.ends)

    def at(self, begin: int, end: int, **changes: Any) -> Case:
        """The steps from `begin` to `end`."""
        lengths = None if self.lengths is None else [min(max(n - begin, 0), end - begin) for n in self.lengths]
        cut = {
            "x": self.x[begin:end],
            "lengths": lengths,
            "reset": None if self.reset is None else self.reset[begin:end],
            "timed": {name: value[begin:end] for name, value in self.timed.items()},
        }
        return replace(self, **(cut | changes))

    def row(self, number: int, **changes: Any) -> Case:
        """One row, as a batch of one."""
        only = slice(number, number + 1)
        cut = {
            "x": self.x[:, only],
            "lengths": None if self.lengths is None else self.lengths[only],
            "reset": None if self.reset is None else self.reset[:, only],
            "hx": None if self.hx is None else self.rows(self.hx, number),
            "context": None if self.context is None else self.context[only],
            "timed": {name: value[:, only] for name, value in self.timed.items()},
        }
        return replace(self, **(cut | changes))

    def twin(self, **changes: Any) -> Case:
        """The same with a layer made with other options and the same weights."""
        options = {**self.options, **changes}
        layer = self.kind.make(*self.sizes, **options).eval()
        layer.load_state_dict(self.layer.state_dict())
        return replace(self, options=options, layer=layer)

    def run(self, **more: Any) -> tuple[tuple[Tensor, ...], Any]:
        """Run the layer: the outputs, two where the directions are not merged, and the final state; time first."""
        found = self.call(**more)
        return self.outputs(found[0]), self.turned(found[1])

    def call(self, **more: Any) -> Any:
        """Run the layer and return what it does."""
        first = self.layer.batch_first

        def turn(value: Tensor) -> Tensor:
            return value.transpose(0, 1) if first else value

        keywords: dict[str, Any] = {name: turn(value) for name, value in self.timed.items()}
        if self.reset is not None:
            keywords["reset"] = turn(self.reset)
        if self.lengths is not None:
            keywords["lengths"] = self.lengths
        if self.context is not None:
            keywords["context"] = self.context
        hx = None if self.hx is None else self.turned(self.hx)
        return self.layer(turn(self.x), hx, **keywords, **more)

    def outputs(self, output: Any) -> tuple[Tensor, ...]:
        return tuple(part.transpose(0, 1) if self.layer.batch_first else part for part in several(output))

    # --- states ---------------------------------------------------------------------------------------------------

    @property
    def is_stacked(self) -> bool:
        return self.layer._state_form.is_stacked

    def turned(self, state: Any) -> Any:
        """A state with its batch before or behind layers or copies, if the layer wants it first."""
        if not self.layer.state_batch_first:
            return state
        rank = self.kind.state_rank
        return tree_map(lambda leaf: leaf.transpose(0, 1) if leaf.dim() == 2 + rank else leaf, state)

    def axis(self, leaf: Tensor) -> int:
        """Where the rows of a state lie."""
        return leaf.dim() - 1 - self.kind.state_rank

    def rows(self, state: Any, number: int) -> Any:
        return tree_map(lambda leaf: leaf.narrow(self.axis(leaf), number, 1), state)

    def joined(self, states: list[Any]) -> Any:
        """The states of single rows as that of a batch."""
        flat = [tree_leaves(state) for state in states]
        leaves = [torch.cat(parts, self.axis(parts[0])) for parts in zip(*flat, strict=True)]
        return tree_unflatten(leaves, tree_flatten(states[0])[1])

    def columns(self, state: Any) -> list[Any]:
        """For each layer and direction a list of the parts of its state."""
        leaves, count = tree_leaves(state), self.layer.num_layers * self.directions
        if self.is_stacked:
            return [[leaf[k] for leaf in leaves] for k in range(count)]
        return [leaves[k::count] for k in range(count)]

    def assembled(self, columns: list[Any], like: Any) -> Any:
        """The state whose `columns` these are."""
        parts = list(zip(*columns, strict=True))
        leaves = [torch.stack(part) for part in parts] if self.is_stacked else [leaf for part in parts for leaf in part]
        return tree_unflatten(leaves, tree_flatten(like)[1])

    def mixed(self, forward: Any, backward: Any) -> Any:
        """The state whose forward directions are those of the one and whose backward directions those of the other."""
        pair = [self.columns(forward), self.columns(backward)]
        count = len(pair[0])
        return self.assembled([pair[k % self.directions][k] for k in range(count)], forward)

    def begins(self) -> Any:
        """The state that the layer itself begins with, by what it returns for rows without steps."""
        return replace(self, lengths=[0] * self.batch, reset=None, hx=None).run()[1]

    # --- comparing ------------------------------------------------------------------------------------------------

    def leaves(self) -> Named:
        """Everything that a gradient goes to."""
        found = {"x": self.x, **dict(self.layer.named_parameters())}
        if self.hx is not None:
            found |= {f"hx{k}": leaf for k, leaf in enumerate(tree_leaves(self.hx))}
        if self.context is not None:
            found["context"] = self.context
        return found


def several(output: Any) -> tuple[Any, ...]:
    """The outputs, of which there are two where the directions are not merged."""
    # A PackedSequence is a tuple too.
    return output if type(output) is tuple else (output,)


def named(outputs: tuple[Tensor, ...], state: Any) -> Named:
    found = {f"output{k}": part for k, part in enumerate(outputs)}
    return found | {f"state{k}": leaf for k, leaf in enumerate(tree_leaves(state))}


def gradients(values: Named, leaves: Named, seed: int = 1) -> Named:
    """Gradients under random weights on every output and every final state."""
    generator = torch.Generator().manual_seed(seed)
    loss = sum((v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in values.values())
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, retain_graph=True)
    return {f"d{n}": torch.zeros_like(v) if g is None else g for (n, v), g in zip(leaves.items(), found, strict=True)}


def compare_all(case: Case, got: Named, want: Named) -> None:
    """Compare values, and the gradients of both with respect to the case's leaves."""
    case.compare(got, want)
    case.compare(gradients(got, case.leaves()), gradients(want, case.leaves()))


def make_case(
    kind: Any,
    sizes: tuple[Any, ...],
    options: Mapping[str, Any],
    compare: Callable[..., None],
    *,
    num_steps: int,
    lengths: list[int] | None,
    resets: float,
    is_given: bool,
    batch: int,
) -> Case:
    """A layer and random inputs for it.

    Args:
        kind: Of the layer.
        sizes: Features and units.
        options: Of the layer.
        compare: See `Case`.
        num_steps: T.
        lengths: See `Case`.
        resets: Share of steps at which a sequence begins; 0 for no `reset`.
        is_given: Whether there is an initial state.
        batch: B.
    """
    layer = kind.make(*sizes, **options).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    x = torch.randn(num_steps, batch, sizes[0], *kind.spatial, dtype=torch.float64, requires_grad=True)
    case = Case(kind, sizes, options, layer, x, compare)
    case.timed = {} if kind.timed is None else kind.timed(num_steps, batch)
    case.lengths = lengths
    if options.get("context_size"):
        case.context = torch.randn(batch, options["context_size"], dtype=torch.float64, requires_grad=True)
    if resets:
        case.reset = torch.rand(num_steps, batch) < resets
    if is_given:
        case.hx = tree_map(lambda leaf: torch.randn_like(leaf).requires_grad_(), case.begins())
    return case
