"""The gradient through time: how far back it goes, what is done to it before a step, what it says of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.gradients.attributions.attribution import attribute as attribute
    from recur.gradients.attributions.deletion import Deletion as Deletion
    from recur.gradients.attributions.deletion import check_by_deletion as check_by_deletion
    from recur.gradients.penalties.activations import activation_penalty as activation_penalty
    from recur.gradients.penalties.activations import temporal_penalty as temporal_penalty
    from recur.gradients.penalties.jacobian import jacobian_penalty as jacobian_penalty
    from recur.gradients.probes.diagnosis import Finding as Finding
    from recur.gradients.probes.diagnosis import Training as Training
    from recur.gradients.probes.diagnosis import diagnose as diagnose
    from recur.gradients.probes.jacobian import state_jacobian as state_jacobian
    from recur.gradients.probes.probing import Probe as Probe
    from recur.gradients.probes.probing import probe as probe
    from recur.gradients.recomputation.budget import Plan as Plan
    from recur.gradients.recomputation.checkpointed import Checkpointed as Checkpointed
    from recur.gradients.truncation.bptt import TruncatedBPTT as TruncatedBPTT
    from recur.gradients.truncation.window_lengths import WindowLengths as WindowLengths
    from recur.gradients.truncation.windows import Window as Window
    from recur.gradients.updates.clipping import Clipping as Clipping
    from recur.gradients.updates.clipping import clip_gradients as clip_gradients
    from recur.gradients.updates.guard import FiniteGuard as FiniteGuard
    from recur.gradients.updates.nonfinite import find_nonfinite as find_nonfinite
    from recur.gradients.updates.norms import gradient_norms as gradient_norms
    from recur.gradients.updates.norms import layers_of as layers_of
    from recur.gradients.updates.place import NonFinite as NonFinite

_ORIGINS = {
    "Checkpointed": ".recomputation.checkpointed",
    "Clipping": ".updates.clipping",
    "Deletion": ".attributions.deletion",
    "Finding": ".probes.diagnosis",
    "FiniteGuard": ".updates.guard",
    "NonFinite": ".updates.place",
    "Plan": ".recomputation.budget",
    "Probe": ".probes.probing",
    "Training": ".probes.diagnosis",
    "TruncatedBPTT": ".truncation.bptt",
    "Window": ".truncation.windows",
    "WindowLengths": ".truncation.window_lengths",
    "activation_penalty": ".penalties.activations",
    "attribute": ".attributions.attribution",
    "check_by_deletion": ".attributions.deletion",
    "clip_gradients": ".updates.clipping",
    "diagnose": ".probes.diagnosis",
    "find_nonfinite": ".updates.nonfinite",
    "gradient_norms": ".updates.norms",
    "jacobian_penalty": ".penalties.jacobian",
    "layers_of": ".updates.norms",
    "probe": ".probes.probing",
    "state_jacobian": ".probes.jacobian",
    "temporal_penalty": ".penalties.activations",
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
