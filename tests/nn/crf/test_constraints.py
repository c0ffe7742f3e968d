"""The rules of the schemes, against what spans can be written in them."""

from __future__ import annotations

import itertools

import pytest
import torch

from recur.nn import bio_constraints

TAGS = {
    "BIO": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "IOB1": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "IOBES": ["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"],
    "BILOU": ["O", "B-X", "I-X", "L-X", "U-X", "B-Y", "I-Y", "L-Y", "U-Y"],
}


def segmentations(num_tokens):
    """Yield every way to cut tokens into spans of a type and tokens outside, as (length, type or None)."""
    if num_tokens == 0:
        yield []
        return
    for rest in segmentations(num_tokens - 1):
        yield [(1, None), *rest]
    for length in range(1, num_tokens + 1):
        for rest in segmentations(num_tokens - length):
            for kind in "XY":
                yield [(length, kind), *rest]


def written(spans, scheme):
    """Return the tags of a segmentation."""
    tags, before = [], None
    for length, kind in spans:
        if kind is None:
            tags.append("O")
        elif scheme == "BIO":
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        elif scheme == "IOB1":
            tags += [f"B-{kind}" if before == kind else f"I-{kind}"] + [f"I-{kind}"] * (length - 1)
        else:
            last, single = ("E", "S") if scheme == "IOBES" else ("L", "U")
            middle = [f"I-{kind}"] * (length - 2)
            tags += [f"{single}-{kind}"] if length == 1 else [f"B-{kind}", *middle, f"{last}-{kind}"]
        before = kind
    return tuple(tags)


def allowed(tags, constraints):
    for path in itertools.product(range(len(tags)), repeat=3):
        if (
            constraints.starts[path[0]]
            and constraints.ends[path[-1]]
            and all(constraints.transitions[pair] for pair in itertools.pairwise(path))
        ):
            yield tuple(tags[label] for label in path)


@pytest.mark.parametrize("scheme", list(TAGS))
def test_what_is_allowed_is_what_spans_can_be_written_as(scheme):
    tags = TAGS[scheme]
    found = set(allowed(tags, bio_constraints(tags, scheme)))
    assert found == {written(spans, scheme) for spans in segmentations(3)}


def test_other_names():
    for name, other in (("BIO", "IOB2"), ("IOBES", "BIOES")):
        pairs = zip(bio_constraints(TAGS[name], name), bio_constraints(TAGS[name], other), strict=True)
        assert all(torch.equal(one, two) for one, two in pairs)


def test_types_with_dashes_and_without_a_name():
    found = bio_constraints(["I", "O", "B", "B-a-b", "I-a-b"])
    assert found.transitions[0].tolist() == [True, True, True, True, False]
    assert found.transitions[3].tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("labels", "scheme", "message"),
    [
        (
            ["O"],
            "IO",
            r"^bio_constraints: there is no scheme 'IO'\. Choose one of BILOU, BIO, BIOES, IOB1, IOB2",
        ),
        ([], "BIO", r"^bio_constraints: labels must be a list of at least one tag, but is \[\]\.$"),
        ("BIO", "BIO", r"^bio_constraints: labels must be a list of at least one tag, but is 'BIO'\.$"),
        (
            ["O", "E-X"],
            "BIO",
            r"^bio_constraints: 'E-X' is no tag of BIO\. Its tags are O, and B, I with a type, such as 'B-PER'\.$",
        ),
        (["O", "PER"], "BILOU", r"^bio_constraints: 'PER' is no tag of BILOU\. Its tags are O, and B, I, L, U with"),
        (["O", "O-X"], "BIO", r"^bio_constraints: 'O-X' is no tag of BIO\."),
        (["O", "B-X", "O"], "BIO", r"^bio_constraints: the label 'O' comes twice\. Give each once\.$"),
    ],
)
def test_what_is_no_scheme(labels, scheme, message):
    with pytest.raises(ValueError, match=message):
        bio_constraints(labels, scheme)
