"""What the tests of gradients share: layers and cases of `tests/nn`, the comparison of `tests/ops`, checkpoints."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from recur.gradients import Checkpointed
from recur.gradients.recomputation import checkpointed as recomputing
from recur.gradients.recomputation.budget import planned
from recur.ops import _random


def _load(part: str, stem: str) -> Any:
    """Load a file beside the tests of another part, which pytest imports by path and so cannot import by name."""
    path = Path(__file__).parents[1] / part / f"{stem}.py"
    name = f"recur_tests_{part}_{stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        # A dataclass looks its module up.
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


KINDS = _load("nn", "layers").KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each kind of layer in each of its forms."""
    return KINDS[request.param]


def _has_kernels(kind: Any) -> bool:
    return bool(kind.draws) and not callable(kind.options.get("nonlinearity"))


_PAIRS = [
    (name, backend)
    for name, kind in KINDS.items()
    for backend in (["reference", "cpu"] if _has_kernels(kind) else [None])
]


@pytest.fixture(params=_PAIRS, ids=lambda pair: "-".join(filter(None, pair)))
def kind_on(request: pytest.FixtureRequest) -> Any:
    """Each kind of layer in each of its forms, and the options that force each back end of ours that it can run on."""
    name, backend = request.param
    return KINDS[name], {} if backend is None else {"backend": backend}


@pytest.fixture(scope="session")
def kinds() -> dict[str, Any]:
    found: dict[str, Any] = KINDS
    return found


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    found: Callable[..., None] = _load("ops", "compare").compare
    return found


@pytest.fixture(scope="session")
def make_case() -> Callable[..., Any]:
    """See cases.py of the layers."""
    found: Callable[..., Any] = _load("nn", "cases").make_case
    return found


@pytest.fixture
def torchs_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch draw random masks, as it does where the engine is missing."""
    monkeypatch.setattr(_random, "_is_engines", lambda like: False)


@pytest.fixture
def checkpointed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Checkpointed]:
    """Wrap a layer with segments of some length, and so many slots; without, as many as there are states."""

    def wrap(layer: nn.Module, length: int, slots: int | None = None, **options: Any) -> Checkpointed:
        if slots is None:
            return Checkpointed(layer, checkpoint_every=length, **options)
        monkeypatch.setattr(
            recomputing,
            "fitted",
            lambda owner, num_steps, costs, memory: planned(num_steps, length, slots, costs),
        )
        return Checkpointed(layer, memory=1.0, **options)

    return wrap


def run(module: Any, x: Tensor, *arguments: Any, seed: int = 3, **keywords: Any) -> list[Tensor]:
    """Outputs, final states and all gradients under random weights on everything."""
    torch.manual_seed(seed)
    module.zero_grad()
    if x.is_floating_point():
        x = x.clone().requires_grad_()
    output, state = module(x, *arguments, **keywords)
    parts = [output, *tree_leaves(state)]
    generator = torch.Generator().manual_seed(1)
    smooth = [part for part in parts if part.is_floating_point()]
    sum((p * torch.randn(p.shape, generator=generator, dtype=p.dtype)).sum() for p in smooth).backward()
    found = [part.detach() for part in parts]
    found += [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in module.parameters()]
    return [*found, x.grad] if x.grad is not None else found


def agree(got: list[Tensor], want: list[Tensor]) -> None:
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


class Counting(nn.Module):
    """A cell that counts steps in its state, in whole numbers, and how often it was run."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.state_size = {"h": size, "count": 1}
        self.state_names, self.output_size = ("h", "count"), size
        self.both = nn.Linear(2 * size, size, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(size, dtype=torch.float64)
        self.runs = 0

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.runs += 1
        h = torch.tanh(self.norm(self.both(torch.cat([x, state["h"]], 1))))
        return h, {"h": h, "count": state["count"] + 1}


class Loop(nn.Module):
    """A network of one's own, batch first, whose state is a dictionary with a count that has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Counting()
        self.calls = 0

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        if state is None:
            state = {"h": x.new_zeros(len(x), 4), "count": torch.zeros(len(x), 1, dtype=torch.int64)}
        outputs = []
        for x_t in x.unbind(1):
            output, state = self.cell(x_t, state)
            outputs.append(output)
        return torch.stack(outputs, 1), state


@pytest.fixture(name="run")
def _run() -> Callable[..., list[Tensor]]:
    return run


@pytest.fixture(name="agree")
def _agree() -> Callable[..., None]:
    return agree


@pytest.fixture(name="loop")
def _loop() -> Loop:
    return Loop()
