"""The ops under test, as one list that drives every suite."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.ops import _dispatch
from recur.ops.gru import gru
from recur.ops.lstm import lstm
from recur.ops.rnn import rnn


@dataclass(frozen=True)
class Op:
    """One op, and how to feed it and read it."""

    name: str
    function: Callable[..., Any]
    num_gates: int
    state_names: tuple[str, ...] = ("h0",)
    proj: int = 0
    options: tuple[tuple[str, str], ...] = ()

    def arguments(
        self, T: int, B: int, inputs: int, H: int, dtype: torch.dtype = torch.float64, bias: bool = True
    ) -> dict[str, Tensor]:
        """Random arguments. The weights are large enough that a forgotten one shows."""
        R = min(self.proj, H) or H
        shapes = {"x": (T, B, inputs), **dict.fromkeys(self.state_names, (B, H)), "h0": (B, R)}
        shapes |= {"weight_ih": (self.num_gates * H, inputs), "weight_hh": (self.num_gates * H, R)}
        if bias:
            shapes |= {"bias_ih": (self.num_gates * H,), "bias_hh": (self.num_gates * H,)}
        if self.proj:
            shapes["weight_hr"] = (R, H)
        scale = {"x": 1.0, "h0": 0.5, "c0": 0.5}
        return {n: torch.randn(s, dtype=dtype) * scale.get(n, (R + 1) ** -0.5) for n, s in shapes.items()}

    def __call__(self, arguments: dict[str, Tensor], **keywords: Any) -> dict[str, Tensor]:
        """Run it: the output and the parts of the final state by name."""
        output, final = self.function(**arguments, **dict(self.options), **keywords)
        parts = final if isinstance(final, tuple) else (final,)
        return {"output": output, **dict(zip(("h", "c"), parts, strict=False))}

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


OPS = {
    op.name: op
    for op in (
        Op("rnn_tanh", rnn, 1),
        Op("rnn_relu", rnn, 1, options=(("nonlinearity", "relu"),)),
        Op("gru", gru, 3),
        Op("lstm", lstm, 4, ("h0", "c0")),
        Op("lstm_proj", lstm, 4, ("h0", "c0"), proj=3),
    )
}


@pytest.fixture(params=list(OPS))
def op(request: pytest.FixtureRequest) -> Op:
    return OPS[request.param]


@pytest.fixture(scope="session")
def ops() -> dict[str, Op]:
    return OPS


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    spec = importlib.util.spec_from_file_location("compare", Path(__file__).with_name("compare.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compare


@pytest.fixture
def no_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with no fallback on record."""
    monkeypatch.setattr(_dispatch, "_fallbacks", {})
