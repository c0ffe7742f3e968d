"""Temperature scaling against scipy's search and a classifier that is too sure by a known factor."""

from __future__ import annotations

import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.calibration import Temperature
from recur.score import reliability


def likelihood(inverse, logits, target, weight):
    losses = torch.nn.functional.cross_entropy(logits * inverse, target, reduction="none")
    return float((losses * weight).sum())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), classes=st.integers(2, 6), factor=st.floats(0.3, 5))
def test_the_likelihood_is_the_greatest(seed, classes, factor) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(200, classes, generator=generator, dtype=torch.float64)
    target = logits.softmax(-1).multinomial(1, generator=generator).squeeze(-1)
    weight = torch.rand(200, generator=generator, dtype=torch.float64)
    found = Temperature().fit(factor * logits, target, weight=weight).value
    best = scipy.optimize.minimize_scalar(
        likelihood,
        args=(factor * logits, target, weight),
        bounds=(0.001, 100),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert 1 / found == pytest.approx(best.x, rel=1e-5)


def test_smoothing_counts_a_little_for_all_other_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 4, generator=generator, dtype=torch.float64)
    target = logits.argmax(-1)
    is_true = torch.arange(4) == target[:, None]
    share = torch.where(is_true, *(torch.tensor(one, dtype=torch.float64) for one in (0.9, 0.1 / 3)))
    classes = torch.arange(4).expand(50, -1)
    every = Temperature().fit(logits[:, None].expand(-1, 4, -1), classes, weight=share)
    found = Temperature().fit(logits, target, smoothing=0.1)
    assert found.value == pytest.approx(every.value, rel=1e-9)
    # All are right, which would make them certain.
    assert Temperature().fit(logits, target).value < 0.01 < found.value
    with pytest.raises(ValueError, match="smoothing must be from 0 to below 1, not 1"):
        Temperature().fit(logits, target, smoothing=1)


def test_it_makes_a_classifier_that_is_too_sure_reliable() -> None:
    logits = 1.5 * torch.randn(20_000, 4, dtype=torch.float64)
    target = logits.softmax(-1).multinomial(1).squeeze(-1)
    temperature = Temperature().fit(3 * logits[:10_000], target[:10_000])
    # The slope of the likelihood leaves the inverse unknown by about 1 / sqrt(10000 * 0.5).
    assert temperature.value == pytest.approx(3, rel=0.1)
    errors = [
        reliability(scores.softmax(-1), target[10_000:]).expected_error.item()
        for scores in (3 * logits[10_000:], temperature(3 * logits[10_000:]))
    ]
    assert errors[0] > 0.15
    # Of 15 bins each of about 700 predictions, a gap of about 0.4 / sqrt(700) is left by chance.
    assert errors[1] < 0.02


def test_missing_targets_and_classes_ruled_out() -> None:
    logits = torch.randn(3, 40, 3, dtype=torch.float64)
    target = torch.randint(0, 3, (3, 40))
    hidden = target.clone()
    hidden[0] = -100
    wanted = Temperature().fit(logits[1:], target[1:]).value
    spoiled = logits.clone()
    spoiled[0] = torch.nan
    assert Temperature().fit(spoiled, hidden).value == pytest.approx(wanted, rel=1e-12)
    ruled_out = torch.cat([logits, torch.full((3, 40, 1), -torch.inf, dtype=torch.float64)], dim=-1)
    assert Temperature().fit(ruled_out[1:], target[1:]).value == pytest.approx(wanted, rel=1e-12)


def test_bounds_and_state() -> None:
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert Temperature().fit(sure, torch.tensor([0, 1])).value == pytest.approx(1e-3)
    assert Temperature().fit(sure, torch.tensor([1, 0])).value == pytest.approx(1e3)
    fitted, other = Temperature().fit(torch.tensor([[2.0, 0.0]] * 3), torch.tensor([0, 0, 1])), Temperature()
    other.load_state_dict(fitted.state_dict())
    assert other.value == fitted.value
    torch.testing.assert_close(fitted(sure), sure / fitted.value)


def test_bad_input_is_named() -> None:
    logits, target = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"^Temperature: target must be a torch.int64 tensor, but is torch.float32\.$"):
        Temperature().fit(logits, target.float())
    with pytest.raises(TypeError, match=r"^Temperature: logits must be a floating torch.Tensor, but is torch.int64\.$"):
        Temperature().fit(logits.long(), target)
    with pytest.raises(ValueError, match=r"^Temperature: logits have shape \(2, 3\), but must have that of the target"):
        Temperature().fit(logits, target[:1])
    with pytest.raises(ValueError, match=r"^Temperature: a target is class 3, but there are 3 classes\.$"):
        Temperature().fit(logits, target + 3)
    with pytest.raises(ValueError, match=r"^Temperature: no target counts, so there is nothing to fit\.$"):
        Temperature().fit(logits, target - 1)
    with pytest.raises(ValueError, match=r"^Temperature: a logit is NaN\. Did the training diverge\?$"):
        Temperature().fit(logits * torch.nan, target)
