"""The conditional random field against all labellings, one after the other; and what every layer promises."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import re

import pytest
import torch

from recur.nn import LabelConstraints, LabelledSpan, LinearChainCRF, bio_constraints

T, B, K = 5, 4, 3
LENGTHS = [5, 1, 0, 3]


def inputs():
    return torch.randn(T, B, K, dtype=torch.float64), torch.randint(0, K, (T, B))


def close(got, want, atol=1e-12):
    # float64: sums of some 300 exponentials and of 15 numbers of order 1.
    torch.testing.assert_close(got, want, rtol=0, atol=atol)


def each_row(all_labellings, crf, emissions, constraints):
    """Yield each row with steps, with the scores of all its labellings."""
    for row, length in enumerate(LENGTHS):
        if length:
            yield row, length, all_labellings(crf, emissions[:length, row], constraints)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("is_constrained", [False, True])
def test_log_likelihood_and_log_partition(make_crf, all_labellings, some_constraints, is_constrained):
    constraints = some_constraints if is_constrained else None
    crf = make_crf(constraints=constraints, constrain_training=is_constrained)
    emissions, labels = inputs()
    if is_constrained:
        labels = torch.tensor([[0, 1, 2, 2, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0]]).t()
    found, partition = crf.log_likelihood(emissions, labels, LENGTHS), crf.log_partition(emissions, LENGTHS)
    close(crf(emissions, labels, LENGTHS), found, 0)
    assert found[2] == partition[2] == 0
    for row, length, scores in each_row(all_labellings, crf, emissions, constraints):
        want = torch.stack(list(scores.values())).logsumexp(0)
        close(partition[row], want)
        close(found[row], scores[tuple(labels[:length, row].tolist())] - want)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("is_constrained", [False, True])
def test_marginals(make_crf, all_labellings, some_constraints, is_constrained):
    constraints = some_constraints if is_constrained else None
    crf = make_crf(constraints=constraints)
    emissions, _ = inputs()
    with torch.no_grad():
        found = crf.marginals(emissions, LENGTHS)
    assert bool((found[torch.arange(T)[:, None] >= torch.tensor(LENGTHS)] == 0).all())
    for row, length, scores in each_row(all_labellings, crf, emissions, constraints):
        shares = torch.stack(list(scores.values())).softmax(0)
        want = torch.zeros(length, K).double()
        for path, share in zip(scores, shares, strict=True):
            want[range(length), list(path)] += share
        close(found[:length, row], want)


@pytest.mark.parametrize("is_constrained", [False, True])
@pytest.mark.parametrize("is_tied", [False, True])
def test_the_best_labellings(make_crf, all_labellings, some_constraints, is_constrained, is_tied):
    constraints = some_constraints if is_constrained else None
    crf = make_crf(constraints=constraints)
    emissions, _ = inputs()
    if is_tied:
        # Whole numbers are added without rounding, so that many labellings score alike.
        emissions = emissions.round()
        with torch.no_grad():
            for parameter in crf.parameters():
                parameter.round_()
    best, decoded = crf.n_best(emissions, 1000, LENGTHS), crf.decode(emissions, LENGTHS)
    assert decoded[2] == []
    assert best[2] == [([], 0.0)]
    for row, _, scores in each_row(all_labellings, crf, emissions, constraints):
        # Python sorts stably, and the labellings come in the order of their labels.
        ranked = sorted(scores, key=lambda path: -scores[path].item())
        assert [tuple(one.labels) for one in best[row]] == ranked
        assert tuple(decoded[row]) == ranked[0]
        partition = torch.stack(list(scores.values())).logsumexp(0)
        want = torch.stack([scores[path] - partition for path in ranked]).detach()
        close(torch.tensor([one.log_probability for one in best[row]], dtype=torch.float64), want)
    few = crf.n_best(emissions, 3, LENGTHS)
    assert [[one.labels for one in row] for row in few] == [[one.labels for one in row[:3]] for row in best]


def test_ties_go_to_the_lower_label():
    crf = LinearChainCRF(3)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.zero_()
    assert crf.decode(torch.zeros(4, 1, 3)) == [[0, 0, 0, 0]]
    assert [one.labels for one in crf.n_best(torch.zeros(2, 1, 3), 4)[0]] == [[0, 0], [0, 1], [0, 2], [1, 0]]


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("is_constrained", [False, True])
def test_gradients(make_crf, some_constraints, is_constrained):
    crf = make_crf(constraints=some_constraints, constrain_training=is_constrained)
    emissions = torch.randn(3, 3, K, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, 2], [1, 1, 0], [0, 1, 0]]).t()

    def outputs(emissions, *parameters):
        named = dict(zip([name for name, _ in crf.named_parameters()], parameters, strict=True))
        return torch.func.functional_call(crf, named, (emissions, labels, [3, 0, 2]))

    given = (emissions, *crf.parameters())
    assert torch.autograd.gradcheck(outputs, given)
    assert torch.autograd.gradgradcheck(outputs, given)


def test_gradients_of_the_marginals(make_crf, some_constraints):
    crf = make_crf(constraints=some_constraints)
    emissions = torch.randn(3, 2, K, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: crf.marginals(x, [3, 2]), (emissions,))


def test_gradients_where_a_label_cannot_be_reached_at_some_steps(make_crf):
    # From left to right: at the first steps the later labels cannot be, at the last ones the earlier ones.
    left_to_right = torch.ones(3, 3).triu().bool() & torch.ones(3, 3).tril(1).bool()
    only_first = torch.tensor([True, False, False])
    crf = make_crf(constraints=LabelConstraints(left_to_right, only_first, only_first.flip(0)), constrain_training=True)
    emissions, parameters = inputs()[0].requires_grad_(), list(crf.parameters())
    lengths = [5, 3, 0, 4]
    labels = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 2, 0, 0], [0] * 5, [0, 1, 2, 2, 0]]).t()
    assert torch.autograd.gradcheck(lambda x, *_: crf.log_likelihood(x, labels, lengths), (emissions, *parameters))
    assert torch.autograd.gradcheck(lambda x, *_: crf.marginals(x, lengths), (emissions, *parameters))
    assert torch.autograd.gradgradcheck(lambda x, *_: crf.log_partition(x, lengths), (emissions, *parameters))


def test_the_slope_of_the_partition_is_the_marginals(make_crf):
    crf = make_crf()
    emissions, _ = inputs()
    emissions.requires_grad_()
    (slope,) = torch.autograd.grad(crf.log_partition(emissions, LENGTHS).sum(), emissions)
    close(slope, crf.marginals(emissions, LENGTHS))


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("is_constrained", [False, True])
def test_padding_may_hold_anything_and_rows_are_alone(make_crf, some_constraints, is_constrained):
    crf = make_crf(constraints=some_constraints if is_constrained else None)
    emissions, labels = inputs()
    past = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)
    spoiled, other = emissions.clone(), labels.clone()
    spoiled[past], other[past] = torch.nan, -100
    spoiled.requires_grad_()
    found, marginals = crf.log_likelihood(spoiled, other, LENGTHS), crf.marginals(spoiled, LENGTHS)
    paths = crf.decode(spoiled, torch.tensor(LENGTHS))
    parameters = list(crf.parameters())
    slopes = torch.autograd.grad(found.sum(), [spoiled, *parameters])
    assert bool((slopes[0][past] == 0).all())
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    for row, length in enumerate(LENGTHS):
        if not length:
            continue
        alone = emissions[:length, row : row + 1].clone().requires_grad_()
        likely = crf.log_likelihood(alone, labels[:length, row : row + 1])
        close(found[row : row + 1], likely)
        close(marginals[:length, row : row + 1], crf.marginals(alone))
        assert paths[row] == crf.decode(alone)[0]
        slope, *rest = torch.autograd.grad(likely.sum(), [alone, *parameters])
        close(slopes[0][:length, row : row + 1], slope)
        sums = [total + part for total, part in zip(sums, rest, strict=True)]
    for got, want in zip(slopes[1:], sums, strict=True):
        close(got, want)


def test_batch_first_is_time_first_turned(make_crf):
    crf = make_crf()
    other = LinearChainCRF(K, batch_first=True).double()
    other.load_state_dict(crf.state_dict())
    emissions, labels = inputs()
    turned = emissions.transpose(0, 1)
    close(other.log_likelihood(turned, labels.t(), LENGTHS), crf.log_likelihood(emissions, labels, LENGTHS), 0)
    close(other.marginals(turned, LENGTHS).transpose(0, 1), crf.marginals(emissions, LENGTHS), 0)
    close(other.log_partition(turned, LENGTHS), crf.log_partition(emissions, LENGTHS), 0)
    assert other.decode(turned, LENGTHS) == crf.decode(emissions, LENGTHS)


def test_ten_thousand_steps_in_float32(make_crf):
    crf = make_crf(6)
    # Rounded, so that both see the same numbers.
    emissions = (5 * torch.randn(10_000, 2, 6) + 20).double()
    labels, lengths = emissions.argmax(2), [10_000, 9_000]
    crf.float().double()
    want = crf.log_likelihood(emissions, labels, lengths)
    slope = torch.autograd.grad(want.sum(), crf.transitions)[0]
    with torch.no_grad():
        marginals, paths = crf.marginals(emissions[:1000]), crf.decode(emissions[:1000])
    crf.float()
    found = crf.log_likelihood(emissions.float(), labels, lengths)
    # Three roundings a step of numbers below 64, each up to 2^-19 to either side, have together a deviation of 2^-19,
    # and over all steps of 100 times that; five times that. And exp of a transition is off by up to 2^-24 of itself, at
    # every step alike. The scores themselves are some 250,000, of which float32 knows 1/64.
    bound = 500 * 2**-19 + 10_000 * 2**-24
    torch.testing.assert_close(found.double(), want, rtol=0, atol=bound)
    got = torch.autograd.grad(found.sum(), crf.transitions)[0].double()
    # Expected counts: marginals keep three roundings of each of up to 10,000 steps after them, added up likewise.
    torch.testing.assert_close(got, slope, rtol=500 * 2**-24, atol=bound)
    # A marginal is a product of shares of the steps around, each off by some 2^-18.
    few = emissions[:1000].float()
    with torch.no_grad():
        torch.testing.assert_close(crf.marginals(few).double(), marginals, rtol=0, atol=20 * 2**-18)
    assert crf.decode(few) == paths


def test_extreme_scores_stay_finite(make_crf, some_constraints):
    crf = make_crf(constraints=some_constraints, constrain_training=True).float()
    emissions = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, -1e4], [-1e30, 0.0, 1e30]])[:, None].requires_grad_()
    labels = torch.tensor([[0], [0], [1]])
    found = crf.log_likelihood(emissions, labels)
    assert bool(found.isfinite().all())
    (slope,) = torch.autograd.grad(found.sum(), emissions)
    assert bool(slope.isfinite().all())
    # 0, 1, 2 is the only labelling that is allowed and has the last label.
    assert crf.decode(emissions) == [[0, 1, 2]]


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "state_dict"])
def test_copies(make_crf, some_constraints, way):
    crf = make_crf(constraints=some_constraints)
    emissions, labels = inputs()
    if way == "deepcopy":
        twin = copy.deepcopy(crf)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(crf))
    else:
        file = io.BytesIO()
        torch.save(crf.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        assert set(state) == {"start_transitions", "end_transitions", "transitions"}
        twin = LinearChainCRF(K, constraints=some_constraints).double()
        twin.load_state_dict(state)
    close(twin.log_likelihood(emissions, labels, LENGTHS), crf.log_likelihood(emissions, labels, LENGTHS), 0)
    assert twin.decode(emissions, LENGTHS) == crf.decode(emissions, LENGTHS)
    assert repr(twin) == repr(crf) == "LinearChainCRF(3, constrained)"
    some_constraints.transitions.fill_(False)
    assert bool(twin.constraints.transitions.any())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_is_computed_in_float32(make_crf, dtype):
    crf = make_crf().to(dtype)
    emissions, labels = inputs()
    found = crf.log_likelihood(emissions.to(dtype), labels, LENGTHS)
    assert found.dtype == torch.float32
    crf.double()
    want = crf.log_likelihood(emissions.to(dtype).double(), labels, LENGTHS)
    # float32: sums of exponentials of five steps of numbers of order 10.
    torch.testing.assert_close(found.double(), want, rtol=0, atol=100 * 2**-24)


def test_autocast(make_crf):
    crf = make_crf().float()
    emissions, labels = inputs()
    emissions = emissions.bfloat16()
    want = crf.log_likelihood(emissions.float(), labels, LENGTHS), crf.marginals(emissions.float(), LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        found = crf.log_likelihood(emissions, labels, LENGTHS), crf.marginals(emissions, LENGTHS)
    for got, expected in zip(found, want, strict=True):
        close(got, expected, 0)
    found[0].sum().backward()
    assert {parameter.grad.dtype for parameter in crf.parameters()} == {torch.float32}


def test_compiled_mapped_and_on_the_device_meta(make_crf, some_constraints):
    torch.compiler.reset()
    crf = make_crf(constraints=some_constraints)
    emissions, labels = inputs()
    emissions, labels, lengths = emissions[:3], labels[:3], torch.tensor([3, 2, 0, 1])

    def run(emissions, labels, lengths):
        return crf.log_likelihood(emissions, labels, lengths), crf.marginals(emissions, lengths)

    compiled = torch.compile(run, backend="eager", fullgraph=True)
    for got, want in zip(compiled(emissions, labels, lengths), run(emissions, labels, lengths), strict=True):
        close(got, want)
    rows = torch.stack([emissions, 2 * emissions])
    slopes = torch.func.vmap(torch.func.grad(lambda e: crf.log_likelihood(e, labels).sum()))(rows)
    for k in range(2):
        row = rows[k].detach().requires_grad_()
        close(slopes[k], torch.autograd.grad(crf.log_likelihood(row, labels).sum(), row)[0])
    crf.to("meta")
    assert crf.log_likelihood(emissions.to("meta"), labels.to("meta")).shape == (B,)


def test_it_learns_what_follows_what():
    # The labels alternate whatever the emissions say, so that transitions alone can tell.
    crf = LinearChainCRF(2)
    labels = torch.stack([torch.arange(8) % 2, (torch.arange(8) + 1) % 2], 1)
    emissions = (
        torch.randn(8, 2, 2) + torch.nn.functional.one_hot(labels, 2) * torch.tensor([3.0] + [0.0] * 7)[:, None, None]
    )
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        (-crf.log_likelihood(emissions, labels).mean()).backward()
        optimizer.step()
    assert crf.decode(emissions) == labels.t().tolist()
    assert crf.log_likelihood(emissions, labels).min() > -0.5


# --- what cannot be ---------------------------------------------------------------------------------------------------


def raises(error, message, call):
    with pytest.raises(error, match=f"^{re.escape('LinearChainCRF: ' + message)}"):
        call()


def test_constraints_that_leave_nothing(make_crf, some_constraints):
    crf = make_crf(constraints=some_constraints)
    emissions = torch.zeros(3, 2, K).double()
    nothing = some_constraints._replace(
        ends=torch.tensor([True, False, False]), starts=torch.tensor([False, True, False])
    )
    strict = make_crf(constraints=nothing, constrain_training=True)
    message = "the constraints leave no labelling of 1 step, which row 1 has."
    raises(ValueError, message, lambda: strict.decode(emissions, [2, 1]))
    raises(ValueError, message, lambda: strict.n_best(emissions, 2, [2, 1]))
    raises(ValueError, message, lambda: strict.marginals(emissions, [2, 1]))
    assert strict.log_partition(emissions, [2, 1])[1] == -torch.inf
    # Rows without steps need no labelling.
    assert strict.decode(emissions, [2, 0]) == [[1, 0], []]
    assert crf.decode(emissions, [0, 0]) == [[], []]


def test_labels_that_the_constraints_rule_out(make_crf, some_constraints):
    crf = make_crf(constraints=some_constraints, constrain_training=True)
    emissions = torch.zeros(3, 2, K).double()
    rest = ", which the constraints rule out. Mend the labels, or leave constrain_training out."
    for labels, what in [
        ([2, 1, 1], "begin with 2"),
        ([0, 2, 2], "go on with 2 after 0 at step 1"),
        ([0, 1, 0], "end as they do"),
    ]:
        given = torch.tensor([[0, 1, 2], labels]).t()
        raises(
            ValueError, f"the labels of row 1 {what}{rest}", lambda given=given: crf.log_likelihood(emissions, given)
        )
    free = make_crf(constraints=some_constraints)
    assert bool(free.log_likelihood(emissions, torch.tensor([[2, 0, 0], [0, 1, 0]]).t()).isfinite().all())


def test_bad_input(make_crf):
    crf = make_crf()
    emissions, labels = inputs()
    spoiled = emissions.clone()
    spoiled[1, 3, 2] = torch.nan
    raises(ValueError, "the emissions of row 3 are not all finite.", lambda: crf.decode(spoiled, LENGTHS))
    assert bool(crf.log_likelihood(spoiled, labels, LENGTHS).isnan().tolist() == [False, False, False, True])
    raises(TypeError, "emissions must be a torch.Tensor, but is list.", lambda: crf.decode([1.0]))
    message = "emissions must have shape (T, B, 3), but has (5, 4, 2)."
    raises(ValueError, message, lambda: crf.decode(emissions[..., :2]))
    raises(ValueError, "emissions are empty, (0, 4, 3); give at least one", lambda: crf.decode(emissions[:0]))
    message = "emissions is torch.float32, but transitions is torch.float64. Convert it with"
    raises(TypeError, message, lambda: crf.decode(emissions.float()))
    raises(ValueError, "lengths has 6, but emissions has 5 steps.", lambda: crf.decode(emissions, [6, 1, 1, 1]))
    raises(TypeError, "labels must be a torch.Tensor, but is list.", lambda: crf.log_likelihood(emissions, [1]))
    raises(
        TypeError,
        "labels must be whole numbers, but is torch.float32.",
        lambda: crf.log_likelihood(emissions, labels.float()),
    )
    message = "labels must have shape (5, 4) beside these emissions, but has (4, 5)."
    raises(ValueError, message, lambda: crf.log_likelihood(emissions, labels.t()))
    for label in (-100, 3):
        given = labels.clone()
        given[4, 1] = label
        message = f"labels has {label}, but there are 3 labels, from 0 on. Where a row has ended anything may stand"
        raises(ValueError, message, lambda given=given: crf.log_likelihood(emissions, given))
    raises(ValueError, "n is 0, but must be at least 1.", lambda: crf.n_best(emissions, 0))


def test_bad_arguments(some_constraints):
    raises(ValueError, "num_labels is 0, but must be at least 1.", lambda: LinearChainCRF(0))
    raises(TypeError, "batch_first must be a bool, but is int.", lambda: LinearChainCRF(3, batch_first=1))
    message = "constrain_training needs constraints. Give them, or leave it out."
    raises(ValueError, message, lambda: LinearChainCRF(3, constrain_training=True))
    message = "constraints must be LabelConstraints, such as those of bio_constraints(labels), but is tuple."
    raises(TypeError, message, lambda: LinearChainCRF(3, constraints=tuple(some_constraints)))
    message = "transitions of the constraints must have shape (4, 4) for 4 labels, but has (3, 3)."
    raises(ValueError, message, lambda: LinearChainCRF(4, constraints=some_constraints))
    other = some_constraints._replace(starts=torch.ones(3))
    message = "starts of the constraints must be a torch.bool tensor, but is torch.float32."
    raises(TypeError, message, lambda: LinearChainCRF(3, constraints=other))
    nothing = some_constraints._replace(ends=torch.zeros(3, dtype=torch.bool))
    message = "ends of the constraints allow no label. Allow one at least."
    raises(ValueError, message, lambda: LinearChainCRF(3, constraints=nothing))


def test_constraints_of_a_scheme_keep_what_is_decoded_in_it():
    tags = ["O", "B-A", "I-A", "B-B", "I-B"]
    crf = LinearChainCRF(5, constraints=bio_constraints(tags))
    for path in crf.decode(5 * torch.randn(30, 20, 5)):
        for before, label in itertools.pairwise(["O"] + [tags[label] for label in path]):
            if label.startswith("I-"):
                assert before in (f"B-{label[2:]}", label)
    assert isinstance(crf.constraints, LabelConstraints)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("is_constrained", [False, True])
def test_span_probabilities(make_crf, all_labellings, some_constraints, is_constrained):
    constraints = some_constraints if is_constrained else None
    crf = make_crf(constraints=constraints)
    emissions, _ = inputs()
    for row, length, scores in each_row(all_labellings, crf, emissions, constraints):
        whole = torch.stack(list(scores.values())).logsumexp(0)
        spans, wanted = [], []
        for begin, count in itertools.product(range(length), range(1, length + 1)):
            if begin + count > length:
                continue
            for labels in itertools.product(range(K), repeat=count):
                own = [score for path, score in scores.items() if path[begin : begin + count] == labels]
                spans.append(LabelledSpan(row, begin, labels))
                wanted.append(torch.stack(own).logsumexp(0) - whole if own else torch.tensor(-torch.inf))
        found = crf.span_log_probability(emissions, spans, LENGTHS)
        close(found.exp(), torch.stack(wanted).double().exp().detach())
    assert len(crf.span_log_probability(emissions, [], LENGTHS)) == 0


@pytest.mark.parametrize("span", [LabelledSpan(2, 0, [1]), LabelledSpan(3, 2, [1, 1]), LabelledSpan(0, 0, [K])])
def test_spans_beyond_their_row_or_labels(make_crf, span):
    emissions, _ = inputs()
    message = f"the span of {len(span.labels)} labels? from step {span.begin} of row {span.row} must have at least one"
    with pytest.raises(ValueError, match=message):
        make_crf().span_log_probability(emissions, [span], LENGTHS)
