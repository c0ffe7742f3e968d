"""A watched model says what it says alone, and its tree holds every beginning that was open."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recur_tests_decode_models import AttentiveTables, Tables, brief, forced, log_prob_of

from recur.decode import Constraints, DecodingOptions, Sampling, WatchedSteps, decode

END = 1


def said_by(watched: WatchedSteps[Any], place: int) -> tuple[int, ...]:
    """Return the tokens down to a node."""
    node = watched.nodes[place]
    if node.parent is None or node.token is None:
        return ()
    return (*said_by(watched, node.parent), node.token)


@pytest.mark.parametrize(
    ("options", "required"),
    [
        ({}, None),
        ({"beams": 4, "num_best": 4}, None),
        ({"beams": 4, "num_best": 2, "groups": 2, "length_penalty": "mean"}, None),
        ({"beams": 3, "num_best": 3}, [[], [2, 4], [3]]),
        ({"sampling": Sampling(temperature=0), "num_best": 2}, None),
    ],
    ids=str,
)
def test_the_tree_of_a_search(options: dict[str, Any], required: Any) -> None:
    model = AttentiveTables(3, 5)
    start = torch.zeros(3, dtype=torch.int64)
    chosen = DecodingOptions(max_length=6, **options)
    constraints = Constraints(required=required)
    watched = WatchedSteps(model)
    # What was watched before is forgotten.
    decode(watched, watched.begin(model.start(1), start[:1]), start[:1], end=END)
    state = watched.begin(model.start(3), start)
    found = decode(watched, state, start, end=END, options=chosen, constraints=constraints)
    expected = decode(model, model.start(3), start, end=END, options=chosen, constraints=constraints)
    assert [brief(row) for row in found] == [brief(row) for row in expected]
    assert [node.row for node in watched.nodes[:3]] == [0, 1, 2]
    ways = set()
    for place, node in enumerate(watched.nodes):
        tokens = said_by(watched, place)
        ways.add((node.row, tokens))
        assert (node.parent is None) == (place < 3) == (node.token is None)
        assert node.parent is None or node.parent < place
        logs, _ = forced(model, model.start(3)[node.row : node.row + 1], 0, tokens)
        assert node.log_prob == pytest.approx(log_prob_of(logs, tokens, None), rel=1e-12)
    for row, hypotheses in enumerate(found):
        for one in hypotheses:
            assert (row, one.tokens) in ways
            assert one.attention is not None


def test_a_search_that_is_exhaustive_has_every_beginning_in_its_tree() -> None:
    model = Tables(0, 3)
    watched = WatchedSteps(model)
    start = torch.tensor([0])
    options = DecodingOptions(beams=30, num_best=30, max_length=3)
    state = watched.begin(model.start(1), start)
    decode(watched, state, start, end=END, options=options)
    ways = [said_by(watched, place) for place in range(len(watched.nodes))]
    assert len(ways) == len(set(ways)) == 1 + 2 + 4 + 8
    assert watched.attention(state) is None
