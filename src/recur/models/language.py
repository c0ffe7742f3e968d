"""The recurrent language model: the distribution of the next token, given all tokens before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recur.errors import OptionError
from recur.models.cells import CELLS
from recur.models.options import LanguageModelOptions
from recur.nn import GatedLayer, Linear, LockedDropout

LayerState = Tensor | tuple[Tensor, Tensor]
State = tuple[LayerState, ...]
"""One state a layer: h (1, B, H), or the pair (h, c) for an LSTM."""


class LanguageModel(nn.Module):
    """Embedding, locked dropout, L recurrent layers, linear output (Mikolov et al. 2010; Merity et al. 2018).

    For tokens x_1 ... x_T the output at step t holds the logits of x_{t+1}:

        h_t^0 = dropout(E[x_t])
        h_t^l = dropout(layer_l(h_t^{l-1}, state) [+ h_t^{l-1} for l > 1 where residual])
        y_t   = W h_t^L + b                                   (W = E where tied)

    With a context c of `context_size` numbers, what a text is to be about, every step reads it beside its token: h_t^0
    becomes [dropout(E[x_t]); c] (Mikolov & Zweig 2012).

    Args:
        vocabulary_size: Number of tokens, V.
        options: Shape and regularisation; every value chosen.
        context_size: Numbers of the context that each step reads, C; 0 for none.

    Raises:
        OptionError: Options are incomplete, or `vocabulary_size` is below 2.

    Example:
        >>> import torch
        >>> options = LanguageModelOptions(cell="gru", num_layers=2, hidden_size=8, embedding_size=8, dropout=0.0)
        >>> model = LanguageModel(10, options)
        >>> logits, state = model(torch.zeros(3, 5, dtype=torch.int64))
        >>> logits.shape, len(state)
        (torch.Size([3, 5, 10]), 2)
    """

    batch_first = True
    """Tokens and logits begin with (B, T), though the layers inside read (T, B, ...)."""

    def __init__(self, vocabulary_size: int, options: LanguageModelOptions, *, context_size: int = 0) -> None:
        super().__init__()
        if vocabulary_size < 2:
            raise OptionError(f"vocabulary_size must be at least 2, not {vocabulary_size}.")
        if options.cell is None or options.num_layers is None or options.hidden_size is None:
            raise OptionError("LanguageModel: options must give cell, num_layers and hidden_size.")
        if options.embedding_size is None or options.dropout is None:
            raise OptionError("LanguageModel: options must give embedding_size and dropout.")
        self.vocabulary_size = vocabulary_size
        self.options = options
        self.context_size = context_size
        hidden, embedded = options.hidden_size, options.embedding_size
        cell = CELLS[options.cell]
        self.embedding = nn.Embedding(vocabulary_size, embedded)
        self.layers = nn.ModuleList(
            cell(hidden if layer else embedded + context_size, hidden, initial_state=options.initial_state)
            for layer in range(options.num_layers)
        )
        self.dropout = LockedDropout(options.dropout)
        on_embedding = options.dropout if options.embedding_dropout is None else options.embedding_dropout
        self.embedding_dropout = LockedDropout(on_embedding)
        self.output = Linear(hidden, vocabulary_size)
        if options.tied:
            self.output.weight = self.embedding.weight
            # The output layer's scale; N(0, 1) would make the first losses huge.
            nn.init.uniform_(self.embedding.weight, -(hidden**-0.5), hidden**-0.5)

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Return the logits of the tokens that follow `x`, and the state after it.

        Args:
            x: Tokens, (B, T) int64.
            state: State before the first step, one entry a layer; None for the initial state.
            context: What each row is about, (B, C) of the weights' dtype; None where C is 0.
            lengths: True steps of each row, (B,) int64; None when all have T. Past them the logits are zero.
            reset: (B, T) bool; where true, the state is replaced by the initial state before that step.

        Returns:
            Logits (B, T, V) of the weights' dtype, and the state after each row's last step.

        Raises:
            ValueError: The context is missing, or is of another size than the model's.
        """
        _, dropped_TBH, after = self.hidden(x, state, context=context, lengths=lengths, reset=reset)
        return self.logits(dropped_TBH, lengths=lengths), after

    def hidden(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Return what the layers make of tokens: all of `forward` but the output layer.

        Args:
            x: As of `forward`.
            state: As of `forward`.
            context: As of `forward`.
            lengths: As of `forward`.
            reset: As of `forward`.

        Returns:
            As `run_layers`.

        Raises:
            ValueError: As `forward`.
        """
        h_TBE = self.embedding(x.t())
        # In evaluation a dropout does nothing, but a call of it takes its time, three times a character.
        if self.embedding_dropout.training:
            h_TBE = self.embedding_dropout(h_TBE)
        if self.context_size or context is not None:
            h_TBE = self._with_context(h_TBE, context)
        return self.run_layers(h_TBE, state, lengths=lengths, reset=None if reset is None else reset.t())

    def _with_context(self, h_TBE: Tensor, context: Tensor | None) -> Tensor:
        shape = (h_TBE.shape[1], self.context_size)
        if context is None or tuple(context.shape) != shape:
            came = "none" if context is None else f"one of shape {tuple(context.shape)}"
            raise ValueError(
                f"LanguageModel: expected a context of shape {shape}, got {came}; give context_size={shape[1]}."
            )
        return torch.cat([h_TBE, context.expand(len(h_TBE), -1, -1)], -1)

    def run_layers(
        self,
        h_TBE: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Return what the layers make of embedded tokens: what comes between the embedding and the output layer.

        Args:
            h_TBE: Embedded tokens, (T, B, E) of the weights' dtype, with the context where there is one: (T, B, E + C).
            state: As of `forward`.
            lengths: As of `forward`.
            reset: As of `forward`, but (T, B).

        Returns:
            The last layer's output (with its input added, where residual) before dropout and after it, (T, B, H) of the
            weights' dtype, one and the same where nothing is dropped; and the state after each row's last step.
        """
        h_TBH = out_TBH = h_TBE
        dropout = self.dropout
        finals: list[LayerState] = []
        for number, layer in enumerate(self.layers):
            before = None if state is None else state[number]
            out_TBH, final = layer(h_TBH, before, lengths=lengths, reset=reset)
            if self.options.residual and number:
                out_TBH = out_TBH + h_TBH
            h_TBH = dropout(out_TBH) if dropout.training else out_TBH
            finals.append(final)
        return out_TBH, h_TBH, tuple(finals)

    def logits(self, h_TBH: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Return the logits (B, T, V) of the last layer's outputs after dropout, (T, B, H); zero past `lengths`."""
        logits_TBV: Tensor = self.output(h_TBH)
        if lengths is not None:
            steps_T1 = torch.arange(logits_TBV.shape[0], device=lengths.device).unsqueeze(1)
            logits_TBV = logits_TBV.masked_fill((steps_T1 >= lengths).unsqueeze(-1), 0.0)
        return logits_TBV.transpose(0, 1)

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs each layer on windows of this shape, and why each other one does not."""
        found = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, GatedLayer)
            x_TBI = next(layer.parameters()).new_zeros(num_steps, batch_size, layer.input_size)
            found.append({"layer": f"layers.{number}", "device": x_TBI.device.type, **layer.explain(x_TBI).to_json()})
        return found

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each part: name, kind, shapes of its weights, number of parameters (shared ones once)."""
        seen: set[int] = set()
        rows: list[dict[str, Any]] = []
        parts = [("embedding", self.embedding), *((f"layers.{n}", m) for n, m in enumerate(self.layers))]
        for name, part in [*parts, ("output", self.output)]:
            own = dict(part.named_parameters())
            count = sum(value.numel() for value in own.values() if id(value) not in seen)
            seen.update(id(value) for value in own.values())
            width = self.vocabulary_size if name == "output" else next(iter(own.values())).shape[-1]
            if name.startswith("layers."):
                width = int(part.hidden_size)  # type: ignore[arg-type]
            rows.append(
                {
                    "name": name,
                    "kind": type(part).__name__,
                    "weights": {key: list(value.shape) for key, value in own.items()},
                    "parameters": count,
                    "output": f"(B, T, {width})",
                }
            )
        return rows
