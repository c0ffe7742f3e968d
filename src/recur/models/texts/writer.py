"""A network that writes texts from labels or numbers: a language model that is told what its text is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recur.errors import OptionError
from recur.models.language import LanguageModel, LayerState, State
from recur.models.layer_back_ends import explain_layers
from recur.models.texts.writer_options import WriterOptions
from recur.nn import Linear
from recur.token_ids import END

if TYPE_CHECKING:
    from recur.data.texts.batches import TextBatch

_MOST_LOGITS = 1 << 24
"""Logits that are there at once, at most, where no gradient is needed: 64 MiB of float32."""


class WriterNetwork(nn.Module):
    """A `LanguageModel` whose texts have a beginning and an end, and a context that they are written from.

    ```text
    c = W_c v + b_c                                   v: 1 for each label that the text is of, and its numbers
    s_0^l = tanh(W_l c + b_l)                         where the state begins with the context; else zeros, or learned
    y_t, s_t = LanguageModel([E[x_{t-1}]; c], s_{t-1})     where each step reads it; else of E[x_{t-1}] alone
    p(x_t) = softmax(y_t)                             x_0 begins the text, x_{n+1} ends it, both id 0
    ```

    So the column of W_c of a label is the vector that is learned for it. Sources: Mikolov & Zweig (2012) for a context
    that each step reads; Vinyals et al. (2015) for one that the state begins with.

    Args:
        options: Shape and regularisation; every value chosen.
        num_tokens: V, ids of the vocabulary. Id 0 begins a text and ends it.
        num_features: D, labels and numbers that a context has.

    Raises:
        OptionError: Options are incomplete, or there is no feature.

    Example:
        >>> from recur.data.texts.batches import TextBatches
        >>> from recur.token_ids import Ragged
        >>> options = WriterOptions(
        ...     cell="gru", num_layers=1, hidden_size=8, embedding_size=4, context_size=3, dropout=0.0
        ... )
        >>> network = WriterNetwork(options, num_tokens=10, num_features=2)
        >>> labels = torch.eye(2).numpy()
        >>> batch = next(iter(TextBatches(Ragged.of([[5, 7], [9]]), labels, batch_size=2)))
        >>> network(batch).shape
        torch.Size([2, 3, 10])
    """

    def __init__(self, options: WriterOptions, num_tokens: int, num_features: int) -> None:
        super().__init__()
        if options.context_size is None or not options.is_complete:
            raise OptionError("WriterNetwork: options must give a value for everything that is chosen by itself.")
        if num_features < 1:
            raise OptionError(f"num_features must be a whole number from 1 on, not {num_features!r}.")
        assert options.num_layers is not None
        assert options.hidden_size is not None
        self.options, self.num_features = options, num_features
        self.context = Linear(num_features, options.context_size)
        self.language = LanguageModel(
            num_tokens, options, context_size=0 if options.context == "state" else options.context_size
        )
        self.beginnings = nn.ModuleList()
        if options.context != "input":
            parts = 2 if options.cell == "lstm" else 1
            self.beginnings.extend(
                Linear(options.context_size, parts * options.hidden_size) for _ in range(options.num_layers)
            )

    # --- a text, step by step ---

    def begin(self, features: Tensor) -> WritingState:
        """Return the state before the first token of texts.

        Args:
            features: What each is written from, v, (B, D) of the weights' dtype.
        """
        context = self.context(features)
        states: list[LayerState] = []
        for beginning in self.beginnings:
            h_1BH = torch.tanh(beginning(context))[None]
            states.append(tuple(h_1BH.chunk(2, -1)) if self.options.cell == "lstm" else h_1BH)  # type: ignore[arg-type]
        return WritingState(context, tuple(states) if states else None)

    def read(self, x: Tensor, state: WritingState, *, lengths: Tensor | None = None) -> tuple[Tensor, WritingState]:
        """Return what the layers make of tokens after dropout, (T, B, H), and the state after them.

        Args:
            x: Tokens, (B, T) int64.
            state: Before them.
            lengths: As of `LanguageModel.forward`.
        """
        context = state.context if self.language.context_size else None
        _, h_TBH, layers = self.language.hidden(x, state.layers, context=context, lengths=lengths)
        return h_TBH, state._replace(layers=layers)

    # --- learning ---

    def forward(self, batch: TextBatch) -> Tensor:
        """Return the logits of each token of texts and of their ends, (B, T + 1, V).

        Args:
            batch: Texts, with what each is written from, (B, D), as its `target`.
        """
        h_TBH, _ = self._whole(batch)
        return self.language.logits(h_TBH)

    def loss(self, batch: TextBatch) -> Tensor:
        """Return the mean loss of the tokens and ends, (), in nats."""
        total, counted = self.loss_sums(batch)
        return total / counted

    def loss_sums(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of the tokens and ends, in nats, and how many there are, () both."""
        nats, _ = self._nats(batch)
        return nats.sum(), (batch.lengths + 1).sum()

    def text_nats(self, batch: TextBatch) -> Tensor:
        """Return -ln p of each text, its end included, (B,) float32."""
        nats, rows = self._nats(batch)
        return torch.zeros(len(batch.lengths), device=nats.device).index_add(0, rows, nats.float())

    def _whole(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return what the layers make of whole texts, (T + 1, B, H), and which steps are true, (T + 1, B)."""
        begun = torch.cat([torch.full_like(batch.x[:, :1], END), batch.x], 1)
        lengths = batch.lengths + 1
        state = self.begin(batch.target.to(self.context.weight.dtype))
        h_TBH, _ = self.read(begun, state, lengths=lengths)
        return h_TBH, torch.arange(begun.shape[1], device=begun.device)[:, None] < lengths

    def _nats(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return -ln p of every token and end, (N,), and which text each is of, (N,)."""
        h_TBH, is_token = self._whole(batch)
        # Padding stands for the end.
        y_TB = torch.cat([batch.x, torch.full_like(batch.x[:, :1], END)], 1).t()
        # Of the true steps alone: the output layer is what costs most.
        h_NH, y_N = h_TBH[is_token], y_TB[is_token]
        # A gradient would keep the logits of all parts.
        at_once = len(h_NH) if torch.is_grad_enabled() else max(1, _MOST_LOGITS // len(self.language.output.weight))
        nats = [
            cross_entropy(self.language.output(h), y, reduction="none")
            for h, y in zip(torch.split(h_NH, at_once), torch.split(y_N, at_once), strict=True)
        ]
        return torch.cat(nats), is_token.nonzero()[:, 1]

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the output layer, which a bound on the gradient of each unit leaves alone."""
        return self.language.output.parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers on texts of this shape, and why each other one does not."""
        return explain_layers(self, batch_size, num_steps)


class WritingState(NamedTuple):
    """What a `WriterNetwork` keeps of N texts.

    Attributes:
        context: What each is written from, c, (N, C).
        layers: The state of the language model; None for its initial one.
    """

    context: Tensor
    layers: State | None


class WriterSteps:
    """The steps of a writer, `recur.decode.Steps`: a token at a time, with rows chosen and repeated.

    Args:
        network: In evaluation mode.
    """

    def __init__(self, network: WriterNetwork) -> None:
        self.network = network

    def step(self, tokens: Tensor, state: WritingState) -> tuple[Tensor, WritingState]:
        """Return the log-probabilities of what follows, (N, V), and the state after the tokens, (N,) int64."""
        h_1NH, after = self.network.read(tokens[:, None], state)
        return torch.log_softmax(self.network.language.output(h_1NH)[0], -1), after

    def select(self, state: WritingState, rows: Tensor) -> WritingState:
        """Return the state of chosen rows, (M,) int64."""
        layers = state.layers
        if layers is not None:
            layers = tuple(
                (one[0][:, rows], one[1][:, rows]) if isinstance(one, tuple) else one[:, rows] for one in layers
            )
        return WritingState(state.context[rows], layers)
