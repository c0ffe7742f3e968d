"""An ensemble says the mean of what its models say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recur_tests_decode_models import AttentiveTables, Tables, brief, forced, log_prob_of
from torch import Tensor

from recur.decode import AttentiveSteps, DecodingOptions, Ensemble, decode
from recur.errors import OptionError

END = 1


def starts(num: int) -> Tensor:
    return torch.zeros(num, dtype=torch.int64)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_each_step_is_the_mean(average: Any, weights: list[float] | None) -> None:
    models = [Tables(seed, 6) for seed in range(3)]
    tokens = torch.tensor([0, 3])
    said, state = Ensemble(models, average=average, weights=weights).step(tokens, tuple(m.start(2) for m in models))
    shares = torch.tensor(weights or [1.0, 1.0, 1.0], dtype=torch.float64)
    shares = (shares / shares.sum())[:, None, None]
    alone = torch.stack([model.step(tokens, model.start(2))[0] for model in models])
    expected = (alone.exp() * shares).sum(0).log() if average == "probabilities" else (alone * shares).sum(0)
    torch.testing.assert_close(said, expected, rtol=1e-13, atol=0)
    for own, model in zip(state, models, strict=True):
        assert torch.equal(own, model.step(tokens, model.start(2))[1])


def test_an_ensemble_decodes_like_any_model() -> None:
    models = [AttentiveTables(seed, 6) for seed in range(2)]
    ensemble = Ensemble(models)
    options = DecodingOptions(beams=3, num_best=3, max_length=6)
    state = tuple(model.start(2) for model in models)
    found = decode(ensemble, state, starts(2), end=END, options=options)
    for row, hypotheses in enumerate(found):
        for one in hypotheses:
            own = tuple(part[row : row + 1] for part in state)
            said, looked = forced(ensemble, own, 0, one.tokens)
            assert one.log_prob == pytest.approx(log_prob_of(said, one.tokens, END), rel=1e-12)
            assert one.attention is not None
            assert [row.tolist() for row in one.attention] == [look.tolist() for look in looked[: len(one.tokens)]]


def test_a_model_with_itself_says_what_it_says_alone() -> None:
    model = Tables(5, 6)
    options = DecodingOptions(beams=4, num_best=4, max_length=6)
    alone = decode(model, model.start(3), starts(3), end=END, options=options)
    twice = decode(Ensemble([model, model]), (model.start(3),) * 2, starts(3), end=END, options=options)
    assert [brief(row) for row in twice] == [brief(row) for row in alone]


def test_attention_is_the_mean_of_those_that_tell() -> None:
    models = [AttentiveTables(0), Tables(1), AttentiveTables(2)]
    state = tuple(model.start(2) for model in models)
    ensemble = Ensemble(models, weights=[1, 5, 3])
    assert isinstance(ensemble, AttentiveSteps)
    expected = models[0].attention(state[0]) * 0.25 + models[2].attention(state[2]) * 0.75  # type: ignore[attr-defined]
    found = ensemble.attention(state)
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    assert Ensemble([models[1]]).attention((state[1],)) is None


def test_certainty_of_all_stays_certainty() -> None:
    class Sure:
        def step(self, tokens: Tensor, state: None) -> tuple[Tensor, None]:
            return torch.eye(4)[torch.tensor([2])].log(), None

        def select(self, state: None, rows: Tensor) -> None:
            return None

    # As shares in float32 the first of these sum to more than 1.
    for weights in ([0.38, 0.86, 0.72], [0.34, 0.83, 0.22], [1.0, 1.0], [1.0]):
        num = len(weights)
        said, _ = Ensemble([Sure()] * num, weights=weights).step(torch.tensor([0]), (None,) * num)
        assert float(said.max()) == pytest.approx(0, abs=1e-6)
        assert float(said.max()) <= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": []}, r"An ensemble has one model or more, and none was given\."),
        ({"average": "median"}, r"average must be probabilities or log_probabilities, not 'median'\."),
        ({"weights": [1.0]}, r"weights must be a number above 0 for each of the 2 models, not \[1\.0\]\."),
        ({"weights": [1.0, 0.0]}, r"weights must be a number above 0 for each of the 2 models, not \[1\.0, 0\.0\]\."),
    ],
)
def test_bad_ensembles(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        Ensemble(**{"steps": [Tables(0), Tables(1)], **arguments})


def test_states_and_vocabularies_that_do_not_fit() -> None:
    pair = Ensemble([Tables(0, 4), Tables(1, 5)])
    with pytest.raises(OptionError, match=r"^An ensemble of 2 models has as many states, not 1\.$"):
        pair.step(starts(1), (starts(1),))
    with pytest.raises(
        ValueError, match=r"^The models of an ensemble have one vocabulary, and these have 4, 5 tokens\.$"
    ):
        pair.step(starts(1), (starts(1), starts(1)))
