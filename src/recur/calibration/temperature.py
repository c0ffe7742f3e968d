"""Temperature scaling of a classifier's logits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from recur.score.calibration import counted_classes

_LOWEST, _HIGHEST = 1e-3, 1e3


class Temperature:
    """Divides logits by the one number that makes their probabilities fit held-out outcomes best.

    The likeliest class stays what it is; only how sure the classifier is of it changes.

    Source: Guo et al. (2017), equation 9: the temperature that makes the negative log likelihood smallest. That is
    convex in its inverse, so its slope is followed to the zero by halving.

    Attributes:
        value: The temperature; 1 before `fit`. Above 1 the classifier was too sure. Between 0.001 and 1000, of which
            the first is reached when all held-out predictions are right.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
        >>> temperature = Temperature().fit(logits, torch.tensor([0, 0, 1]))
        >>> temperature(logits)[0].softmax(-1)
        tensor([0.6667, 0.3333])
    """

    def __init__(self) -> None:
        self.value = 1.0

    def fit(
        self, logits: Tensor, target: Tensor, *, weight: Tensor | None = None, smoothing: float = 0.0
    ) -> Temperature:
        """Find the temperature from held-out logits, and return the object.

        Args:
            logits: (..., C), floating; minus infinity rules a class out.
            target: True classes, (...), int64; negative ones are missing and do not count.
            weight: How much each counts, broadcast to `target`, floating from 0 on or bool; None counts each as 1.
            smoothing: Share of each outcome that counts for the other classes, all alike, 0 to below 1; what is ruled
                out has none.

        Raises:
            TypeError: An argument is of the wrong kind.
            ValueError: Shapes do not agree, a class does not exist, a logit is NaN, nothing counts, or `smoothing` is
                out of range.
        """
        name = "Temperature"
        chosen, target, weight = counted_classes(name, "logits", logits, target, weight)
        scores = chosen.detach().double()
        if not 0 <= smoothing < 1:
            raise ValueError(f"{name}: smoothing must be from 0 to below 1, not {smoothing!r}.")
        if not len(target):
            raise ValueError(f"{name}: no target counts, so there is nothing to fit.")
        if bool(scores.isnan().any()):
            raise ValueError(f"{name}: a logit is NaN. Did the training diverge?")
        # Relative to the true class; a class that is ruled out has no probability at any temperature.
        scores = scores - scores.gather(-1, target.unsqueeze(-1))
        is_out = scores == -torch.inf
        finite = torch.where(is_out, 0, scores)
        others = (~is_out).sum(-1) - 1
        # That of the true class is 0.
        expected = smoothing * finite.sum(-1) / others.clamp(min=1)

        def slope(log_inverse: float) -> float:
            """Return the derivative of the negative log likelihood by the inverse temperature."""
            scaled = torch.where(is_out, -torch.inf, finite * math.exp(log_inverse))
            return float((((scaled.softmax(-1) * finite).sum(-1) - expected) * weight).sum())

        low, high = -math.log(_HIGHEST), -math.log(_LOWEST)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if slope(middle) > 0 else (middle, high)
        self.value = math.exp(-(low + high) / 2)
        return self

    def __call__(self, logits: Tensor) -> Tensor:
        """Return logits divided by the temperature, the same shape."""
        return logits / self.value

    def state_dict(self) -> dict[str, float]:
        """Return the temperature."""
        return {"value": self.value}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Take the temperature."""
        self.value = float(state_dict["value"])
