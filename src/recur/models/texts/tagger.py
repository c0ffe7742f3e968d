"""A network that tells the tag of each token of a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recur.errors import OptionError
from recur.models.layer_back_ends import explain_layers
from recur.models.texts.characters import READERS
from recur.models.texts.encoder import begin_with, recurrent_layers, token_vectors, with_unknown
from recur.models.texts.tagger_options import TaggerOptions
from recur.nn import LabelledSpan, Linear, LinearChainCRF, bio_constraints

if TYPE_CHECKING:
    from recur.data.texts.tagged_batches import TaggedBatch


class TaggerNetwork(nn.Module):
    """Vectors of words and of their characters, recurrent layers in both directions, and a chain of tags.

    ```text
    e_t = dropout([E[word_t]; characters(word_t)])
    h_t = layers(e_t, h_{t-1}), in both directions
    emissions_t = W dropout(h_t) + b
    score(y) = start[y_1] + Σ_t emissions[t, y_t] + Σ_{t>1} transitions[y_{t-1}, y_t] + end[y_T]
    ```

    The loss is the negative log-probability of the true tags, in nats a token. With output="softmax" start, transitions
    and end are zero and not learned, which leaves the cross-entropy of each tag by itself. In telling tags, either way,
    only such sequences count as the scheme allows.

    Source: Huang, Xu & Yu (2015); with characters Lample et al. (2016) and Ma & Hovy (2016).

    Args:
        options: Shape, regularisation and output.
        tags: Names of the K tags.
        num_tokens: V, ids of the vocabulary of words. Id 0 is padding, 1 stands for what is unknown.
        num_characters: Ids of the vocabulary of characters; looked at where characters are read.
        scheme: Of the tags, as of `recur.nn.bio_constraints`; None where each may follow each.

    Raises:
        OptionError: There is no tag.
        ValueError: Tags are none of the scheme.

    Example:
        >>> from recur.data.texts.tagged_batches import TaggedBatches, Words
        >>> from recur.data.texts.token_options import TokenOptions, WordOptions
        >>> from recur.data.texts.vocabulary import TextVocabulary
        >>> known = TextVocabulary.fit_tokens(["Ada", "wrote"], WordOptions(min_count=1))
        >>> letters = TextVocabulary.fit(["Ada", "wrote"], TokenOptions(tokens="character", lowercase=False))
        >>> words = Words.of([["Ada", "wrote"], ["Ada"]], known, letters)
        >>> tags = ["O", "B-PER", "I-PER"]
        >>> network = TaggerNetwork(TaggerOptions(), tags, known.size, letters.size, scheme="BIO").eval()
        >>> (batch,) = TaggedBatches(words, batch_size=2)
        >>> emissions = network(batch)
        >>> emissions.shape, [len(labels) for labels in network.crf.decode(emissions, batch.lengths)]
        (torch.Size([2, 2, 3]), [1, 2])
    """

    def __init__(
        self,
        options: TaggerOptions,
        tags: Sequence[str],
        num_tokens: int,
        num_characters: int,
        *,
        scheme: str | None = None,
    ) -> None:
        if not tags:
            raise OptionError("tags: there is none; give at least one.")
        super().__init__()
        self.options = options = options.completed()
        assert options.embedding_size is not None
        assert options.hidden_size is not None
        self.embedding = token_vectors(num_tokens, options.embedding_size)
        self.characters: nn.Module | None = None
        width = options.embedding_size
        if options.characters != "none":
            self.characters = READERS[options.characters](
                num_characters, character_size=options.character_size, num_features=options.character_features
            )
            width += options.character_features
        self.recurrent = recurrent_layers(options, width)
        self.output = Linear(options.hidden_size * (2 if options.bidirectional else 1), len(tags))
        self.crf = LinearChainCRF(len(tags), constraints=None if scheme is None else bio_constraints(tags, scheme))
        if options.output == "softmax":
            self.crf.requires_grad_(False)
            for parameter in self.crf.parameters():
                nn.init.zeros_(parameter)
        self.embedding_dropout = nn.Dropout(options.embedding_dropout)
        self.dropout = nn.Dropout(options.dropout)

    @torch.no_grad()
    def fit_tags(self, counts: Tensor) -> None:
        """Begin at how frequent tags are in the training part.

        Args:
            counts: Tokens of each tag, (K,).
        """
        self.output.bias.copy_(((counts + 0.5) / (counts.sum() + 1)).log().to(self.output.bias))

    def take_vectors(self, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
        """Let words begin with vectors that were trained elsewhere, as of `begin_with`."""
        begin_with(self.embedding, ids, vectors, freeze=freeze)

    def forward(self, batch: TaggedBatch) -> Tensor:
        """Return how well each tag fits each token, (T, B, K) of the weights' dtype; tags are not looked at."""
        return self.read(self.embedded(batch), batch.lengths)

    def embedded(self, batch: TaggedBatch) -> Tensor:
        """Return what the recurrent layers read of tokens, their vectors and the features of their characters.

        Args:
            batch: Of sentences; in training some of its tokens are read as unknown.

        Returns:
            (T, B, E).
        """
        x_TB = batch.x.t()
        if self.training and self.options.token_dropout:
            x_TB = with_unknown(x_TB, self.options.token_dropout)
        e_TBE: Tensor = self.embedding(x_TB)
        if self.characters is None:
            return e_TBE
        of_word_UF = self.characters(batch.characters, batch.character_lengths)
        return torch.cat([e_TBE, of_word_UF[batch.word.t()]], 2)

    def read(self, e_TBE: Tensor, lengths: Tensor) -> Tensor:
        """Return how well each tag fits each token, (T, B, K), by what `embedded` returns and the lengths, (B,)."""
        h_TBH, _ = self.recurrent(self.embedding_dropout(e_TBE), lengths=lengths)
        emissions: Tensor = self.output(self.dropout(h_TBH))
        return emissions

    def tag_probability(self, e_TBE: Tensor, lengths: Tensor) -> Tensor:
        """Return the probability of each tag at each token, over all sequences of tags that are allowed, (T, B, K).

        Args:
            e_TBE: What `embedded` returns.
            lengths: Tokens of each sentence, (B,) int64.
        """
        return self.crf.marginals(self.read(e_TBE, lengths), lengths)

    def loss(self, batch: TaggedBatch) -> Tensor:
        """Return the mean loss of the tokens whose sentences count, (); zero where none does."""
        total, counted = self.loss_sums(batch)
        return total / torch.where(counted > 0, counted, 1)

    def loss_sums(self, batch: TaggedBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses, in nats, and of how many tokens it is, () both."""
        emissions_TBK, target_TB = self(batch), batch.target.t()
        if self.options.output == "crf":
            losses_B = -self.crf.log_likelihood(emissions_TBK, target_TB, batch.lengths)
        else:
            is_token_TB = torch.arange(len(target_TB), device=target_TB.device)[:, None] < batch.lengths
            losses_TB = cross_entropy(emissions_TBK.flatten(0, 1), target_TB.flatten(), reduction="none")
            losses_B = torch.where(is_token_TB, losses_TB.view_as(target_TB), 0).sum(0)
        weight = batch.weight.to(losses_B.dtype)
        return (losses_B * weight).sum(), (batch.lengths * weight).sum()

    def span_probability(
        self,
        emissions: Tensor,
        lengths: Tensor,
        spans: Sequence[tuple[int, int, Sequence[int]]],
        marginals: Tensor | None = None,
    ) -> Tensor:
        """Return how likely some tokens have given tags, whatever the others have, (S,), without a gradient.

        Args:
            emissions: As `forward` returned them.
            lengths: Tokens of each sentence, (B,) int64.
            spans: Of each its sentence, its first token, and the numbers of its tags.
            marginals: As of the chain, (T, B, K), where they are at hand.
        """
        named = [LabelledSpan(*span) for span in spans]
        return self.crf.span_log_probability(emissions, named, lengths, marginals=marginals).exp()

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the output layer and of the chain, which a bound on each unit leaves alone."""
        yield from self.output.parameters()
        yield from self.crf.parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers on such sentences, and why each other one does not."""
        return explain_layers(self, batch_size, num_steps)
