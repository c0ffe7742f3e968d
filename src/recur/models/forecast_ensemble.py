"""Several forecast networks that speak as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from recur.kinds import is_whole
from recur.models.distributions import Distribution, Gaussian, GaussianMixture, NegativeBinomial, Point, Quantiles
from recur.models.forecast_network import ForecastNetwork
from recur.models.series_reader import ReaderState

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch

_LEVELS = (0.005, 0.01, 0.025, *(step / 20 for step in range(1, 20)), 0.975, 0.99, 0.995)
"""Of the quantiles that stand for distributions which have no mixture of their kind."""

State = tuple[ReaderState, ...]
"""That of each member."""


class ForecastEnsemble(nn.Module):
    """Forecast networks of one form, trained from different seeds, each of which counts alike (Lakshminarayanan 2017).

    It is called as one of them is; its state has one for each.

    Args:
        members: At least one.

    Raises:
        ValueError: There is none.
    """

    def __init__(self, members: Sequence[ForecastNetwork]) -> None:
        super().__init__()
        if not members:
            raise ValueError("ForecastEnsemble: members is empty, but must have at least one network.")
        self.members = nn.ModuleList(members)

    def forward(self, batch: SeriesBatch, state: State | None = None) -> tuple[Distribution, State]:
        """Return what follows each row's last step, as `pooled` puts it together, and the states there.

        Args:
            batch: As of `ForecastNetwork`.
            state: As it was returned for the steps before; None if there were none.

        Raises:
            ValueError: As of `ForecastNetwork`.
        """
        told = [member(batch, own) for member, own in self._with_states(state)]
        return pooled([forecast for forecast, _ in told]), tuple(after for _, after in told)

    @property
    def tells_between(self) -> bool:
        """As of the members."""
        return self.networks[0].tells_between

    def begin(self, count: int) -> State:
        """Return the state of so many series before their first step."""
        return tuple(member.begin(count) for member in self.networks)

    def read(self, batch: SeriesBatch, state: State | None = None) -> State:
        """Return the states after each row's last step, without telling anything; as of `ForecastNetwork.read`."""
        return tuple(member.read(batch, own) for member, own in self._with_states(state))

    def told_after(
        self, batch: SeriesBatch, state: State | None, row: Tensor, step: Tensor
    ) -> tuple[Distribution, State]:
        """Return what follows after some of the steps of a batch, and the states after each row's last one.

        Arguments and errors are those of `ForecastNetwork.told_after`.
        """
        told = [member.told_after(batch, own, row, step) for member, own in self._with_states(state)]
        return pooled([forecast for forecast, _ in told]), tuple(after for _, after in told)

    def forecast_loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean of the members' losses of their forecasts, (), which is no less than that of all together.

        Raises:
            ValueError: As of `ForecastNetwork.forecast_loss`.
        """
        return torch.stack([member.forecast_loss(batch) for member in self.networks]).mean()

    def sample(self, batch: SeriesBatch, num_paths: int, generator: torch.Generator | None = None) -> Tensor:
        """Return paths drawn at random, (num_paths, B, P, C); each is one member's, which take turns.

        Arguments and errors are those of `ForecastNetwork.sample`.
        """
        if not is_whole(num_paths, 1):
            return self.networks[0].sample(batch, num_paths, generator)
        count = len(self.members)
        drawn = [
            (torch.arange(number, num_paths, count), member)
            for number, member in enumerate(self.networks)
            if number < num_paths
        ]
        paths = torch.cat([member.sample(batch, len(turns), generator) for turns, member in drawn])
        order = torch.cat([turns for turns, _ in drawn]).argsort()
        return paths[order.to(paths.device)]

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs each recurrent layer of a member, and why each other one does not."""
        return self.networks[0].explain(batch_size, num_steps)

    @property
    def networks(self) -> list[ForecastNetwork]:
        """The members, as what they are."""
        return [cast("ForecastNetwork", member) for member in self.members]

    def _with_states(self, state: State | None) -> list[tuple[ForecastNetwork, ReaderState | None]]:
        states = (None,) * len(self.members) if state is None else state
        return list(zip(self.networks, states, strict=True))


def pooled(forecasts: Sequence[Distribution]) -> Distribution:
    """Return one distribution for several of one kind and shape, each of which counts alike.

    | kind | becomes |
    | --- | --- |
    | normal, and mixtures of these | the mixture of all |
    | points | their mean |
    | quantiles | the mean of each |
    | negative binomial | the one with the mixture's mean and second factorial moment, which scaling leaves alone |
    | others | the means of quantiles from 0.5 % to 99.5 % (Vincent 1912) |

    Args:
        forecasts: At least one.
    """
    first = forecasts[0]
    if len(forecasts) == 1:
        return first
    if isinstance(first, Point):
        return Point(value=_mean("value", forecasts))
    if isinstance(first, Quantiles):
        return Quantiles(values=_mean("values", forecasts), levels=first.levels)
    if isinstance(first, Gaussian):
        loc, scale = (_stacked(name, forecasts).movedim(0, -1) for name in ("loc", "scale"))
        return GaussianMixture(logits=torch.zeros_like(loc), loc=loc, scale=scale)
    if isinstance(first, GaussianMixture):
        logits, loc, scale = (
            torch.cat([getattr(one, name) for one in forecasts], -1) for name in ("logits", "loc", "scale")
        )
        shares = torch.cat([part.log_softmax(-1) for part in logits.chunk(len(forecasts), -1)], -1)
        return GaussianMixture(logits=shares, loc=loc, scale=scale)
    if isinstance(first, NegativeBinomial):
        rates, counts = (_stacked(name, forecasts).double() for name in ("rate", "total_count"))
        rate = rates.mean(0)
        # E X (X - 1) of a negative binomial is rate^2 (1 + 1 / r), so that its excess over that of Poisson's is this.
        excess = (rates - rate).square().mean(0) + (rates.square() / counts).mean(0)
        count = (rate.square() / excess.clamp(min=1e-300)).clamp(1e-6, 1e12)
        return NegativeBinomial(rate=rate.to(first.rate), total_count=count.to(first.rate))
    values = torch.stack([forecast.quantile(_LEVELS) for forecast in forecasts]).mean(0)
    return Quantiles(values=values, levels=_LEVELS)


def _stacked(name: str, forecasts: Sequence[Distribution]) -> Tensor:
    return torch.stack([getattr(forecast, name) for forecast in forecasts])


def _mean(name: str, forecasts: Sequence[Distribution]) -> Tensor:
    return _stacked(name, forecasts).mean(0)
