"""The ops under test, as one list that drives every suite."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.ops import Options, _dispatch, form, recurrence
from recur.ops._call import PLAIN, Result
from recur.ops._cell import Cell


@dataclass(frozen=True)
class Op:
    """One op in one form, and how to feed it and read it."""

    name: str
    kind: str
    options: Options = PLAIN
    proj: int = 0

    @property
    def cell(self) -> Cell:
        return form(self.kind, self.options._replace(projected=self.proj > 0))

    @property
    def num_gates(self) -> int:
        return len(self.cell.gates)

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(f"{name}0" for name in self.cell.states)

    def arguments(
        self, T: int, B: int, inputs: int, H: int, dtype: torch.dtype = torch.float64, bias: bool = True
    ) -> dict[str, Tensor]:
        """Random arguments. The weights are large enough that a forgotten one shows."""
        P = min(self.proj, H)
        sizes = self.cell.state_sizes(H, P)
        shapes = {"x": (T, B, inputs), **{n: (B, size) for n, size in zip(self.state_names, sizes, strict=True)}}
        shapes |= self.cell.shapes(inputs, H, P, bias)
        scale = {"x": 1.0, "h0": 0.5, "c0": 0.5}
        return {n: torch.randn(s, dtype=dtype) * scale.get(n, ((P or H) + 1) ** -0.5) for n, s in shapes.items()}

    def function(self, *, x: Any, reset_state: Any = None, **keywords: Any) -> Result:
        """Run it on arguments by name, good or bad."""
        state = [keywords.pop(name) for name in self.state_names]
        weights = {n: keywords.pop(n) for n in list(keywords) if n.startswith(("weight", "bias", "norm"))}
        return recurrence(self.kind, x, state, weights, options=self.options, reset_state=reset_state, **keywords)

    def __call__(self, arguments: dict[str, Tensor], **keywords: Any) -> dict[str, Tensor]:
        """Run it: the output and the parts of the final state by name."""
        result = self.function(**arguments, **keywords)
        return {"output": result.output, **dict(zip(self.cell.states, result.state, strict=True))}

    def with_gradients(
        self, arguments: dict[str, Tensor], upstream: dict[str, Tensor], **keywords: Any
    ) -> dict[str, Tensor]:
        """Run it, and differentiate the outputs named in `upstream` with those weights with respect to everything."""
        leaves = {n: a.detach().requires_grad_() for n, a in arguments.items()}
        outputs = self(leaves, **keywords)
        loss = sum((outputs[n] * u).sum() for n, u in upstream.items())
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        found = {
            f"d{n}": torch.zeros_like(a) if g is None else g for (n, a), g in zip(leaves.items(), grads, strict=True)
        }
        return {n: o.detach() for n, o in outputs.items()} | found


# Those that torch has too.
TORCH = {
    op.name: op
    for op in (
        Op("rnn_tanh", "rnn"),
        Op("rnn_relu", "rnn", Options(nonlinearity="relu")),
        Op("gru", "gru"),
        Op("lstm", "lstm"),
        Op("lstm_proj", "lstm", proj=3),
    )
}
BEYOND = {
    op.name: op
    for op in (
        Op("rnn_function", "rnn", Options(nonlinearity=torch.nn.functional.softsign, output_clip=0.6), proj=5),
        Op("rnn_norm", "rnn", Options(layer_norm=True)),
        Op("gru_before", "gru", Options(reset_after=False)),
        Op("gru_before_norm", "gru", Options(reset_after=False, layer_norm=True)),
        Op("gru_norm_proj", "gru", Options(layer_norm=True, output_clip=0.6), proj=5),
        Op("lstm_peephole", "lstm", Options(peephole=True)),
        Op("lstm_coupled", "lstm", Options(coupled=True)),
        Op("lstm_norm", "lstm", Options(layer_norm=True)),
        Op("lstm_all", "lstm", Options(coupled=True, peephole=True, layer_norm=True, cell_clip=0.4), proj=5),
        Op("indrnn", "indrnn", Options(nonlinearity="relu")),
        Op("indrnn_norm", "indrnn", Options(layer_norm=True)),
        Op("mgu", "mgu"),
        Op("mgu_norm", "mgu", Options(layer_norm=True)),
        Op("ligru", "ligru", Options(nonlinearity="relu")),
        Op("ligru_norm_proj", "ligru", Options(layer_norm=True), proj=5),
    )
}
OPS = TORCH | BEYOND


@pytest.fixture(params=list(TORCH))
def op(request: pytest.FixtureRequest) -> Op:
    """An op in a form that torch has too."""
    return TORCH[request.param]


@pytest.fixture(params=list(OPS))
def any_op(request: pytest.FixtureRequest) -> Op:
    """An op in any form."""
    return OPS[request.param]


@pytest.fixture(scope="session")
def ops() -> dict[str, Op]:
    return OPS


def _load(name: str) -> ModuleType:
    """Load a file beside the tests, which pytest imports by path and so cannot import by name."""
    spec = importlib.util.spec_from_file_location(f"recur_tests_ops_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    found: Callable[..., None] = _load("compare").compare
    return found


@pytest.fixture(scope="session")
def drawing() -> ModuleType:
    """See drawing.py."""
    return _load("drawing")


@pytest.fixture
def poison() -> Iterator[None]:
    """Fill all memory that torch hands out with NaN, so that an element which is never written shows."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set how many threads torch, and so the kernels, may use until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 2, 3, 5])
def any_threads(request: pytest.FixtureRequest, threads: Callable[[int], None]) -> int:
    """So many threads."""
    threads(request.param)
    return int(request.param)


def _gradients(layer: Any, result: Any, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    torch.manual_seed(1)
    outputs = [result[0], *(result[1] if isinstance(result[1], tuple) else (result[1],))]
    loss = sum((output * torch.randn_like(output)).sum() for output in outputs)
    return torch.autograd.grad(loss, [*leaves, *layer.parameters()])


@pytest.fixture(scope="session")
def gradients() -> Callable[..., tuple[Tensor, ...]]:
    """The gradients of leaves and of a layer's parameters from all that the layer has returned."""
    return _gradients


def _repeats(layer: Any, x: Tensor, given: dict[str, Any], found: Any) -> None:
    again = layer(x, **given)
    torch.testing.assert_close(again, found, rtol=0, atol=0)
    slopes = _gradients(layer, again, [x]), _gradients(layer, layer(x, **given), [x])
    torch.testing.assert_close(*slopes, rtol=0, atol=0)


@pytest.fixture(scope="session")
def repeats() -> Callable[..., None]:
    """Check that a layer returns the same bits again, and the same gradients each time."""
    return _repeats


@pytest.fixture
def no_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with no fallback on record."""
    monkeypatch.setattr(_dispatch, "_fallbacks", {})
