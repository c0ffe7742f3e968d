"""Every layer, with the options of a stack, held to every law of the contract."""

import pytest

FORMS = {
    "plain": {},
    "reference": {"backend": "reference"},
    "deep": {"num_layers": 3, "skip": "dense", "initial_state": "learned"},
    "residual": {"num_layers": 2, "skip": "residual", "dilation": [1, 2], "zoneout": 0.2},
    "both": {"bidirectional": True, "batch_first": True, "initial_state": "learned"},
    "highway": {"num_layers": 2, "bidirectional": True, "skip": "highway", "merge": "mean", "gradient_clip": 0.05},
    "pair": {"num_layers": 2, "bidirectional": True, "merge": None, "state_batch_first": True},
    "product": {"num_layers": 2, "bidirectional": True, "merge": "product", "dilation": 2, "initial_state": "learned"},
    "context": {"num_layers": 2, "bidirectional": True, "merge": "sum", "initial_state": "context", "context_size": 2},
    "dilated": {"dilation": 3, "initial_state": "context", "context_size": 2, "state_batch_first": True},
}


# Enough for every law to be heard in each run; the rest comes with the drawn combinations.
FEW = ("plain", "residual", "highway", "pair", "both", "dilated")


@pytest.mark.parametrize("form", [f if f in FEW else pytest.param(f, marks=pytest.mark.slow) for f in FORMS])
def test_it_keeps_every_law(any_kind, laws, make_case, compare, form):
    options = {n: v for n, v in FORMS[form].items() if n not in any_kind.cannot}
    if not any_kind.draws:
        options.pop("backend", None)
    hidden = [4, 5, 6] if form == "deep" and any_kind.draws else 4
    # Rows without steps cannot be packed; to sort these is not the same as to sort them back.
    lengths = [2, 5, 3, 1] if form in ("reference", "residual", "pair") else [5, 0, 3, 1]
    case = make_case(
        any_kind, (3, hidden), options, compare, num_steps=5, batch=4, lengths=lengths, resets=0.3, is_given=True
    )
    held = {name for name, law in laws.items() if law(case)}
    assert held >= {"padding", "documents", "forms", "records"}
    assert ("kernels" in held) == (bool(any_kind.draws) and form != "reference")
    if form == "both":
        case.hx = None
        assert {name for name, law in laws.items() if law(case)} == held
        case.lengths = case.reset = None
        assert {name for name, law in laws.items() if law(case)} == held - {"padding"}


def test_every_law_speaks_of_some_form(all_kinds, laws, make_case, compare):
    """Else a law that returns too early would never be noticed."""
    held = set()
    for options in FORMS.values():
        case = make_case(
            all_kinds["GRU"], (3, 4), options, compare, num_steps=4, batch=2, lengths=[4, 2], resets=0.3, is_given=True
        )
        held |= {name for name, law in laws.items() if law(case)}
    assert held == set(laws)
