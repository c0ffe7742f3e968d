"""The gradient through time: how far back it goes, what is done to it before a step, what it says of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.gradients.attribution import attribute as attribute
    from recur.gradients.clipping import clip_gradients as clip_gradients
    from recur.gradients.deletion import Deletion as Deletion
    from recur.gradients.deletion import check_by_deletion as check_by_deletion
    from recur.gradients.diagnosis import Finding as Finding
    from recur.gradients.diagnosis import Training as Training
    from recur.gradients.diagnosis import diagnose as diagnose
    from recur.gradients.jacobian import state_jacobian as state_jacobian
    from recur.gradients.probing import Probe as Probe
    from recur.gradients.probing import probe as probe
    from recur.gradients.truncation import TruncatedBPTT as TruncatedBPTT
    from recur.gradients.window_lengths import WindowLengths as WindowLengths
    from recur.gradients.windows import Window as Window

_ORIGINS = {
    "Deletion": ".deletion",
    "Finding": ".diagnosis",
    "Probe": ".probing",
    "Training": ".diagnosis",
    "TruncatedBPTT": ".truncation",
    "Window": ".windows",
    "WindowLengths": ".window_lengths",
    "attribute": ".attribution",
    "check_by_deletion": ".deletion",
    "clip_gradients": ".clipping",
    "diagnose": ".diagnosis",
    "probe": ".probing",
    "state_jacobian": ".jacobian",
}
__all__ = [
    "Deletion",
    "Finding",
    "Probe",
    "Training",
    "TruncatedBPTT",
    "Window",
    "WindowLengths",
    "attribute",
    "check_by_deletion",
    "clip_gradients",
    "diagnose",
    "probe",
    "state_jacobian",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
