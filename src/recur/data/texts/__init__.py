"""Text data sets: from files, folders or dataframes to checked examples, each with its part and its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.data.texts.examples import Examples as Examples
    from recur.data.texts.examples import LabelledTexts as LabelledTexts
    from recur.data.texts.examples import TaggedSentences as TaggedSentences
    from recur.data.texts.examples import TextPairs as TextPairs
    from recur.data.texts.glance import TextGlance as TextGlance
    from recur.data.texts.glance import glance_at_texts as glance_at_texts
    from recur.data.texts.labelled import read_labelled_texts as read_labelled_texts
    from recur.data.texts.options import LabelledTextOptions as LabelledTextOptions
    from recur.data.texts.options import PairOptions as PairOptions
    from recur.data.texts.options import TaggedTextOptions as TaggedTextOptions
    from recur.data.texts.options import TextOptions as TextOptions
    from recur.data.texts.pairs import read_pairs as read_pairs
    from recur.data.texts.places import Places as Places
    from recur.data.texts.roles import TextRoles as TextRoles
    from recur.data.texts.splitting import split_examples as split_examples
    from recur.data.texts.tagged import read_tagged_sentences as read_tagged_sentences

_ORIGINS = {
    "Examples": ".examples",
    "LabelledTextOptions": ".options",
    "LabelledTexts": ".examples",
    "PairOptions": ".options",
    "Places": ".places",
    "TaggedSentences": ".examples",
    "TaggedTextOptions": ".options",
    "TextGlance": ".glance",
    "TextOptions": ".options",
    "TextPairs": ".examples",
    "TextRoles": ".roles",
    "glance_at_texts": ".glance",
    "read_labelled_texts": ".labelled",
    "read_pairs": ".pairs",
    "read_tagged_sentences": ".tagged",
    "split_examples": ".splitting",
}

__all__ = [
    "Examples",
    "LabelledTextOptions",
    "LabelledTexts",
    "PairOptions",
    "Places",
    "TaggedSentences",
    "TaggedTextOptions",
    "TextGlance",
    "TextOptions",
    "TextPairs",
    "TextRoles",
    "glance_at_texts",
    "read_labelled_texts",
    "read_pairs",
    "read_tagged_sentences",
    "split_examples",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
