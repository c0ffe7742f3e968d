"""What a run was made with: versions, processor, threads, back ends."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("torch", "lightning", "numpy", "tokenizers", "safetensors")


def collect() -> dict[str, Any]:
    """Return the environment as it stands in `env.json`."""
    import torch

    import recur
    from recur import engine

    reason = engine.missing_reason()
    features = engine.cpu_features() if reason is None else None
    return {
        "recur": recur.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "cpu": features.brand if features is not None else platform.processor(),
        "isa": list(features.flags) if features is not None else [],
        "engine": reason or "available",
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
