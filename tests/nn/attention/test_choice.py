"""Kinds of attention by name."""

from __future__ import annotations

import pytest

from recur import nn


def test_every_kind_has_a_name():
    kinds = {"additive", "dot", "general", "concat", "multi-head", "monotonic", "location"}
    made = {kind: nn.attention_of(kind, 8, 8) for kind in kinds}
    classes = {getattr(nn, name) for name in nn.__all__ if name.endswith("Attention") and name != "Attention"}
    assert {type(attention) for attention in made.values()} == classes
    for kind, attention in made.items():
        assert type(attention).__name__ == kind.title().replace("-", "") + "Attention"


def test_options_reach_the_kind():
    attention = nn.attention_of("location", 6, 8, attention_size=16, kernel_size=5, cumulative=True)
    assert (attention.attention_size, attention.filters.kernel_size, attention.cumulative) == (16, (5,), True)


def test_what_is_not_known_is_named():
    with pytest.raises(ValueError, match=r"^attention_of: there is no attention 'aditive'\. Did you mean 'additive'\?"):
        nn.attention_of("aditive", 6, 8)
    message = (
        r"^attention_of: general attention has no option 'num_heads'\. "
        r"Its options are batch_first, device, dtype\.$"
    )
    with pytest.raises(TypeError, match=message):
        nn.attention_of("general", 6, 8, num_heads=2)
    with pytest.raises(TypeError, match=r"has no option 'kernel'\. Did you mean 'kernel_size'\?"):
        nn.attention_of("location", 6, 8, kernel=3)
