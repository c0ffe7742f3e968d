"""The examples in the page on the layers say what they print."""

import doctest


def test_the_examples(root):
    path = root / "docs" / "layers.md"
    examples = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, "layers.md", str(path), 0)
    assert len(examples.examples) > 20
    said = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)
