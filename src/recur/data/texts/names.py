"""What columns of texts, classes, pairs, tokens and parts are called; of several the first ones are meant."""

from __future__ import annotations

import re

TEXT = (
    "text texts sentence sentences review reviews comment comments content body message messages tweet utterance "
    "utterances question query document headline title description abstract post summary phrase name input surname"
)
LABEL = (
    "label labels class classes category categories sentiment sentiments emotion emotions intent topic topics target "
    "polarity stars rating language lang genre tag tags author is_spam stance verdict grade y output"
)
SOURCE = (
    "source src input inputs question questions query prompt instruction command word words grapheme graphemes "
    "spelling article document text context from"
)
TARGET = (
    "target tgt trg output outputs answer answers response reply completion actions action pronunciation phoneme "
    "phonemes pron ipa summary headline highlights translation to"
)
TOKENS = "tokens words sentence text forms"
TAGS = "tags ner_tags labels ner pos_tags upos chunk_tags"
PART = "part split subset set fold partition"

LANGUAGES = (
    "arabic chinese czech danish dutch english finnish french german greek hindi hungarian italian japanese korean "
    "polish portuguese russian spanish swedish turkish ukrainian vietnamese "
    "ar cs de en es fr hi it ja ko nl pl pt ru zh"
)

KNOWN = frozenset(" ".join([TEXT, LABEL, SOURCE, TARGET, TOKENS, TAGS, PART, LANGUAGES, "id"]).split())
"""What tells that a line names columns."""


def plain(name: str) -> str:
    """Return a name in small letters with underscores.

    Example:
        >>> plain("Review Text"), plain("reviewText")
        ('review_text', 'review_text')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")
