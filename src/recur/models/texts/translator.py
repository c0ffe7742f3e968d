"""A network that writes a text, token by token, from what it reads of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from recur.models.cells import CELLS
from recur.models.layer_back_ends import explain_layers
from recur.models.texts.encoder import begin_with
from recur.models.texts.translator_options import TranslatorOptions
from recur.nn import Alignment, Attention, Linear, Memory, attention_of
from recur.nn.fed_steps import fed_steps, takes_fed_steps
from recur.token_ids import END, PADDING, UNKNOWN

if TYPE_CHECKING:
    from recur.data.texts.pair_batches import PairBatch

_SPREAD = 0.1
"""Standard deviation of the vectors of tokens before training; with 1 rare ones, seldom learnt, would be loudest."""

Layers = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""Recurrent layers: their output and state, (T, B, H) and as of `Read`, by input and state."""


class Read(NamedTuple):
    """What an encoder knows of B sources.

    Attributes:
        memory: What the decoder looks at; None without attention.
        state: The state that the decoder begins with: a tensor (L, B, H), or a pair of them for an LSTM.
        copies: What each token of the sources is as a target, (B, S) int64; None where nothing is copied.
        num_more: How many ids these have behind the last one of targets.
    """

    memory: Memory | None
    state: Any
    copies: Tensor | None = None
    num_more: int = 0


class Written(NamedTuple):
    """What a decoder makes of T tokens of B rows.

    Attributes:
        features: (T, B, F), what the output layer reads.
        weights: Where each step looked, (T, B, S); None without attention.
        gate: Logit of writing a token rather than copying one, (T, B); None where nothing is copied.
        state: The decoder's state after the last step, as of `Read`.
        alignment: The state of the attention; None where it has none.
    """

    features: Tensor
    weights: Tensor | None
    gate: Tensor | None
    state: Any
    alignment: Alignment | None


