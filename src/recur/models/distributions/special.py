"""Integrals that torch does not have: the incomplete beta function, and the mean difference of counts.

Every function works in float64 on tensors of any shape, and lets gradients through to all of its arguments.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_NUM_NODES = 64
_DROP = 40.0
"""Integrals end where the integrand has fallen to exp(-40) of its height, a small part of float64's rounding."""
_LEAST_SHAPE = 4
"""Below it the integrand of the beta function has tails so long that its nodes would lie too far apart."""
_NEWTON_STEPS = 24


def incomplete_beta(a: Tensor, b: Tensor, logit: Tensor) -> Tensor:
    """Return the regularised incomplete beta function I_x(a, b), where logit = log(x / (1 - x)).

    In the logit, the integrand is smooth and the exponential of a concave function, so Gauss-Legendre quadrature
    between the places where it has died out is exact to rounding for large and small arguments. The integral left of
    `logit` is divided by the whole, which spares the beta function and its cancellations. Small arguments are raised
    first by I_x(a, b) = I_x(a + 1, b) + x^a (1 - x)^b / (a B(a, b)), and the like for b (DLMF 8.17.20 and 8.17.21).

    Args:
        a: First parameter, float64, above 0.
        b: Second parameter, broadcast, above 0.
        logit: Where, broadcast; may be infinite.

    Returns:
        From 0 to 1, the broadcast shape. What has a probability below 1e-17 is lost. The error is below 1e-13, or where
        a parameter is below 4 and the other large, the rounding of the latter's log gamma: 1e-9 at a million.
    """
    a, b, logit = torch.broadcast_tensors(a, b, logit)  # type: ignore[no-untyped-call]
    # Further out the result is 0 or 1 as far as float64 tells.
    logit = logit.clamp(-1e5, 1e5)
    log_x, log_rest = logsigmoid(logit), logsigmoid(-logit)
    raised = torch.zeros_like(logit)
    steps_a, steps_b = ((_LEAST_SHAPE - shape.detach()).ceil().clamp(min=0) for shape in (a, b))
    for step in range(_LEAST_SHAPE):
        term = _power_term(a + step, b, log_x, log_rest) / (a + step)
        raised = raised + torch.where(step < steps_a, term, 0)
    a = a + steps_a
    for step in range(_LEAST_SHAPE):
        term = _power_term(a, b + step, log_x, log_rest) / (b + step)
        raised = raised - torch.where(step < steps_b, term, 0)
    return (raised + _beta_share(a, b + steps_b, logit)).clamp(0, 1)


