"""Using a trained translator: load a run, write texts from new texts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from recur.data.texts.batches import MAX_TOKENS
from recur.data.texts.pair_batches import MAX_ATTENTION, PairBatch, PairBatches
from recur.decode import Constraints, DecodingOptions, decode, stream
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_ensemble import TranslatorEnsemble
from recur.models.texts.translator_options import TranslatorOptions
from recur.models.texts.trigrams import Trigrams
from recur.run import RunFolder
from recur.tasks.asked_texts import listed
from recur.tasks.text_task import TrainedOnTexts
from recur.tasks.translate.forbidden import ForbiddenTexts
from recur.tasks.translate.members import Members
from recur.tasks.translate.networks import TranslationNetwork, build_network, check_alike
from recur.tasks.translate.required import Phrase, listed_for_each, required_phrases
from recur.tasks.translate.rule import (
    LEAST_TO_CHOOSE,
    SpeakingTrigrams,
    load_rule,
    rule_log_probs,
    save_rule,
    speaking_trigrams,
)
from recur.tasks.translate.search_options import SearchOptions
from recur.tasks.translate.setup import TranslationSetup
from recur.tasks.translate.translation import Translation, empty_translation, table_of, translation_of
from recur.token_ids import END, UNKNOWN

if TYPE_CHECKING:
    import polars as pl

    from recur.data.texts.examples import TextPairs


class TrainedTranslator(TrainedOnTexts[TranslationNetwork, TranslationSetup, TranslatorOptions]):
    """A translator, with all that it needs to read texts and to write.

    Args:
        network: Put in evaluation mode.
        setup: How texts become what it reads, and what it writes becomes texts.
        options: What it was built with.

    Attributes:
        decoding: How it searches where nothing else is said: as `SearchOptions` do, by five beams, scores divided by
            lengths.
        trigrams: Trigrams of targets that speak with the network; None where it speaks alone.
    """

    task = "translate"
    setup_type, options_type, knows = TranslationSetup, TranslatorOptions, "vocabularies"

    def __init__(self, network: TranslationNetwork, setup: TranslationSetup, options: TranslatorOptions) -> None:
        super().__init__(network, setup, options)
        self.decoding = SearchOptions().decoding()
        self.trigrams: SpeakingTrigrams | None = None
        self._forbidden: ForbiddenTexts | None = None

    @staticmethod
    def build(options: TranslatorOptions, setup: TranslationSetup) -> TranslationNetwork:
        """Return the network that recur trains with these options on such pairs, its weights freshly drawn.

        Raises:
            OptionError: The options need a vocabulary that the pairs do not have.
        """
        return build_network(options, setup)

    @classmethod
    def joined(cls, translators: Sequence[Self]) -> Self:
        """Return one translator that writes by the mean of several ones' probabilities, token by token.

        They share what they are made of: who changes a network changes it here too. Trigrams speak where they do so
        with each of them: those of the first, by its share.

        Args:
            translators: At least one, trained with the same options on the same training part, such as by other seeds
                where the data name their parts: those that are drawn are others for each seed.

        Raises:
            OptionError: There is none, or they differ in more than their weights.

        Example:
            ```python
            parts = PairOptions(valid_data="valid.tsv", test_data="test.tsv")
            runs = [
                recur.train_translator("train.tsv", texts=parts, training=PairTrainingOptions(seed=seed))
                for seed in range(5)
            ]
            together = TrainedTranslator.joined([recur.load(run) for run in runs])
            together.save("runs/together")
            ```
        """
        check_alike([one.options for one in translators], [one.setup for one in translators])
        first = translators[0]
        if len(translators) == 1:
            return first
        networks = [network for one in translators for network in one.networks]
        options = replace(first.options, members=len(networks))
        together = cls(TranslatorEnsemble(networks), first.setup, options)
        if all(one.trigrams is not None for one in translators):
            together.trigrams = first.trigrams
        return together

    # --- trigrams that speak too ---

    def _load_more(self, folder: RunFolder) -> None:
        self.trigrams = load_rule(folder, self.setup)

    def _save_more(self, folder: RunFolder) -> None:
        save_rule(folder, self.trigrams, self.setup)

    def choose_share(self, pairs: TextPairs, rule: Trigrams | None) -> None:
        """Choose by how much trigrams speak with the network: the least by which held-out targets are much likelier.

        They do not where these would be hardly likelier with any share, where they are fewer than `LEAST_TO_CHOOSE`,
        or where tokens are copied, of which trigrams know nothing.

        Args:
            pairs: That the network was not trained on.
            rule: The trigrams of the targets that it was trained on; None lets the network speak alone.
        """
        self.trigrams = None
        if rule is None or self.options.copying:
            return
        short = self.within(pairs)
        if len(short) < LEAST_TO_CHOOSE:
            return
        self.trigrams = speaking_trigrams(self.network, rule, self.batches(short.sources, short.targets))

    def target_log_probs(self, batch: PairBatch) -> Tensor:
        """Return how likely each token and end of the targets is by all that writes, (N,).

        As of `TranslatorNetwork.target_log_probs`.
        """
        said = self.network.target_log_probs(batch)
        return said if self.trigrams is None else self.trigrams.joined(said, rule_log_probs(self.trigrams.rule, batch))

    # --- writing ---

    @property
    def networks(self) -> tuple[TranslatorNetwork, ...]:
        """Those that write together; one where there are no members."""
        return self.network.networks if isinstance(self.network, TranslatorEnsemble) else (self.network,)

    def translate(
        self,
        sources: Sequence[str],
        *,
        decoding: DecodingOptions | None = None,
        required: Sequence[Sequence[str]] | None = None,
        forbidden: Sequence[str] = (),
        batch_size: int = 64,
        seed: int = 0,
        with_attention: bool = True,
    ) -> list[list[Translation]]:
        """Return what is written from texts, for each the best ones first: one, or `num_best` of `decoding`.

        An empty text becomes an empty one, with nothing asked of it.

        Args:
            sources: The texts.
            decoding: How to search; None for `decoding` of this object. Without a `max_length` an answer has as many
                tokens at most as `TranslationSetup.limits` says of its source. To a very long source it has fewer, see
                `MAX_ATTENTION`: its tokens times those of the source, times the beams.
            required: For each text what must be in the answer: words, or parts of it, as texts. Where targets are of a
                BPE a word that does not begin the answer is given with the blank before it, " word". What cannot be, as
                `max_length` leaves no room for it, or it could but be copied from a source that lacks it, is told as
                `missing`.
            forbidden: What must be in no answer, also where it would be copied from the source or take the place of an
                unknown word. Where targets are of words, or of what stands between blanks, these are whole words; of
                characters and of a BPE they may stand anywhere, also within words.
            batch_size: Texts at once; changes memory, not what is written, unless tokens are drawn.
            seed: Of what is drawn, with sampling.
            with_attention: Whether it is kept where each token looked, which takes most of the room of long answers.

        Raises:
            OptionError: Options do not go together, or a text that is required has an unknown token, which could be
                copied from none of the sources that require it.
            TypeError: A source is no text, what is forbidden no list, or what a text requires none.

        Example:
            ```python
            translator = recur.load("runs/translate")
            best = translator.translate(["Where is the station?"])[0][0]
            print(best.text, best.log_prob)
            ```
        """
        sources = listed("translate", sources)
        wanted = [[] for _ in sources] if required is None else listed_for_each(required, len(sources))
        forbidden = listed("forbidden", forbidden)
        decoding = decoding or self.decoding
        banned = self._forbidden_by(forbidden) if forbidden else None
        wanted = [own if source.strip() else [] for own, source in zip(wanted, sources, strict=True)]
        phrases = required_phrases(self.setup, sources, wanted, copying=self.options.copying)
        if banned is not None:
            banned.check_required(dict.fromkeys(text for own in wanted for text in own))
        device = next(self.network.parameters()).device
        generator = torch.Generator(device).manual_seed(seed)
        found = [[] if source.strip() else [empty_translation()] for source in sources]
        numbers = [number for number, told in enumerate(found) if not told]
        # Their weights are packed but once.
        members = self.members()
        with torch.no_grad():
            for batch in self.batches([sources[number] for number in numbers], batch_size=batch_size):
                rows = [numbers[index] for index in batch.index.tolist()]
                steps, state = members.begin(batch.to(device))
                if banned is not None:
                    own = [sources[row] for row in rows]
                    instead, copied = map(self.setup.words_at, own), map(self.copied, own)
                    steps, state = banned(steps, state, instead=[*instead], copied=[*copied], device=device)
                required_ids = [[*phrases[row].values()] for row in rows]
                answers = decode(steps, state, **self.asked(batch, decoding, required_ids, generator, device))
                for row, hypotheses in zip(rows, answers, strict=True):
                    more = self.copied(sources[row])
                    can, cannot = [*phrases[row]], [text for text in wanted[row] if text not in phrases[row]]
                    told = [translation_of(self.setup, sources[row], one, more, can, cannot) for one in hypotheses]
                    found[row] = told if with_attention else [replace(one, attention=None) for one in told]
        return found

    # As a decorator it leaves gradients as they are wherever a piece is yielded.
    @torch.no_grad()
    def stream(
        self, source: str, *, decoding: DecodingOptions | None = None, generator: torch.Generator | None = None
    ) -> Generator[str, None, Translation]:
        """Yield what is written from a text, piece by piece, as soon as it is settled; in the end return it as a whole.

        The pieces together are the text of `translate`. What stands from the first unknown word on, whose place a word
        of the source takes, comes in the end.

        Args:
            source: The text.
            decoding: How to search; None for `decoding` of this object with one beam, so that each token is settled at
                once.
            generator: Where sampling takes its random numbers from; None is torch's own.

        Raises:
            OptionError: Options do not go together.
            TypeError: The source is no text.
        """
        if not isinstance(source, str):
            raise TypeError(f"stream: takes a text, not {type(source).__name__}.")
        if not source.strip():
            return empty_translation()
        decoding = decoding or self.decoding.with_one_beam
        device = next(self.network.parameters()).device
        (batch,) = self.batches([source])
        more = self.copied(source)
        tokens: list[int] = []
        written = ""
        steps, state = self.members().begin(batch.to(device))
        search = stream(steps, state, **self.asked(batch, decoding, None, generator, device))
        while True:
            try:
                (new,) = next(search)
            except StopIteration as done:
                ((best,),) = done.value
                break
            tokens += new
            text = "" if UNKNOWN in tokens else self.setup.target_vocabulary.text_of(tokens, more)
            # The last letter of a BPE may not be whole yet.
            if len(text) > len(written) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(written) :]
                written = text
        found = translation_of(self.setup, source, best, more)
        if len(found.text) > len(written):
            yield found.text[len(written) :]
        return found

    def predict(
        self,
        data: Any,
        *,
        decoding: DecodingOptions | None = None,
        required: Sequence[str] = (),
        forbidden: Sequence[str] = (),
        batch_size: int = 64,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Return what is written from each text, as a table.

        Args:
            data: A list of texts, also an array or a column of them; or what `recur.data.texts.read_pairs` takes, such
                as a file with a text on each line or a dataframe, whose targets are not looked at; or what `setup.read`
                made of these. Of conversations each turn is answered, also the last one.
            decoding: As of `translate`, as all others.
            required: What must be in the answer to each text.
            forbidden: As of `translate`.
            batch_size: Likewise.
            seed: Likewise.

        Returns:
            A row for each text, also for one that is empty, which becomes an empty one: the source and the target,
            called as in training, the `score`, and how it `ended`, as of `Translation`: "length" where it was cut off;
            with several answers each has a row, and its `rank`, from 1 on. Where texts are required, what is `missing`
            of them, with commas between, or null. Where source or target are called so, these have an underscore behind
            their names.

        Raises:
            DataError: The data cannot be read.
            OptionError: Options do not go together.
            TypeError: What is required or forbidden is no list.
        """
        required = listed("required", required)
        sources = self.setup.read(data, has_targets=False).sources
        answers = self.translate(
            sources,
            decoding=decoding,
            required=[required] * len(sources) if required else None,
            forbidden=forbidden,
            batch_size=batch_size,
            seed=seed,
            with_attention=False,
        )
        several = (decoding or self.decoding).num_best > 1
        return table_of(sources, answers, self.setup.names, has_ranks=several, has_missing=bool(required))

    def batches(
        self,
        sources: Sequence[str],
        targets: Sequence[str] | None = None,
        *,
        batch_size: int = 64,
        max_tokens: int = MAX_TOKENS,
    ) -> PairBatches:
        """Return batches of texts as the network reads them, from the shortest to the longest.

        Args:
            sources: The texts.
            targets: What they become, where that is known.
            batch_size: As of `PairBatches`.
            max_tokens: Likewise.
        """
        copying = self.options.copying
        return self.setup.batches(sources, targets, batch_size=batch_size, max_tokens=max_tokens, copying=copying)

    def within(self, pairs: TextPairs) -> TextPairs:
        """Return the pairs that there is room for to look from target to source, with a note of the others."""
        return pairs if self.options.attention == "none" else self.setup.within(pairs)

    def members(self) -> Members:
        """Return all that writes."""
        return Members(self.networks, self.trigrams)

    def copied(self, source: str) -> list[str]:
        """Return what the ids behind the last one of targets stand for."""
        return self.setup.unknown_symbols(source) if self.options.copying else []

    def asked(
        self,
        batch: PairBatch,
        decoding: DecodingOptions,
        required: Sequence[Sequence[Phrase]] | None,
        generator: torch.Generator | None,
        device: torch.device,
    ) -> dict[str, Any]:
        """Return what the decoder is asked for, beside steps and their state."""
        lengths = batch.lengths.numpy()
        least = max(decoding.min_length, 1)
        limits = np.full(len(lengths), decoding.longest)
        if decoding.max_length is None:
            # There is room for what is required, and as much more.
            limits = self.setup.limits(lengths) + [sum(map(len, own)) for own in required or [()] * len(limits)]
        if self.options.attention != "none":
            # Of each open hypothesis it is kept where each token looked.
            limits = np.minimum(
                limits, MAX_ATTENTION // (np.maximum(lengths, 1) * max(decoding.beams, decoding.num_best))
            )
        return {
            "start": torch.full((len(batch.lengths),), END, device=device),
            "end": END,
            "options": decoding,
            "constraints": Constraints(
                # A network that never saw an unknown token in a target has not learned when it is one's place.
                forbidden=() if self.setup.num_unknown else (UNKNOWN,),
                required=required,
                max_lengths=torch.from_numpy(np.maximum(limits, least)),
            ),
            "source_lengths": batch.lengths.to(device),
            "generator": generator,
        }

    def _forbidden_by(self, texts: Sequence[str]) -> ForbiddenTexts:
        """Return what keeps texts from being written, which is kept, as mostly the same ones are forbidden again."""
        vocabulary = self.setup.target_vocabulary
        if self._forbidden is None or not self._forbidden.is_of(texts, vocabulary):
            self._forbidden = ForbiddenTexts(texts, vocabulary)
        return self._forbidden
