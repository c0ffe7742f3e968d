"""What features are made into: values, and where they are told from."""

from __future__ import annotations

import pytest
import torch

from recur.models.forecast_heads import ForecastHead
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_normalization import Place

DOUBLE = torch.float64


@pytest.mark.parametrize("is_turned", [False, True])
def test_values_and_gates_are_those_of_each_map_alone(is_turned: bool) -> None:
    options = ForecasterOptions(hidden_size=5, normalize="last", head="point")
    head = ForecastHead(options, 2, 3).double()
    rows, steps = 4, 3
    features = torch.randn(steps, rows, 5, dtype=DOUBLE).transpose(0, 1)
    features = (features if is_turned else features.contiguous()).requires_grad_()
    place = Place(*(torch.randn(rows, 2 * steps, 3, dtype=DOUBLE).abs() for _ in range(3)))
    found = head(features, place).mean
    said = head.head.projection(features).view(rows, 2 * steps, 3)
    kept = head.gate(features).view(rows, 2 * steps, 3).sigmoid()
    expected = place.mean + kept * (place.loc - place.mean) + place.scale * said
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(found)
    inputs = [features, *head.parameters()]
    for a, b in zip(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
