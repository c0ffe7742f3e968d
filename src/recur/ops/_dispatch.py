"""The one place that picks a back end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor

from recur.errors import BackendError
from recur.ops._call import Call, Result, State
from recur.ops._checks import is_autocast

_log = logging.getLogger("recur.ops")


class Backend(Protocol):
    """One way to compute an op."""

    @property
    def name(self) -> str:
        """What `backend=` calls it."""

    def accepts(self, call: Call) -> str | None:
        """Return None when it can run the call, else the reason why not, as a clause ("the state has 3 parts")."""

    def run(self, call: Call) -> Result:
        """Compute outputs (T, B, H), the final state, and where it is asked for the record."""


class TakesSeveral(Backend, Protocol):
    """A back end that computes both directions of a layer, or several layers of a stack, at once."""

    def run_both(self, one: Call, other: Call) -> tuple[Result, Result]:
        """Return what `run` returns for each."""

    def takes_stack(self, calls: Sequence[Call]) -> bool:
        """Return whether `run_stack` can run these, and is better than one call after the other."""

    def run_stack(self, calls: Sequence[Call]) -> tuple[Tensor, list[State]]:
        """Return the last outputs and each final state; each call's x is the outputs of the one before."""


@dataclass(frozen=True)
class Explanation:
    """Which back end runs a call, and why each other one does not.

    Attributes:
        op: The op or layer.
        situation: Device, dtype and what else the choice was made for.
        backend: The name of the back end that runs, or None when the one asked for cannot.
        others: Each other back end's name and why it does not run, fastest first.
    """

    op: str
    situation: str
    backend: str | None
    others: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the choice as `recur info` and a run folder keep it."""
        return {"backend": self.backend, "others": [{"backend": name, "reason": why} for name, why in self.others]}

    def __str__(self) -> str:
        rows = [] if self.backend is None else [(self.backend, "runs")]
        rows += self.others
        width = max(len(name) for name, _ in rows)
        return "\n".join([f"{self.op} ({self.situation}):", *(f"  {name:<{width}}  {why}" for name, why in rows)])


@dataclass(frozen=True)
class Fallback:
    """A call that a slower back end ran because a faster one refused.

    Attributes:
        op: The op.
        backend: The back end that ran.
        refused: The faster back end that did not.
        reason: Why not, in its words.
    """

    op: str
    backend: str
    refused: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} runs on the {self.backend!r} back end, because {self.refused!r} refused: {self.reason}"


_fallbacks: dict[Fallback, None] = {}


def fallbacks() -> tuple[Fallback, ...]:
    """Return every different fallback of this process so far, in the order in which they first happened."""
    return tuple(_fallbacks)


def check_name(owner: str, names: Sequence[str], backend: str) -> None:
    """Raise ValueError unless `backend` is "auto" or one of these names of back ends."""
    known = ["auto", *names]
    if backend not in known:
        raise ValueError(f"{owner}: there is no back end {backend!r}. Choose one of {', '.join(map(repr, known))}.")


def run(backends: Sequence[Backend], call: Call, requested: str = "auto") -> Result:
    """Run `call` on the first back end that accepts it, or on the one asked for.

    Under autocast it is computed in autocast's dtype (float64 stays).

    Args:
        backends: Fastest first.
        call: What to compute.
        requested: "auto", or the name of one back end, which then runs or raises.

    Raises:
        ValueError: No back end has that name.
        BackendError: The one asked for, or every one, refused; the message gives each reason.
    """
    call = _complete(call, requested)
    if call.autocast is None:
        return _run(backends, call, requested)
    with _without_autocast(call):
        return _run(backends, call, requested)


def _takes_several(backend: Backend) -> TypeGuard[TakesSeveral]:
    # To ask whether it keeps the whole protocol takes 20 microseconds, as long as a small step.
    return hasattr(backend, "run_stack")


def run_both(backends: Sequence[Backend], one: Call, other: Call, requested: str = "auto") -> tuple[Result, Result]:
    """Run both directions of a layer, see `run`; a back end that can take both at once gets them so."""
    first = backends[0]
    if _takes_several(first) and requested in ("auto", first.name):
        calls = (_complete(one, requested), _complete(other, requested))
        if all(first.accepts(call) is None for call in calls):
            with _without_autocast(calls[0]):
                return first.run_both(*calls)
    return run(backends, one, requested), run(backends, other, requested)


def run_stack(
    backends: Sequence[Backend], calls: Sequence[Call], requested: str = "auto"
) -> tuple[Tensor, list[State]]:
    """Run the layers of a stack, see `run`: at once where a back end is better so, else one after the other.

    Args:
        backends: Fastest first.
        calls: From the first to the last; each has the outputs of the one before as its x, whatever x it names.
        requested: As of `run`.

    Returns:
        The outputs of the last, and the final state of each.
    """
    first = backends[0]
    if _takes_several(first) and requested in ("auto", first.name):
        completed = [_complete(call, requested) for call in calls]
        if first.takes_stack(completed):
            return first.run_stack(completed)
    output, states = calls[0].x_TBI, []
    for call in calls:
        output, state, _ = run(backends, call._replace(x_TBI=output), requested)
        states.append(state)
    return output, states


def _without_autocast(call: Call) -> AbstractContextManager[Any]:
    """Return the context in which back ends run: what autocast asks for is in the call."""
    return nullcontext() if call.autocast is None else torch.autocast(call.x_TBI.device.type, enabled=False)


def _complete(call: Call, requested: str) -> Call:
    if requested != "auto":
        call = call._replace(is_forced=True)
    device = call.x_TBI.device.type
    return call._replace(autocast=torch.get_autocast_dtype(device)) if is_autocast(device) else call


def _run(backends: Sequence[Backend], call: Call, requested: str) -> Result:
    first = backends[0]
    if requested in ("auto", first.name) and first.accepts(call) is None:
        return first.run(call)
    chosen, others = _choose(backends, call, requested)
    if chosen is None:
        reasons = "; ".join(f"{name!r} refused: {why}" for name, why in others if requested in ("auto", name))
        raise BackendError(f"{call.op}: {reasons}. Choose another back end, or pass backend='auto'.")
    if requested == "auto" and not torch.compiler.is_compiling():
        _record(call.op, chosen, others)
    return chosen.run(call)


def explain(backends: Sequence[Backend], call: Call, requested: str = "auto") -> Explanation:
    """Return which back end `run` would use for the same arguments, and why each other one does not run."""
    call = _complete(call, requested)
    chosen, others = _choose(backends, call, requested)
    situation = [call.x_TBI.device.type, str(call.dtype).removeprefix("torch.")]
    situation += [name for name in ("lengths", "reset") if getattr(call, name) is not None]
    if requested != "auto":
        situation.append(f"backend={requested!r}")
    return Explanation(call.op, ", ".join(situation), None if chosen is None else chosen.name, tuple(others))


def _choose(backends: Sequence[Backend], call: Call, requested: str) -> tuple[Backend | None, list[tuple[str, str]]]:
    """Return the back end that runs (None: none can) and the name and reason of each that does not."""
    check_name(call.op, [each.name for each in backends], requested)
    chosen: Backend | None = None
    others = []
    for backend in backends:
        if requested not in ("auto", backend.name):
            others.append((backend.name, f"not asked for: backend={requested!r}"))
            continue
        reason = backend.accepts(call)
        if reason is not None:
            others.append((backend.name, reason))
        elif chosen is None:
            chosen = backend
        else:
            others.append((backend.name, f"not needed: {chosen.name!r} comes first"))
    return chosen, others


def _record(op: str, chosen: Backend, others: Sequence[tuple[str, str]]) -> None:
    for name, reason in others:
        fallback = Fallback(op, chosen.name, name, reason)
        if not reason.startswith("not needed") and fallback not in _fallbacks:
            _fallbacks[fallback] = None
            _log.warning("%s", fallback)