class TranslatorNetwork(nn.Module):
    """Recurrent encoder, attention, and a recurrent decoder that writes one token after the other.

    ```text
    h_1, ..., h_S = encoder(E[x_1], ..., E[x_S])         in both directions
    s_0 = tanh(W_b h_last + b_b)                         the bridge
    s_t = decoder(D[y_{t-1}] [, a_{t-1}], s_{t-1})       a_{t-1} with input_feeding
    c_t = attention(s_t, h)
    a_t = tanh(W_a [s_t, c_t] + b_a)
    p(y_t) = softmax(W a_t + b)                          (W = D where tied)
    p(y_t) = g_t softmax(W a_t + b) + (1 - g_t) sum of the weights at source tokens y_t        with copying
    g_t = sigmoid(w [c_t, s_t, D[y_{t-1}]] + b_g)
    ```

    Where the weights sum to less than 1, as of a source without tokens, and of monotonic attention that ran past the
    last one, the rest of 1 - g_t is written too.

    Sources: Sutskever et al. (2014), Bahdanau et al. (2015), Luong et al. (2015) section 3; copies: See et al. (2017),
    equations 8 and 9. Without `input_feeding` the right tokens are fed to all steps of the decoder in one pass.

    Args:
        options: Shape, regularisation and loss.
        num_sources: Ids of the sources' vocabulary. Id 0 is padding, 1 stands for what is unknown.
        num_targets: V, ids of the targets' vocabulary. Id 0 begins a target and ends it.

    Example:
        >>> from recur.data.texts.pair_batches import PairBatches
        >>> from recur.token_ids import Ragged
        >>> network = TranslatorNetwork(TranslatorOptions(hidden_size=8), num_sources=100, num_targets=50)
        >>> pairs = PairBatches(Ragged.of([[5, 7], [9]]), Ragged.of([[3], [4, 6]]), batch_size=2)
        >>> network(next(iter(pairs))).shape
        torch.Size([2, 3, 50])
    """

    def __init__(self, options: TranslatorOptions, num_sources: int, num_targets: int) -> None:
        super().__init__()
        self.options = options = options.completed()
        assert options.embedding_size is not None
        assert options.hidden_size is not None
        assert options.dropout is not None
        assert options.embedding_dropout is not None
        self.num_targets = num_targets
        embedded, hidden, layers = options.embedding_size, options.hidden_size, options.num_layers
        width = hidden * (2 if options.bidirectional else 1)
        num_features = hidden if options.tied == "none" else embedded
        self.embedding = nn.Embedding(num_targets, embedded)
        self.source_embedding = (
            self.embedding if options.tied == "all" else nn.Embedding(num_sources, embedded, padding_idx=PADDING)
        )
        with torch.no_grad():
            for one in (self.embedding, self.source_embedding):
                nn.init.normal_(one.weight, std=_SPREAD)
        between: dict[str, Any] = {}
        if layers > 1:
            between = {"dropout": options.dropout, "skip": "residual" if options.residual else None}
        cell = CELLS[options.cell]
        self.encoder = cell(embedded, hidden, layers, bidirectional=options.bidirectional, **between)
        fed = num_features if options.input_feeding else 0
        self.decoder = cell(embedded + fed, hidden, layers, **between)
        self.bridges = nn.ModuleList(Linear(width, hidden) for _ in range(2 if options.cell == "lstm" else 1))
        self.attention: Attention | None = None
        if options.attention != "none":
            self.attention = attention_of(options.attention, hidden, width)
        context = 0 if self.attention is None else self.attention.context_size
        self.mixture = Linear(hidden + context, num_features)
        self.gate = Linear(context + hidden + embedded, 1) if options.copying else None
        self.output = Linear(num_features, num_targets)
        if options.tied != "none":
            self.output.weight = self.embedding.weight
        self.embedding_dropout = nn.Dropout(options.embedding_dropout)
        self.dropout = nn.Dropout(options.dropout)
        self._progress = 0.0

    def take_vectors(
        self, ids: Tensor, vectors: Tensor, *, freeze: bool = False, side: Literal["source", "target"] = "source"
    ) -> None:
        """Let tokens of sources or of targets begin with vectors that were trained elsewhere, as of `begin_with`."""
        begin_with(self.source_embedding if side == "source" else self.embedding, ids, vectors, freeze=freeze)

    # --- reading and writing ---

    def read(self, x: Tensor, lengths: Tensor, copies: Tensor | None = None) -> Read:
        """Return what is known of sources.

        Args:
            x: Token ids, (B, S) int64.
            lengths: Tokens of each source, (B,) int64.
            copies: As of `PairBatch`; needed with copying.
        """
        return self.read_vectors(self.source_embedding(x.t()), lengths, copies)

    def read_vectors(self, e_SBE: Tensor, lengths: Tensor, copies: Tensor | None = None) -> Read:
        """Return what is known of sources whose vectors of tokens, (S, B, E), are given; all else is as of `read`."""
        h_SBH, final = self.encoder(self.embedding_dropout(e_SBE), lengths=lengths)
        finals = final if isinstance(final, tuple) else (final,)
        batch, layers = e_SBE.shape[1], self.options.num_layers
        begun = []
        for bridge, of_all in zip(self.bridges, finals, strict=True):
            # (L * D, B, H), the directions of a layer one after the other.
            joined = of_all.unflatten(0, (layers, -1)).transpose(1, 2).reshape(layers, batch, -1)
            begun.append(torch.tanh(bridge(joined)))
        memory = None if self.attention is None else self.attention.prepare(h_SBH, lengths)
        state = tuple(begun) if isinstance(final, tuple) else begun[0]
        if self.gate is None or copies is None:
            return Read(memory, state)
        return Read(memory, state, copies, max(0, int(copies.max()) + 1 - self.num_targets))

    def write(
        self,
        read: Read,
        y_TB: Tensor,
        *,
        state: Any = None,
        alignment: Alignment | None = None,
        fed: Tensor | None = None,
        layers: Layers | None = None,
    ) -> Written:
        """Return what the decoder makes of tokens.

        Args:
            read: What is known of the sources.
            y_TB: The tokens that the steps read, each the one before that which is to be written, (T, B) int64.
            state: The decoder's state before them; None for that of `read`.
            alignment: The state of the attention; None before the first step.
            fed: With input_feeding the features of the step before, (B, F); None before the first step.
            layers: What runs the decoder's recurrent layers; None for these themselves.
        """
        # Only where tokens are copied are there such that the targets do not have.
        known = y_TB if self.gate is None else torch.where(y_TB < self.num_targets, y_TB, UNKNOWN)
        e_TBE = self.embedding_dropout(self.embedding(known))
        state = read.state if state is None else state
        if not self.options.input_feeding:
            return self._written(read, e_TBE, e_TBE, state, alignment, layers or self.decoder)
        if fed is None:
            fed = e_TBE.new_zeros(e_TBE.shape[1], self.mixture.out_features)
        if layers is None and takes_fed_steps(self.decoder, self.attention):
            return self._written_at_once(read, e_TBE, state, fed)
        layers = layers or self.decoder
        steps = []
        for e_1BE in e_TBE.split(1):
            step = self._written(read, torch.cat([e_1BE, fed[None]], -1), e_1BE, state, alignment, layers)
            state, alignment, fed = step.state, step.alignment, step.features[0]
            steps.append(step)
        features, weights, gates, _, _ = zip(*steps, strict=True)
        return Written(torch.cat(features), _joined(weights), _joined(gates), state, alignment)

    def _written(
        self, read: Read, x_TBI: Tensor, e_TBE: Tensor, state: Any, alignment: Alignment | None, layers: Layers
    ) -> Written:
        s_TBH, state = layers(x_TBI, state)
        weights = gate = None
        mixed = s_TBH
        if self.attention is not None:
            assert read.memory is not None
            contexts, weights, alignment = self.attention(s_TBH, read.memory, alignment)
            mixed = torch.cat([s_TBH, contexts], -1)
            if self.gate is not None:
                gate = self.gate(torch.cat([contexts, s_TBH, e_TBE], -1)).squeeze(-1)
        return Written(self.dropout(torch.tanh(self.mixture(mixed))), weights, gate, state, alignment)

    def _written_at_once(self, read: Read, e_TBE: Tensor, state: Any, fed: Tensor) -> Written:
        """Return what all steps make of the right tokens with input feeding."""
        assert read.memory is not None
        kept = None
        if self.training and self.dropout.p:
            kept = self.dropout(e_TBE.new_ones(*e_TBE.shape[:2], self.mixture.out_features))
        steps = fed_steps(self.decoder, self.mixture, read.memory, e_TBE, state, fed, kept)
        gate = None
        if self.gate is not None:
            gate = self.gate(torch.cat([steps.contexts, steps.states, e_TBE], -1)).squeeze(-1)
        return Written(steps.features, steps.weights, gate, (steps.states[-1:], steps.cell[None]), None)

    def log_probs(self, written: Written, read: Read) -> Tensor:
        """Return the log-probabilities of what follows each step, (T, B, V + K); -inf of ids that a row does not have.

        Args:
            written: Of T steps.
            read: What is known of the sources, with K ids behind the last one of targets.
        """
        said = log_softmax(self.output(written.features), -1)
        if read.copies is None:
            return said
        assert written.gate is not None
        assert written.weights is not None
        weights = written.weights.to(said.dtype)
        copied = said.new_zeros(*said.shape[:2], self.num_targets + read.num_more)
        # Padding has no weight, so that no end is copied.
        copied = copied.scatter_add(2, read.copies.expand(len(said), -1, -1), weights)
        copied = logsigmoid(-written.gate)[..., None] + _log(copied)
        written_TBV = _log_share(written.gate, weights)[..., None] + said
        both = torch.logaddexp(written_TBV, copied[..., : self.num_targets])
        more = torch.arange(self.num_targets, copied.shape[2], device=said.device)
        is_of_row = more <= read.copies.amax(1)[:, None]
        return torch.cat([both, copied[..., self.num_targets :].masked_fill(~is_of_row, -torch.inf)], -1)

    # --- learning ---

    def forward(self, batch: PairBatch) -> Tensor:
        """Return the log-probabilities of each token of the targets, given those before it, (B, T, V + K).

        K is 0 without copying.
        """
        read = self.read(batch.x, batch.lengths, batch.copies)
        return self.log_probs(self.write(read, _before(batch.y)), read).transpose(0, 1)

    def loss(self, batch: PairBatch) -> Tensor:
        """Return the mean loss of the targets' tokens and ends, as of `loss_sums`, ()."""
        total, counted = self.loss_sums(batch)
        return total / counted

    def loss_sums(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of the targets' tokens and ends, in nats, and how many there are, () both.

        Labels are smoothed while weights are judged too: without, the best ones would be those that have not learnt to
        be as unsure as smoothing asks for.
        """
        read = self.read(batch.x, batch.lengths, batch.copies)
        y_TB = _before(batch.y)
        if self.training and self.options.scheduled_sampling:
            y_TB = self._with_own(read, y_TB)
        written = self.write(read, y_TB)
        is_token, target = _targets(batch)
        # Of the true steps alone: the output layer is what costs most.
        features, output = written.features[is_token], self.output
        smoothing = self.options.label_smoothing or 0.0
        if read.copies is None:
            loss = output.cross_entropy(features, target, label_smoothing=smoothing)
        else:
            said, found = self._with_copies(written, read.copies, output(features), target, is_token)
            # What is smoothed is what the network writes itself.
            loss = -((1 - smoothing) * found + smoothing * said.mean(1)).sum()
        if self.options.coverage and written.weights is not None:
            # Of weights whose steps are over nothing is asked.
            weights = written.weights * is_token[..., None]
            before = weights.cumsum(0) - weights
            loss = loss + self.options.coverage * torch.minimum(weights, before).sum()
        return loss, batch.y_lengths.sum()

    def target_log_probs(self, batch: PairBatch) -> Tensor:
        """Return the log-probability of each token of the targets and of their ends, given those before it, (N,).

        First come those that the targets begin with, then the second ones, and so on.
        """
        read = self.read(batch.x, batch.lengths, batch.copies)
        written = self.write(read, _before(batch.y))
        is_token, target = _targets(batch)
        features, output = written.features[is_token], self.output
        if read.copies is None:
            return output.log_probs(features, target)
        return self._with_copies(written, read.copies, output(features), target, is_token)[1]

    def _with_copies(
        self, written: Written, copies: Tensor, logits: Tensor, target: Tensor, is_token: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of what is written, (N, V), and of the targets, written or copied, (N,)."""
        assert written.gate is not None
        assert written.weights is not None
        said = log_softmax(logits, -1)
        gate = written.gate[is_token]
        rows = is_token.nonzero()[:, 1]
        weights = written.weights[is_token].to(said.dtype)
        copied = (weights * (copies[rows] == target[:, None])).sum(1)
        is_known = target < self.num_targets
        own = said.gather(1, torch.where(is_known, target, 0)[:, None])[:, 0]
        own = torch.where(is_known, _log_share(gate, weights) + own, torch.finfo(said.dtype).min)
        return said, torch.logaddexp(own, logsigmoid(-gate) + _log(copied))

    def progressed(self, share: float) -> None:
        """Take note of how much of the training is done, 0 to 1: scheduled sampling grows with it."""
        self._progress = share

    @torch.no_grad()
    def _with_own(self, read: Read, y_TB: Tensor) -> Tensor:
        """Return the tokens that the steps read, a share of them drawn from what the network says in their place."""
        share = self.options.scheduled_sampling * self._progress
        said = self.log_probs(self.write(read, y_TB), read)
        drawn = torch.multinomial(said.exp().flatten(0, 1), 1).view(y_TB.shape)
        is_own = torch.rand(y_TB.shape, device=y_TB.device) < share
        # The first reads the beginning, which is always right.
        own = torch.where(is_own[1:], drawn[:-1], y_TB[1:])
        return torch.cat([y_TB[:1], own])

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the output layer, which a bound on the gradient of each unit leaves alone."""
        return self.output.parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers on pairs of this shape, and why each other one does not."""
        return explain_layers(self, batch_size, num_steps)


def _targets(batch: PairBatch) -> tuple[Tensor, Tensor]:
    """Return where the targets have a token or their end, (T, B) bool, and these, (N,) int64."""
    is_token = torch.arange(batch.y.shape[1], device=batch.y.device)[:, None] < batch.y_lengths
    return is_token, batch.y.t()[is_token]


def _before(y: Tensor) -> Tensor:
    """Return what each step reads, (T, B), of targets (B, T): the token before, and at first what begins a target."""
    y_TB = y.t()
    return torch.cat([torch.full_like(y_TB[:1], END), y_TB[:-1]])


def _log_share(gate: Tensor, weights: Tensor) -> Tensor:
    """Return the logarithm of the probability that a token is written: the gate's, and what has nothing to copy.

    Args:
        gate: Logits, (...).
        weights: Where was looked, (..., S).
    """
    return torch.logaddexp(logsigmoid(gate), logsigmoid(-gate) + _log(1 - weights.sum(-1)))


def _log(probability: Tensor) -> Tensor:
    """Return the logarithm, finite also of 0."""
    return probability.clamp_min(torch.finfo(probability.dtype).tiny).log()


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    given = [one for one in parts if one is not None]
    return torch.cat(given) if given else None
