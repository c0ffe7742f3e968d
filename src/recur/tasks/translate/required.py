"""What each answer must hold, as texts and as the tokens that write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recur.errors import OptionError
from recur.tasks.asked_texts import listed
from recur.tasks.translate.setup import TranslationSetup
from recur.token_ids import UNKNOWN

Phrase = tuple[int, ...]


def listed_for_each(required: Sequence[Sequence[str]], num_sources: int) -> list[list[str]]:
    """Return what each source requires, as lists.

    Args:
        required: Texts of each source.
        num_sources: How many sources there are.

    Raises:
        OptionError: There are not as many lists.
        TypeError: What one requires is no list of texts.
    """
    wanted = "required: takes a list of texts for each source"
    if isinstance(required, str):
        raise TypeError(f"{wanted}, not one text; give [[text]] for one source.")
    if not isinstance(required, Iterable):
        raise TypeError(f"{wanted}, not {type(required).__name__}.")
    found = list(required)
    for number, one in enumerate(found, start=1):
        if isinstance(one, str):
            raise TypeError(f"{wanted}, but number {number} is a text; give [text].")
    if len(found) != num_sources:
        raise OptionError(
            f"required: there are {num_sources} texts, and what {len(found)} of them require; give a list for each."
        )
    return [listed(f"required, number {number}", one) for number, one in enumerate(found, start=1)]


def required_phrases(
    setup: TranslationSetup, sources: Sequence[str], required: Sequence[Sequence[str]], *, copying: bool
) -> list[dict[str, Phrase]]:
    """Return for each source the tokens of what it requires, without what cannot be written from it.

    Args:
        setup: How texts become tokens.
        sources: The texts.
        required: What the answer to each must hold.
        copying: Whether tokens of sources can be copied.

    Raises:
        OptionError: A text can be written from none of the sources that require it.
    """
    ids = [
        {text: tuple(setup.target_ids(text, source, copying=copying)) for text in texts}
        for source, texts in zip(sources, required, strict=True)
    ]
    found = [{text: own for text, own in one.items() if own and UNKNOWN not in own} for one in ids]
    known = {text for one in found for text in one}
    for text in (text for texts in required for text in texts):
        if text not in known:
            copied = ", or copy from a source that requires it" if copying else ""
            raise OptionError(f"required: {text!r} is not made of tokens that the translator can write{copied}.")
    return found
