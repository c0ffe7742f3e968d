"""Networks made of the layers of `recur.nn`, what they say of numbers to come, and the rules that they have to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.models.baselines import Baseline as Baseline
    from recur.models.baselines import Drift as Drift
    from recur.models.baselines import Mean as Mean
    from recur.models.baselines import Naive as Naive
    from recur.models.baselines import SeasonalNaive as SeasonalNaive
    from recur.models.distributions import Distribution as Distribution
    from recur.models.distributions import Gaussian as Gaussian
    from recur.models.distributions import GaussianMixture as GaussianMixture
    from recur.models.distributions import NegativeBinomial as NegativeBinomial
    from recur.models.distributions import Point as Point
    from recur.models.distributions import Quantiles as Quantiles
    from recur.models.distributions import StudentT as StudentT
    from recur.models.encoder_choice import choose_encoder as choose_encoder
    from recur.models.encoder_choice import choose_label_network as choose_label_network
    from recur.models.forecast_ensemble import ForecastEnsemble as ForecastEnsemble
    from recur.models.forecast_network import ForecastNetwork as ForecastNetwork
    from recur.models.forecaster_choice import choose_forecaster as choose_forecaster
    from recur.models.forecaster_options import ForecasterOptions as ForecasterOptions
    from recur.models.heads import GaussianHead as GaussianHead
    from recur.models.heads import Head as Head
    from recur.models.heads import MixtureHead as MixtureHead
    from recur.models.heads import NegativeBinomialHead as NegativeBinomialHead
    from recur.models.heads import PointHead as PointHead
    from recur.models.heads import QuantileHead as QuantileHead
    from recur.models.heads import StudentTHead as StudentTHead
    from recur.models.level_shift import find_level_shift as find_level_shift
    from recur.models.season import find_season as find_season
    from recur.models.series_classifier import SeriesClassifierNetwork as SeriesClassifierNetwork
    from recur.models.series_encoder import SeriesEncoder as SeriesEncoder
    from recur.models.series_encoder import SeriesState as SeriesState
    from recur.models.series_ensemble import SeriesEnsemble as SeriesEnsemble
    from recur.models.series_options import SeriesClassifierOptions as SeriesClassifierOptions
    from recur.models.series_options import SeriesEncoderOptions as SeriesEncoderOptions
    from recur.models.series_options import SeriesRegressorOptions as SeriesRegressorOptions
    from recur.models.series_regressor import SeriesRegressorNetwork as SeriesRegressorNetwork
    from recur.models.series_shape import SeriesShape as SeriesShape

_ORIGINS = {
    "Baseline": ".baselines",
    "Distribution": ".distributions",
    "Drift": ".baselines",
    "ForecastEnsemble": ".forecast_ensemble",
    "ForecastNetwork": ".forecast_network",
    "ForecasterOptions": ".forecaster_options",
    "Gaussian": ".distributions",
    "GaussianHead": ".heads",
    "GaussianMixture": ".distributions",
    "Head": ".heads",
    "Mean": ".baselines",
    "MixtureHead": ".heads",
    "Naive": ".baselines",
    "NegativeBinomial": ".distributions",
    "NegativeBinomialHead": ".heads",
    "Point": ".distributions",
    "PointHead": ".heads",
    "QuantileHead": ".heads",
    "Quantiles": ".distributions",
    "SeasonalNaive": ".baselines",
    "SeriesClassifierNetwork": ".series_classifier",
    "SeriesClassifierOptions": ".series_options",
    "SeriesEncoder": ".series_encoder",
    "SeriesEncoderOptions": ".series_options",
    "SeriesEnsemble": ".series_ensemble",
    "SeriesRegressorNetwork": ".series_regressor",
    "SeriesRegressorOptions": ".series_options",
    "SeriesShape": ".series_shape",
    "SeriesState": ".series_encoder",
    "StudentT": ".distributions",
    "StudentTHead": ".heads",
    "choose_encoder": ".encoder_choice",
    "choose_label_network": ".encoder_choice",
    "choose_forecaster": ".forecaster_choice",
    "find_level_shift": ".level_shift",
    "find_season": ".season",
}
__all__ = [
    "Baseline",
    "Distribution",
    "Drift",
    "ForecastEnsemble",
    "ForecastNetwork",
    "ForecasterOptions",
    "Gaussian",
    "GaussianHead",
    "GaussianMixture",
    "Head",
    "Mean",
    "MixtureHead",
    "Naive",
    "NegativeBinomial",
    "NegativeBinomialHead",
    "Point",
    "PointHead",
    "QuantileHead",
    "Quantiles",
    "SeasonalNaive",
    "SeriesClassifierNetwork",
    "SeriesClassifierOptions",
    "SeriesEncoder",
    "SeriesEncoderOptions",
    "SeriesEnsemble",
    "SeriesRegressorNetwork",
    "SeriesRegressorOptions",
    "SeriesShape",
    "SeriesState",
    "StudentT",
    "StudentTHead",
    "choose_encoder",
    "choose_forecaster",
    "choose_label_network",
    "find_level_shift",
    "find_season",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
