"""The gradient through time: how far back it goes, what is done to it before a step, what it says of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.gradients.attribution import attribute as attribute
    from recur.gradients.budget import Plan as Plan
    from recur.gradients.clipping import Clipping as Clipping
    from recur.gradients.clipping import clip_gradients as clip_gradients
    from recur.gradients.deletion import Deletion as Deletion
    from recur.gradients.deletion import check_by_deletion as check_by_deletion
    from recur.gradients.diagnosis import Finding as Finding
    from recur.gradients.diagnosis import Training as Training
    from recur.gradients.diagnosis import diagnose as diagnose
    from recur.gradients.gradient_flow import jacobian_penalty as jacobian_penalty
    from recur.gradients.grouping import gradient_norms as gradient_norms
    from recur.gradients.grouping import layers_of as layers_of
    from recur.gradients.guard import FiniteGuard as FiniteGuard
    from recur.gradients.jacobian import state_jacobian as state_jacobian
    from recur.gradients.nonfinite import find_nonfinite as find_nonfinite
    from recur.gradients.penalties import activation_penalty as activation_penalty
    from recur.gradients.penalties import temporal_penalty as temporal_penalty
    from recur.gradients.place import NonFinite as NonFinite
    from recur.gradients.probing import Probe as Probe
    from recur.gradients.probing import probe as probe
    from recur.gradients.recomputation import Checkpointed as Checkpointed
    from recur.gradients.truncation import TruncatedBPTT as TruncatedBPTT
    from recur.gradients.window_lengths import WindowLengths as WindowLengths
    from recur.gradients.windows import Window as Window

_ORIGINS = {
    "Checkpointed": ".recomputation",
    "Clipping": ".clipping",
    "Deletion": ".deletion",
    "Finding": ".diagnosis",
    "FiniteGuard": ".guard",
    "NonFinite": ".place",
    "Plan": ".budget",
    "Probe": ".probing",
    "Training": ".diagnosis",
    "TruncatedBPTT": ".truncation",
    "Window": ".windows",
    "WindowLengths": ".window_lengths",
    "activation_penalty": ".penalties",
    "attribute": ".attribution",
    "check_by_deletion": ".deletion",
    "clip_gradients": ".clipping",
    "diagnose": ".diagnosis",
    "find_nonfinite": ".nonfinite",
    "gradient_norms": ".grouping",
    "jacobian_penalty": ".gradient_flow",
    "layers_of": ".grouping",
    "probe": ".probing",
    "state_jacobian": ".jacobian",
    "temporal_penalty": ".penalties",
}
__all__ = [
    "Checkpointed",
    "Clipping",
    "Deletion",
    "Finding",
    "FiniteGuard",
    "NonFinite",
    "Plan",
    "Probe",
    "Training",
    "TruncatedBPTT",
    "Window",
    "WindowLengths",
    "activation_penalty",
    "attribute",
    "check_by_deletion",
    "clip_gradients",
    "diagnose",
    "find_nonfinite",
    "gradient_norms",
    "jacobian_penalty",
    "layers_of",
    "probe",
    "state_jacobian",
    "temporal_penalty",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
