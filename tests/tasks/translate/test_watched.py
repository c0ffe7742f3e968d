"""A search that is watched finds what it would find anyway, and tells what was open on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.tasks.translate.test_trained import WIDE, made

from recur.tasks.translate.explanation import AskedToken, embedded, explain_tokens, gradient_reach, scorer
from recur.tasks.translate.watched import watch
from recur.token_ids import END

SOURCE = "red old house"
ASKED = replace(WIDE, min_length=2)
KINDS: list[dict[str, Any]] = [
    {},
    {"members": 2, "cell": "gru"},
    {"copying": True},
    {"input_feeding": True, "attention": "additive"},
    {"attention": "none", "num_layers": 2},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_what_was_open_leads_to_what_was_found(options: dict[str, Any]) -> None:
    trained = made(**options)
    found = watch(trained, SOURCE, decoding=ASKED)
    ((best, *_),) = trained.translate([SOURCE], decoding=ASKED)
    assert found.translations[0].text == best.text
    assert found.translations[0].score == pytest.approx(best.score)
    assert 1 <= len(found.translations) <= ASKED.beams
    assert [one.score for one in found.translations] == sorted((one.score for one in found.translations), reverse=True)
    assert (found.nodes[0].parent, found.nodes[0].token, found.nodes[0].step) == (None, "", 0)
    for place, node in enumerate(found.nodes[1:], start=1):
        assert node.parent is not None
        assert node.parent < place
        assert node.step == found.nodes[node.parent].step + 1
        assert node.log_prob <= found.nodes[node.parent].log_prob + 1e-6
        assert node.was_continued == any(other.parent == place for other in found.nodes)
    for hypothesis, told, end in zip(found.hypotheses, found.translations, found.ends, strict=True):
        way = []
        at: int | None = end
        while at is not None:
            way.append(found.nodes[at].token)
            at = found.nodes[at].parent
        assert (
            way[::-1][1:]
            == [token if number else "<unknown>" for number, token in zip(hypothesis.tokens, told.tokens, strict=True)][
                : len(way) - 1
            ]
        )
        assert found.nodes[end].step == len(hypothesis.tokens)
        # What comes after is the end alone.
        assert found.nodes[end].log_prob >= hypothesis.log_prob - 1e-5


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_contributions_add_up_and_gradients_are_those_of_the_network(options: dict[str, Any]) -> None:
    trained = made(**options)
    found = watch(trained, SOURCE, decoding=ASKED)
    tokens = found.hypotheses[0].tokens
    assert tokens
    asked = [AskedToken(tokens[:place], token) for place, token in enumerate(tokens)][:3]
    pieces = trained.setup.source_vocabulary.cut(SOURCE)
    explained = explain_tokens(trained, SOURCE, pieces, found.batch, asked, [str(place) for place in range(len(asked))])
    for one in explained:
        assert len(one.shares) == 3
        missed = abs(one.shares.sum() - (one.answer - one.neutral))
        assert missed <= 0.02 * abs(one.shares).sum() + 1e-5
    # The log-odds are those of the probabilities that the search has.
    steps, state = trained.members().begin(found.batch)
    with torch.no_grad():
        said, _ = steps.step(torch.tensor([END]), state)
    first = said[0, tokens[0]].double()
    assert explained[0].answer == pytest.approx(float(first - torch.log1p(-first.exp())), abs=1e-3)
    reach = gradient_reach(trained, found.batch, tokens)
    assert reach.shape == (len(tokens), 3)
    inputs, _ = embedded(trained, found.batch)
    score = scorer(trained, found.batch, asked[:1])
    x = inputs.double().float().requires_grad_()
    value = score(x, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(value.sum(), x)
    # Of log-odds it is that of the log-probability, by the probability of all else.
    torch.testing.assert_close(reach[0], gradient[0].norm(dim=1) * float(1 - first.exp()), rtol=1e-3, atol=1e-5)
