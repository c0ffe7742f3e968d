from __future__ import annotations

from recur.data.tokenizer import CharacterTokenizer
from recur.tasks.language.writer import Writer

TOKENIZER = CharacterTokenizer.of("ab.")


def pushed(writer: Writer, text: str) -> list[str]:
    return [writer.push(int(token)) for token in TOKENIZER.encode(text)]


def test_what_may_begin_the_stop_string_is_held_back() -> None:
    writer = Writer(TOKENIZER, "ab.")
    assert pushed(writer, "bab") == ["b", "", ""]
    assert not writer.is_done
    assert writer.flush() == "ab"
    assert writer.flush() == ""


def test_nothing_is_written_from_the_stop_string_on() -> None:
    writer = Writer(TOKENIZER, "ab.")
    assert pushed(writer, "bab.aa") == ["b", "", "", "", "", ""]
    assert writer.is_done
    assert writer.flush() == ""


def test_without_a_stop_string_every_character_is_written_at_once() -> None:
    assert pushed(Writer(TOKENIZER, None), "ab.") == ["a", "b", "."]
