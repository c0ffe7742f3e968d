"""Using a trained tagger: load a run, tell the tags and entities of new sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recur.data.texts.batches import MAX_TOKENS
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.texts.tagger import TaggerNetwork
from recur.models.texts.tagger_options import TaggerOptions
from recur.tasks.tags.setup import TagSetup
from recur.tasks.tags.telling import Told, tell
from recur.tasks.text_task import TrainedOnTexts

if TYPE_CHECKING:
    import polars as pl


Places = tuple[tuple[int, int], ...] | None
"""Where each token begins and ends in its text; None where tokens were given."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """An entity that was told in a sentence.

    Attributes:
        kind: What it is, such as "PER".
        text: As it stands in the text; of tokens that were given as such, these with blanks between.
        begin: Its first token.
        end: The token after its last one.
        place: Where it begins and ends in the text; None where tokens were given.
        probability: That it begins and ends there and is of this kind.
    """

    kind: str
    text: str
    begin: int
    end: int
    place: tuple[int, int] | None
    probability: float


@dataclass(frozen=True, kw_only=True)
class TaggedText:
    """A sentence, and what was told of its tokens.

    Attributes:
        tokens: As they stand in the text.
        tags: The tag of each.
        probability: Of each of these tags, over all sequences of tags.
        entities: In the order of their places; none where tags write no entities.
        text: As it was given; empty where tokens were given.
        places: Where each token begins and ends in the text; None where tokens were given.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    probability: tuple[float, ...]
    entities: tuple[Entity, ...]
    text: str = ""
    places: Places = None


class TrainedTagger(TrainedOnTexts[TaggerNetwork, TagSetup, TaggerOptions]):
    """A tagger, with all that it needs to read sentences.

    Args:
        network: Put in evaluation mode.
        setup: How sentences become what it reads.
        options: What it was built with.
    """

    task = "tag"
    setup_type, options_type, knows = TagSetup, TaggerOptions, "vocabularies or tags"

    @staticmethod
    def build(options: TaggerOptions, setup: TagSetup) -> TaggerNetwork:
        """Return the network that recur trains with these options on such sentences, its weights freshly drawn."""
        network = TaggerNetwork(options, setup.tags, setup.words.size, setup.characters.size, scheme=setup.scheme)
        network.fit_tags(torch.tensor(setup.counts))
        return network

    # --- telling ---

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the tags."""
        return self.setup.tags

    def tag(self, sentences: Sequence[str] | Sequence[Sequence[str]], *, batch_size: int = 64) -> list[TaggedText]:
        """Return the tags and entities of sentences.

        Args:
            sentences: Texts, which are cut into words, numbers and marks; or the tokens of each sentence.
            batch_size: Sentences at once; changes memory, not what is told.

        Returns:
            One for each sentence, in their order; of an empty one without tokens.

        Raises:
            TypeError: They are neither.
            OptionError: The batch size is out of range.
        """
        if isinstance(sentences, str):
            raise TypeError("sentences: got a single text; give a list of texts, or of lists of tokens.")
        rows = list(sentences)
        tokens, pieces = self.setup.tokens_of(rows)
        told = self.told(tokens, batch_size=batch_size)
        places: list[Places] = [tuple((piece.begin, piece.end) for piece in row) for row in pieces]
        places = places or [None] * len(rows)
        return [_tagged(*one) for one in zip(rows, tokens, places, told, strict=True)]

    def told(
        self, tokens: Sequence[Sequence[str]], tags: Sequence[Sequence[str]] | None = None, *, batch_size: int = 64
    ) -> list[Told]:
        """Return what the network says of the tokens of sentences, and of true tags beside it.

        Args:
            tokens: Of each sentence.
            tags: The true tags, where they are known.
            batch_size: Sentences at once.
        """
        if not is_whole(batch_size, 1):
            raise OptionError(f"batch_size: expected a number from 1 on, got {batch_size!r}.")
        batches = self.setup.batches(tokens, tags, batch_size=batch_size, max_tokens=4 * MAX_TOKENS)
        return tell(self.network, self.setup.tags, batches, scheme=self.setup.scheme)

    def predict(self, data: Any, *, batch_size: int = 64) -> pl.DataFrame:
        """Return the tag of each token.

        Args:
            data: Texts or lists of tokens as `tag` takes them, in a list or a tuple, an array or a column; or what
                `recur.data.texts.read_tagged_sentences` takes, such as a file, whose tags are not looked at. A file of
                text has a sentence on each line.
            batch_size: Sentences at once; changes memory, not what is told.

        Returns:
            For each token the number of its `sentence`, from 1 on, the `token`, its `tag` and the tag's `probability`.
            Sentences without tokens count too: of a file with one on each line, their numbers are those of the lines.

        Raises:
            DataError: The data cannot be read.
            TypeError: They are nothing of the above.
        """
        import polars as pl

        found = self._tagged(data, batch_size)
        cells: dict[str, list[Any]] = {"sentence": [], "token": [], "tag": [], "probability": []}
        for number, one in enumerate(found, 1):
            cells["sentence"] += [number] * len(one.tokens)
            cells["token"] += one.tokens
            cells["tag"] += one.tags
            cells["probability"] += one.probability
        kinds = {"sentence": pl.Int64, "token": pl.String, "tag": pl.String, "probability": pl.Float64}
        return pl.DataFrame(cells, schema=kinds)

    def predict_sentences(self, data: Any, *, batch_size: int = 64) -> pl.DataFrame:
        """Return the tags and entities of each sentence.

        Args:
            data: As of `predict`.
            batch_size: Likewise.

        Returns:
            For each sentence its `text`, empty where tokens are given, and lists of its `tokens`, `tags` and
            `entities`, each with the attributes of an `Entity`.

        Raises:
            DataError: The data cannot be read.
            TypeError: They are nothing of the above.
        """
        import polars as pl

        names: dict[str, Any] = {
            "kind": pl.String,
            "text": pl.String,
            "begin": pl.Int64,
            "end": pl.Int64,
            "place": pl.List(pl.Int64),
            "probability": pl.Float64,
        }
        rows = [
            {
                "text": one.text,
                "tokens": list(one.tokens),
                "tags": list(one.tags),
                "entities": [{name: getattr(entity, name) for name in names} for entity in one.entities],
            }
            for one in self._tagged(data, batch_size)
        ]
        words = pl.List(pl.String)
        kinds: dict[str, Any] = {
            "text": pl.String,
            "tokens": words,
            "tags": words,
            "entities": pl.List(pl.Struct(names)),
        }
        return pl.DataFrame(rows, schema=kinds)

    def _tagged(self, data: Any, batch_size: int) -> list[TaggedText]:
        return self.tag(self.setup.sentences(data)[0], batch_size=batch_size)


def _tagged(text: str | Sequence[str], tokens: Sequence[str], places: Places, told: Told) -> TaggedText:
    entities = []
    for kind, begin, end, probability in told.entities:
        place = None if places is None else (places[begin][0], places[end - 1][1])
        named = text[slice(*place)] if place is not None and isinstance(text, str) else " ".join(tokens[begin:end])
        entities.append(Entity(kind=kind, text=named, begin=begin, end=end, place=place, probability=probability))
    return TaggedText(
        tokens=tuple(tokens),
        tags=told.tags,
        probability=told.probability,
        entities=tuple(entities),
        text=text if isinstance(text, str) else "",
        places=places,
    )
