"""The examples in the pages on the layers say what they print."""

import doctest
import inspect

import pytest

from recur import nn
from recur.nn.options import LSTMOptions


@pytest.mark.parametrize(("page", "least"), [("layers.md", 20), ("convert.md", 8)])
def test_the_examples(root, page, least):
    path = root / "docs" / page
    examples = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, page, str(path), 0)
    assert len(examples.examples) > least
    said = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)


def test_every_option_is_in_the_table(root):
    page = (root / "docs" / "layers.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    for option in LSTMOptions.__annotations__:
        assert f"`{option}`" in table or f"`{option}=" in table, option


def test_what_belongs_to_one_kind_of_layer_is_in_a_table(root, all_kinds):
    page = (root / "docs" / "layers.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    everywhere = inspect.signature(nn.LSTM).parameters
    for name in {kind.name for kind in all_kinds.values()}:
        arguments = inspect.signature(getattr(nn, name)).parameters.values()
        for argument in arguments:
            if argument.kind is argument.KEYWORD_ONLY and argument.name not in everywhere:
                assert f"`{argument.name}`" in table, f"{name}: {argument.name}"
