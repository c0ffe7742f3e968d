"""Networks that tell what comes next in series, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.autoregressive_forecast import AutoregressiveForecast
from recur.models.direct_forecast import DirectForecast
from recur.models.distributions import Distribution, Quantiles
from recur.models.forecast_heads import Told, as_judged, judged
from recur.models.forecast_start import ForecastStart
from recur.models.forecast_start_fit import fit_start
from recur.models.forecaster_options import ForecasterOptions
from recur.models.heads import QuantileHead
from recur.models.layer_back_ends import explain_layers
from recur.models.series_reader import ReaderState
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline

if TYPE_CHECKING:
    from recur.data.series import SeriesBatch


class ForecastNetwork(nn.Module):
    """Reads many series and tells what follows, as distributions of the scaled values.

    A reader, made of recurrent layers, goes over the steps that were; by `options.kind` all steps to come are then told
    at once (`DirectForecast`), or one after the other (`AutoregressiveForecast`). It sees numbers with marks where one
    is missing, calendar features, categories and what the series is; of the steps to come what is known of them, and
    never the targets. The state is an argument and a result: reading a window in two pieces, the second from the state
    after the first, tells the same as reading it at once.

    Args:
        options: Every value chosen.
        shape: Of the batches that it will read.

    Raises:
        OptionError: Options are incomplete, or the shape has no horizon.

    Example:
        >>> from recur.data.series import Panel, Part, Windows
        >>> panel = Panel.of_rows(["a"], [50], torch.arange(50.0).sin()[:, None].numpy())
        >>> windows = Windows(Part.whole(panel), history=12, horizon=3, batch_size=8)
        >>> shape = SeriesShape.of(panel.schema, windows.channels, windows.future_channels, 3)
        >>> options = ForecasterOptions(
        ...     kind="encoder-decoder", history=12, hidden_size=16, head="gaussian", normalize="last", level=False
        ... )
        >>> network = ForecastNetwork(options, shape)
        >>> forecast, state = network(next(iter(windows)))
        >>> forecast.mean.shape, forecast.quantile(0.9).shape
        (torch.Size([8, 3, 1]), torch.Size([8, 3, 1]))
    """

    def __init__(self, options: ForecasterOptions, shape: SeriesShape) -> None:
        super().__init__()
        if not options.is_complete:
            raise OptionError(
                "ForecastNetwork: options must give kind, history, hidden_size, head, normalize and level, and segment "
                "with kind segments; choose_forecaster chooses what is missing."
            )
        if options.season not in (None, 1) and not options.rules:
            raise OptionError(f"ForecastNetwork: season is {options.season}, but rules, which need it, is not true.")
        if not shape.horizon:
            raise OptionError("ForecastNetwork: the shape has no horizon, so there is nothing to forecast.")
        self.options, self.shape = options, shape
        is_fed_back = options.kind == "autoregressive"
        self.body = (AutoregressiveForecast if is_fed_back else DirectForecast)(options, shape)

    def forward(self, batch: SeriesBatch, state: ReaderState | None = None) -> tuple[Distribution, ReaderState]:
        """Return what follows each row's last step, and the state there.

        Args:
            batch: Windows; `target` and `weight` are not looked at. A row without history is told from the initial
                state alone.
            state: After the steps before those of the batch; None if there were none.

        Returns:
            Distributions of the shape (B, P, C) on the scaled values; `rescaled(centre, scale)` with the batch's own,
            as (B, 1, C), brings them back. With kind autoregressive they are, for several steps, quantiles of
            `num_paths` paths, or for points the one path; these have no gradient.

        Raises:
            ValueError: The batch has another shape than the network was built for.
        """
        self._check(batch)
        found: tuple[Distribution, ReaderState] = self.body(batch, state)
        return found

    @torch.no_grad()
    def start(self, batches: Iterable[SeriesBatch]) -> None:
        """Begin at rules that few values tell better than a network, mixed as tells the training part best.

        The mix is that of `fit_start`; the head's weights become zero, so that nothing else is said before training,
        with intervals as wide as the mix misses. Without `options.rules` forecasts start from no rules, and nothing is
        changed.

        Args:
            batches: Windows of the training part, on the CPU; all that they say of the rules is in memory at once.
        """
        shape, reader = self.shape, self.body.reader
        start: ForecastStart | None = reader.start
        if start is None:
            return
        found: list[tuple[Tensor, ...]] = []
        for batch in batches:
            self._check(batch)
            timeline = Timeline.of(batch, shape, torch.float64)
            targets, is_there = (each[..., : shape.num_targets] for each in (timeline.numbers, timeline.is_there))
            known, _ = start.remember(targets, is_there, timeline.lengths)
            row = torch.arange(len(batch.lengths))
            scale = reader.normalized(timeline).place.scale[batch.lengths, row]
            anchors, mean = start.anchors(known, scale, batch.lengths, row)
            # An autoregressive network is taught one step.
            steps = slice(start.num_steps)
            unit = scale[:, None]
            weight = batch.weight[:, steps].double()
            beyond = torch.where(weight > 0, (batch.target[:, steps].double() - mean[:, None]) / unit, 0)
            found.append((anchors / unit[..., None], beyond, weight, batch.index, batch.row))
        if found:
            gathered = (torch.cat(each) for each in zip(*found, strict=True))
            start.put(*fit_start(*gathered, has_season=bool(start.season)))
        self.body.output.start()

    @property
    def starts_at_rules(self) -> bool:
        """Whether forecasts start from rules, which `start` mixes: the option `rules`."""
        return self.body.reader.start is not None

    @property
    def tells_between(self) -> bool:
        """Whether `told_after` can tell from within a batch, or only after the last step of each row."""
        return self.options.kind != "autoregressive" or self.shape.horizon == 1

    def begin(self, count: int) -> ReaderState:
        """Return the state of so many series before their first step."""
        return self.body.reader.begin(count)

    def read(self, batch: SeriesBatch, state: ReaderState | None = None) -> ReaderState:
        """Return the state after each row's last step, without telling anything.

        Args:
            batch: Steps to read; of `future` a network of kind autoregressive reads the first step.
            state: As of `forward`.

        Raises:
            ValueError: The batch has another shape than the network was built for.
        """
        self._check(batch)
        return self.body.read(batch, state)

    def told_after(
        self, batch: SeriesBatch, state: ReaderState | None, row: Tensor, step: Tensor
    ) -> tuple[Distribution, ReaderState]:
        """Return what follows after some of the steps of a batch, and the state after each row's last one.

        What it says after a step is what `forward` says of a batch that ends there, if what is known of the future is
        the same.

        Args:
            batch: As of `forward`.
            state: As of `forward`.
            row: Which row, (M,) int64.
            step: How many of its steps were read, (M,), from 0 up to the row's length.

        Returns:
            Distributions of the shape (M, P, C) on the scaled values, and the state.

        Raises:
            ValueError: The batch has another shape than the network was built for; or a step is not the last of its
                row, and `tells_between` is false.
        """
        self._check(batch)
        found: tuple[Distribution, ReaderState] = self.body.told_after(batch, state, row, step)
        return found

    def loss(self, batch: SeriesBatch, state: ReaderState | None = None) -> Tensor:
        """Return what training makes small, the mean of the head's loss, ().

        Besides the steps after the window it counts those within, see `DirectForecast` and `AutoregressiveForecast`,
        each by its own weight.

        Args:
            batch: Windows.
            state: As of `forward`; no gradient goes further back than a detached one.

        Raises:
            ValueError: The batch has another shape than the network was built for; or it has targets that are no
                counts, or were centred, with head negative-binomial.
        """
        self._check(batch)
        return judged(self.body.output.head, self.body.told(batch, state), batch)

    def forecast_loss(self, batch: SeriesBatch) -> Tensor:
        """Return the mean loss of the forecasts of `forward` alone, (): what validation goes by.

        It is the head's loss; but the quantiles of paths have no likelihood to speak of, so that they are judged by the
        pinball loss in its place.

        Raises:
            ValueError: As of `loss`.
        """
        rows = torch.arange(len(batch.lengths), device=batch.lengths.device)
        return self.forecast_losses(batch, [rows])[0]

    def forecast_losses(self, batch: SeriesBatch, rows: Sequence[Tensor]) -> list[Tensor]:
        """Return what `forecast_loss` is of some rows of a batch alone, () for each.

        Args:
            batch: Windows.
            rows: Which, (N,) int64 each.

        Raises:
            ValueError: As of `loss`.
        """
        forecast, _ = self(batch)
        target, weight = batch.target.to(forecast.mean.dtype), batch.weight.to(forecast.mean.dtype)
        head = self.body.output.head
        by = head.loss_kind
        if isinstance(forecast, Quantiles) and not isinstance(head, QuantileHead) and by == "nll":
            by = "pinball"
        told = as_judged(head, Told(forecast, target, weight), batch)
        return [told.forecast[own].loss(told.target[own], by=by, weight=told.weight[own]) for own in rows]

    def sample(self, batch: SeriesBatch, num_paths: int, generator: torch.Generator | None = None) -> Tensor:
        """Return paths drawn at random on the scaled values, (num_paths, B, P, C), without a gradient.

        With kind autoregressive each step of a path is drawn given those before. The other kinds tell each step alone,
        so that they draw it without regard to the others: do not add such steps up.

        Args:
            batch: Windows, as of `forward`.
            num_paths: How many, S.
            generator: Where the random numbers come from; None is torch's own.

        Raises:
            TypeError: `num_paths` is no whole number.
            ValueError: It is below 1, or the batch has another shape than the network was built for.
        """
        if not is_whole(num_paths):
            raise TypeError(f"ForecastNetwork: num_paths must be an int, but is {type(num_paths).__name__}.")
        if num_paths < 1:
            raise ValueError(f"ForecastNetwork: num_paths is {num_paths}, but must be at least 1.")
        self._check(batch)
        with torch.no_grad():
            return self.body.paths(batch, num_paths, generator)

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the output layer, which a bound on the gradient of each unit leaves alone."""
        return self.body.output.parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs each recurrent layer on windows of this shape, and why each other one does not."""
        return explain_layers(self, batch_size, num_steps)

    def _check(self, batch: SeriesBatch) -> None:
        shape = self.shape
        found = {
            "numbers": (batch.x.shape[2], shape.num_features),
            "numbers known of the future": (_width(batch.future), shape.num_future),
            "categories": (_width(batch.codes), len(shape.past_sizes) + len(shape.known_sizes)),
            "categories known of the future": (_width(batch.future_codes), len(shape.known_sizes)),
            "static numbers": (_width(batch.static), shape.num_static),
            "static categories": (_width(batch.static_codes), len(shape.static_sizes)),
            "targets": (batch.target.shape[-1], shape.num_targets),
            "steps to tell": (batch.target.shape[1] if batch.target.dim() == 3 else 0, shape.horizon),
        }
        for what, (has, wanted) in found.items():
            if has != wanted:
                raise ValueError(f"ForecastNetwork: the batch has {has} {what}, but the network is built for {wanted}.")


def _width(values: Tensor | None) -> int:
    return 0 if values is None else values.shape[-1]