def log_beta(a: Tensor, b: Tensor) -> Tensor:
    """Return the logarithm of the beta function, as exact as the log gamma of the larger argument."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def normal_cdf(z: Tensor) -> Tensor:
    """Return the distribution function of the standard normal distribution."""
    cdf: Tensor = torch.special.ndtr(z)
    return cdf


def normal_quantile(level: Tensor) -> Tensor:
    """Return the quantile function of the standard normal distribution."""
    quantile: Tensor = torch.special.ndtri(level)
    return quantile


def _power_term(a: Tensor, b: Tensor, log_x: Tensor, log_rest: Tensor) -> Tensor:
    """Return x^a (1 - x)^b / B(a, b)."""
    return torch.exp(a * log_x + b * log_rest - log_beta(a, b))


def _beta_share(a: Tensor, b: Tensor, logit: Tensor) -> Tensor:
    """Return I_x(a, b) for parameters from 4 on."""
    # Measured from the mode, where large parameters do not cancel.
    share, rest = a / (a + b), b / (a + b)

    def drop(v: Tensor, a: Tensor, b: Tensor, share: Tensor, rest: Tensor) -> Tensor:
        # How far the exponent lies below its height, v to the right of the mode.
        return a * torch.log1p(rest * torch.expm1(-v)) + b * torch.log1p(share * torch.expm1(v))

    with torch.no_grad():
        # From outside, Newton's method comes nearer to the ends of a convex function without ever crossing them.
        ends = [-(_DROP - (a + b) * rest.log()) / a, (_DROP - (a + b) * share.log()) / b]
        for _ in range(_NEWTON_STEPS):
            for side, v in enumerate(ends):
                slope = a * b * torch.expm1(v) / (b + a * v.exp())
                ends[side] = v - (drop(v, a, b, share, rest) - _DROP) / slope
    low, high = ends
    v = (logit - (a.log() - b.log())).clamp(low, high)
    shapes = [each.unsqueeze(-1) for each in (a, b, share, rest)]
    left, right = (_integral(lambda nodes: torch.exp(-drop(nodes, *shapes)), *span) for span in ((low, v), (v, high)))
    return left / (left + right)


def half_mean_difference(total_count: Tensor, mean: Tensor) -> Tensor:
    """Return E|X - X'| / 2 of two negative binomial counts that do not depend on each other.

    It is mean / p 2F1(r + 1, 1/2; 2; -z), with p = r / (r + mean) and z = 4 (1 - p) / p^2 (Wei & Held 2014, in the form
    of Jordan et al. 2019), where Euler's integral of the hypergeometric function is
    4 / pi times the integral over v from 0 on of (1 + v^2)^-2 (1 + z v^2 / (1 + v^2))^-(r + 1).

    Args:
        total_count: r, float64, above 0.
        mean: Broadcast, above 0.
    """
    r, mean = torch.broadcast_tensors(total_count, mean)  # type: ignore[no-untyped-call]
    z = 4 * mean * (r + mean) / r.square()

    def log_integrand(s: Tensor, r: Tensor, z: Tensor) -> Tensor:
        # With v = sinh(s) / sqrt(1 + z) it falls from the start, first on the scale of z and then on that of 1.
        square = s.sinh().square() / (1 + z)
        return s.cosh().log() - 2 * torch.log1p(square) - (r + 1) * torch.log1p(z * square / (1 + square))

    with torch.no_grad():
        end = bisect(lambda s: log_integrand(s, r, z) < -_DROP, torch.zeros_like(z), torch.full_like(z, 80.0))
    shapes = r.unsqueeze(-1), z.unsqueeze(-1)
    area = _integral(lambda nodes: torch.exp(log_integrand(nodes, *shapes)), torch.zeros_like(end), end)
    difference: Tensor = mean * (1 + mean / r) * (4 / math.pi) * area / (1 + z).sqrt()
    return difference


def bisect(is_above: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, num_steps: int = 60) -> Tensor:
    """Return where a condition begins to hold between `low` and `high`: the end where it holds after all halvings.

    Args:
        is_above: Points to bools, of the shape of `low`: false left of the place, true right of it.
        low: Where it is false.
        high: Where it is true.
        num_steps: Halvings; the default leaves nothing but rounding.
    """
    for _ in range(num_steps):
        middle = low + (high - low) / 2
        above = is_above(middle)
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return high


def through(value: Tensor, cdf: Tensor, density: Tensor) -> Tensor:
    """Return `value`, a quantile found without a gradient, with the gradient that the implicit function theorem gives.

    Args:
        value: Where the distribution function has the level asked for, detached.
        cdf: The distribution function there, with a gradient to the parameters.
        density: The density there.
    """
    return value + (cdf.detach() - cdf) / density.detach()


def _integral(integrand: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Return integrals by Gauss-Legendre quadrature, `integrand` from (..., nodes) to the same, ends (...)."""
    nodes, weights = (torch.tensor(each, dtype=low.dtype, device=low.device) for each in _rule())
    span = (high - low).unsqueeze(-1)
    return (integrand(low.unsqueeze(-1) + span * nodes) * weights).sum(-1) * (high - low)


@functools.cache
def _rule() -> tuple[list[float], list[float]]:
    """Return nodes and weights between 0 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_NODES)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
