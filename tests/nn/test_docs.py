"""The examples in the pages on the layers say what they print."""

import doctest

import pytest

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
