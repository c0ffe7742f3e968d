"""What a network says of a number to come: distributions that can be scored, drawn from and put back to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.models.distributions.distribution import Distribution as Distribution
    from recur.models.distributions.gaussian import Gaussian as Gaussian
    from recur.models.distributions.mixture import GaussianMixture as GaussianMixture
    from recur.models.distributions.negative_binomial import NegativeBinomial as NegativeBinomial
    from recur.models.distributions.point import Point as Point
    from recur.models.distributions.quantiles import Quantiles as Quantiles
    from recur.models.distributions.student import StudentT as StudentT

_ORIGINS = {
    "Distribution": ".distribution",
    "Gaussian": ".gaussian",
    "GaussianMixture": ".mixture",
    "NegativeBinomial": ".negative_binomial",
    "Point": ".point",
    "Quantiles": ".quantiles",
    "StudentT": ".student",
}
__all__ = [
    "Distribution",
    "Gaussian",
    "GaussianMixture",
    "NegativeBinomial",
    "Point",
    "Quantiles",
    "StudentT",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
