"""The examples in the page on the layers say what they print."""

import doctest

from recur.nn.options import LSTMOptions


def test_the_examples(root):
    path = root / "docs" / "layers.md"
    examples = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, "layers.md", str(path), 0)
    assert len(examples.examples) > 20
    said = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)


def test_every_option_is_in_the_table(root):
    page = (root / "docs" / "layers.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    for option in LSTMOptions.__annotations__:
        assert f"`{option}`" in table or f"`{option}=" in table, option
