"""What every distribution of a forecast can do."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor

from recur.kinds import is_number, is_whole
from recur.score import pinball
from recur.score.counting import floating, weights

Loss: TypeAlias = Literal["nll", "crps", "pinball", "squared"]
"""Negative log likelihood, continuous ranked probability score, pinball loss, squared error of the mean."""

LOSSES: tuple[Loss, ...] = ("nll", "crps", "pinball", "squared")
LEVELS = tuple(tenth / 10 for tenth in range(1, 10))
"""The quantiles that the pinball loss takes where no others are named: the deciles."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distribution(ABC):
    """Distributions of numbers to come, one for each element of a shape (...), such as (B, horizon).

    Its parameters are tensors of that shape, or with one dimension more. An index takes the distributions of some
    elements, as an index of a tensor of that shape would: `forecast[mask]`, `forecast[:, -1]`.
    """

    num_trailing: ClassVar[int] = 0
    """Dimensions that a parameter has beyond (...)."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        parameters = self._parameters()
        for field, value in parameters.items():
            floating(name, field, value)
        shapes = {field: tuple(value.shape) for field, value in parameters.items()}
        if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) < self.num_trailing:
            wanted = "(..., K)" if self.num_trailing else "(...)"
            raise ValueError(f"{name}: parameters must share one shape {wanted}, but have {shapes}.")

    @property
    def shape(self) -> torch.Size:
        """The shape (...): one distribution for each element."""
        full = next(iter(self._parameters().values())).shape
        return full[: len(full) - self.num_trailing]

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Expected values, (...)."""

    @abstractmethod
    def log_prob(self, target: Tensor) -> Tensor:
        """Return the logarithm of the density, or for counts of the probability, at `target`, (...)."""

    @abstractmethod
    def cdf(self, target: Tensor) -> Tensor:
        """Return the probability of values up to `target`, (...), from 0 to 1."""

    @abstractmethod
    def crps(self, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score, (...), in the target's unit; 0 is best.

        It is the integral over x of (F(x) - 1{target <= x})^2 (Gneiting & Raftery 2007, equation 20), and for a point
        the absolute error. NaN where `target` is NaN.
        """

    @abstractmethod
    def rescaled(self, loc: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of `loc + scale * value`, such as back on the scale of a series.

        Args:
            loc: Broadcast to (...).
            scale: Broadcast to (...); above 0, which is not checked.
        """

    @abstractmethod
    def _quantiles(self, levels: Tensor) -> Tensor:
        """Return quantiles at `levels` (Q,), (..., Q)."""

    @abstractmethod
    def _draw(self, num_samples: int, generator: torch.Generator | None, alike: int | None) -> Tensor:
        """Return values (S, ...), those along dimension `alike` of (...) by the same random numbers."""

    def quantile(self, levels: float | Sequence[float]) -> Tensor:
        """Return the smallest values that are not exceeded with the given probabilities.

        Args:
            levels: A probability between 0 and 1, or Q of them.

        Returns:
            (...) for one, (..., Q) for a sequence; with a gradient to the parameters, unless they are counts.

        Raises:
            TypeError: A level is no number.
            ValueError: A level is not between 0 and 1.
        """
        given = (levels,) if is_number(levels) else tuple(levels)  # type: ignore[arg-type]
        for level in given:
            if not is_number(level):
                raise TypeError(f"{type(self).__name__}: a level must be a number, but is {level!r}.")
            if not 0 < level < 1:
                raise ValueError(f"{type(self).__name__}: a level must lie between 0 and 1, but is {level}.")
        values = next(iter(self._parameters().values()))
        found = self._quantiles(torch.tensor(given, dtype=torch.float64, device=values.device)).to(values.dtype)
        return found[..., 0] if is_number(levels) else found

    def sample(
        self,
        num_samples: int | None = None,
        *,
        generator: torch.Generator | None = None,
        alike: int | None = None,
    ) -> Tensor:
        """Return values drawn at random, without a gradient.

        Args:
            num_samples: S values for each distribution; None draws one, without a dimension for it.
            generator: Where the random numbers come from; None is torch's own.
            alike: A dimension of (...), from 0 on, along which all distributions get the same random numbers: those
                that one of them alone would get.

        Returns:
            (...), or (S, ...).

        Raises:
            TypeError: `num_samples` is no whole number.
            ValueError: It is below 1.
        """
        if num_samples is not None and not is_whole(num_samples):
            raise TypeError(f"{type(self).__name__}: num_samples must be an int, but is {type(num_samples).__name__}.")
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"{type(self).__name__}: num_samples is {num_samples}, but must be at least 1.")
        with torch.no_grad():
            drawn = self._draw(num_samples or 1, generator, alike)
        return drawn[0] if num_samples is None else drawn

    def loss(
        self,
        target: Tensor,
        *,
        by: Loss = "nll",
        weight: Tensor | None = None,
        levels: Sequence[float] = LEVELS,
    ) -> Tensor:
        """Return the mean loss over the targets that count.

        What does not count reaches neither the loss nor the gradient, be it NaN.

        Args:
            target: What came, (...), floating. NaN is missing and does not count.
            by: "nll", the negative log likelihood; "crps"; "pinball", its mean over quantiles (Koenker & Bassett 1978);
                "squared", the squared error of the mean.
            weight: How much each target counts, broadcast to (...), floating from 0 on or bool; None counts each as 1.
            levels: Of the quantiles, for "pinball"; the deciles unless others are given.

        Returns:
            (); 0 where nothing counts.

        Raises:
            TypeError: `target` is no floating tensor, or `weight` of the wrong kind.
            ValueError: A shape does not fit; a weight is negative or not finite; or the loss is not among those above,
                or does not exist for this distribution.
        """
        name = type(self).__name__
        if by not in LOSSES:
            raise ValueError(f"{name}: a loss is one of {', '.join(LOSSES)}, but by is {by!r}.")
        if floating(name, "target", target).shape != self.shape:
            raise ValueError(f"{name}: target has shape {tuple(target.shape)}, but must have {tuple(self.shape)}.")
        weight = weights(name, target, weight)
        # Looked for once, for each look takes its time and waits for the device.
        counts = (weight > 0).flatten()
        place = slice(None) if counts.is_cpu and bool(counts.all()) else counts.nonzero()[:, 0]
        chosen, target, weight = self._taken(place), target.flatten()[place], weight.flatten()[place]
        if not len(target):
            return sum((value.sum() for value in chosen._parameters().values()), weight.sum())
        if by == "pinball":
            return pinball(target, chosen.quantile(levels), levels, weight=weight).mean()
        if by == "squared":
            losses = (chosen.mean - target).square()
        else:
            losses = -chosen.log_prob(target) if by == "nll" else chosen.crps(target)
        return (losses * weight).sum() / weight.sum()

    def __getitem__(self, index: Any) -> Self:
        """Return the distributions at `index` of (...)."""
        device = next(iter(self._parameters().values())).device
        return self._taken(torch.arange(self.shape.numel(), device=device).view(self.shape)[index])

    def _taken(self, place: Tensor | slice) -> Self:
        """Return the distributions at some places of (...), counted through, in the shape of `place`."""
        count, dims = self.shape.numel(), len(self.shape)
        parameters = self._parameters()
        taken = {field: value.reshape(count, *value.shape[dims:])[place] for field, value in parameters.items()}
        return dataclasses.replace(self, **taken)

    def _parameters(self) -> dict[str, Tensor]:
        """Return the tensors of shape (...) or (..., K), by name."""
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self) if field.init)
        return {name: value for name, value in fields if not isinstance(value, tuple)}


def draws(
    like: Tensor, num_samples: int, generator: torch.Generator | None, alike: int | None, *, is_normal: bool
) -> Tensor:
    """Return (S, *like.shape) standard normal numbers, or uniform ones that are never 0, of the kind of `like`.

    Along the dimension `alike` of `like` they are the same.
    """
    shape = [num_samples, *like.shape]
    if alike is not None:
        shape[1 + alike] = 1
    kind: dict[str, Any] = {"generator": generator, "dtype": like.dtype, "device": like.device}
    drawn = torch.randn(shape, **kind) if is_normal else 1 - torch.rand(shape, **kind)
    return drawn.expand(num_samples, *like.shape)


def beside(value: Tensor | float, like: Tensor, shape: torch.Size) -> Tensor:
    """Return a number for each of `shape`, (..., 1), of the kind of `like`."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(shape).unsqueeze(-1)
