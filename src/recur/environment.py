"""What this machine and this installation are, as `recur info` shows it and a run folder keeps it."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

_PACKAGES = ("torch", "lightning", "numpy", "tokenizers", "safetensors", "plotly")


def collect() -> dict[str, Any]:
    """Return versions, platform, processor, threads and GPUs; it can be written as JSON as it is.

    Returns:
        `versions` (package to version, or None when it is not installed), `platform`, `cpu`, `threads` and `cuda`. What
        is missing has a `missing` entry with the reason in place of its own entries.

    Raises:
        OptionError: The environment variable `RECUR_CPU_ISA` names no instruction set of this processor.
    """
    import torch

    from recur import __version__, engine

    return {
        "versions": {"recur": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "threads": {
            "hardware": engine.hardware_threads(),
            "usable": engine.num_threads(),
            "torch": torch.get_num_threads(),
        },
        "cuda": _cuda(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> dict[str, Any]:
    from recur import engine

    reason = engine.missing_reason()
    if reason is not None:
        return {"missing": reason}
    features = engine.cpu_features()
    return {
        "brand": features.brand,
        "architecture": features.architecture,
        "features": list(features.flags),
        "best_isa": features.best_isa,
        "isa": engine.chosen_isa(),
        "l1d_bytes": features.l1d_bytes,
        "l2_bytes": features.l2_bytes,
        "l3_bytes": features.l3_bytes,
    }


def _cuda() -> dict[str, Any]:
    import torch

    if torch.version.cuda is None:
        return {"missing": f"torch {torch.__version__} is built without CUDA"}
    if not torch.cuda.is_available():
        return {"missing": f"torch is built for CUDA {torch.version.cuda}, but finds no driver or no GPU"}
    return {
        "version": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }
