"""The compiled part of recur, asked from Python: processor features, instruction set, threads.

The library works without it, only slower: `missing_reason` says why it is not there. One that was built by a compiler
without vector extensions has no kernels: `missing_kernels` says so.

The environment variable `RECUR_CPU_ISA` caps the instruction set of the kernels (`baseline`, `avx2`, `avx512`,
`avx512_bf16`, `avx512_amx`, or `neon` on Arm). It is read on every use, so a wrong value is an error of the call, not
of the import.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import ModuleType

import torch

from recur.errors import BackendError, OptionError


@dataclass(frozen=True, kw_only=True)
class CpuFeatures:
    """What the processor and the operating system offer.

    Attributes:
        architecture: `x86_64`, `aarch64` or `other`.
        brand: The processor's name as its maker writes it; empty when unknown.
        flags: Features that the processor has and the system has enabled, sorted, named as in Linux's `/proc/cpuinfo`.
            Only those that matter to kernels are looked for.
        best_isa: The widest instruction set that kernels can use here.
        l1d_bytes: Size of the first-level data cache of one core; 0 when unknown, like the next two.
        l2_bytes: Size of the second-level cache.
        l3_bytes: Size of the third-level cache.
    """

    architecture: str
    brand: str
    flags: tuple[str, ...]
    best_isa: str
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int


def _engine() -> ModuleType:
    from recur import _engine

    return _engine


def missing_reason() -> str | None:
    """Return why the compiled module cannot be used, or None when it can."""
    try:
        _engine()
    except ImportError as error:
        return (
            f"the compiled module recur._engine cannot be imported ({' '.join(str(error).split())}); "
            "install recur from a wheel, or from source with a C++17 compiler"
        )
    return None


def is_available() -> bool:
    """Return whether the compiled module can be used; `missing_reason` tells why not."""
    return missing_reason() is None


def missing_kernels() -> str | None:
    """Return why layers cannot run on the compiled kernels, or None when they can."""
    # Each call of a layer comes here, and even an import that has nothing to do takes a microsecond.
    if hasattr(sys.modules.get("recur._engine"), "Recurrence32"):
        return None
    reason = missing_reason()
    if reason is None:
        return "the compiled module recur._engine was built without kernels; build it with GCC or Clang"
    return reason


def _needed_engine() -> ModuleType:
    reason = missing_reason()
    if reason is not None:
        raise BackendError(f"engine: {reason}.")
    return _engine()


def cpu_features() -> CpuFeatures:
    """Return what the processor offers.

    Raises:
        BackendError: The compiled module is missing.

    Example:
        >>> features = cpu_features()
        >>> features.best_isa in {"baseline", "avx2", "avx512", "avx512_bf16", "avx512_amx", "neon"}
        True
    """
    found = _needed_engine().cpu_features()
    return CpuFeatures(
        architecture=found.architecture,
        brand=found.brand,
        flags=tuple(found.flags),
        best_isa=found.best_isa,
        l1d_bytes=found.l1d_bytes,
        l2_bytes=found.l2_bytes,
        l3_bytes=found.l3_bytes,
    )


def chosen_isa() -> str:
    """Return the instruction set that kernels use: the processor's best one, capped by `RECUR_CPU_ISA`.

    Raises:
        BackendError: The compiled module is missing.
        OptionError: `RECUR_CPU_ISA` names no instruction set of this architecture.
    """
    engine = _needed_engine()
    try:
        return str(engine.chosen_isa())
    except ValueError as error:
        raise OptionError(str(error)) from error


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for the tensors of the next training step.

    By default the C library of Linux (glibc) hands every large piece back to the system, which clears each page anew
    when it is asked for again. Keeping it makes the training step of a language model about a fifth shorter on two
    cores; in exchange the process stays as large as it has once been, until it ends.

    Returns:
        Whether it could be done: only with glibc, and with the compiled module.
    """
    return is_available() and bool(_engine().keep_freed_memory())


def peak_flops(dtype: torch.dtype, threads: int) -> float:
    """Return how many multiplications and additions a second the processor does in registers, measured now.

    Args:
        dtype: torch.float32 or torch.float64.
        threads: How many at once; at least one, and no more than the machine has logical processors.

    Raises:
        BackendError: The compiled module or its kernels are missing.
        ValueError: The kernels do not know the dtype.
    """
    reason = missing_kernels()
    if reason is not None:
        raise BackendError(f"engine: {reason}.")
    engine = _engine()
    measure = {torch.float32: engine.peak_flops_float32, torch.float64: engine.peak_flops_float64}.get(dtype)
    if measure is None:
        raise ValueError(f"peak_flops: dtype must be torch.float32 or torch.float64, but is {dtype}.")
    return float(measure(max(1, min(threads, hardware_threads()))))


def num_threads() -> int:
    """Return how many threads this process may keep busy; at least 1.

    The affinity mask counts, and so does the CPU quota of the control group (what `docker --cpus` sets). Without the
    compiled module the quota is not looked at.
    """
    if is_available():
        return int(_engine().usable_threads())
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware_threads() -> int:
    """Return how many logical processors the machine has on line, whether this process may use them or not."""
    return int(_engine().hardware_threads()) if is_available() else os.cpu_count() or 1


# Loaded here, not with the first call: in a process that is forked in between, the kernels have to know that it was.
missing_reason()
