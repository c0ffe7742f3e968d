"""A translator as `recur.decode` takes it: a token at a time, with rows chosen and repeated."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.models.texts.packed_decoder import PackedDecoder
from recur.models.texts.translator import Read, TranslatorNetwork
from recur.nn import Alignment


class TranslationState(NamedTuple):
    """What `TranslatorSteps` keeps of N rows.

    Attributes:
        read: What is known of the source of each row.
        rows: Which source each row's is, (N,) int64.
        state: The decoder's, (L, N, H), or a pair for an LSTM.
        alignment: The attention's; None where it has none, and before the first step.
        fed: The features of the newest step, (N, F), with input_feeding; None before the first step.
        weights: Where the newest step looked, (N, S); None without attention, and before the first step.
    """

    read: Read
    rows: Tensor
    state: Any
    alignment: Alignment | None = None
    fed: Tensor | None = None
    weights: Tensor | None = None


class TranslatorSteps:
    """The steps of a translator, `recur.decode.AttentiveSteps`.

    The weights of the decoder's recurrent layers are packed for it where the engine runs them, so they must stay as
    they are as long as it is used.

    Args:
        network: In evaluation mode.

    Example:
        >>> from recur.decode import DecodingOptions, decode
        >>> from recur.models.texts.translator_options import TranslatorOptions
        >>> network = TranslatorNetwork(TranslatorOptions(hidden_size=8), num_sources=9, num_targets=5).eval()
        >>> steps = TranslatorSteps(network)
        >>> with torch.no_grad():
        ...     state = steps.begin(torch.tensor([[2, 3], [4, 0]]), torch.tensor([2, 1]))
        ...     found = decode(
        ...         steps, state, torch.tensor([0, 0]), end=0, options=DecodingOptions(beams=2, max_length=4)
        ...     )
        >>> len(found), len(found[0][0].tokens) <= 4
        (2, True)
    """

    def __init__(self, network: TranslatorNetwork) -> None:
        self.network = network
        decoder = network.decoder
        self._layers = PackedDecoder(decoder) if PackedDecoder.takes(decoder) else None

    def begin(self, x: Tensor, lengths: Tensor, copies: Tensor | None = None) -> TranslationState:
        """Return the state before the first token; the arguments are those of `TranslatorNetwork.read`."""
        read = self.network.read(x, lengths, copies)
        return TranslationState(read, torch.arange(len(x), device=x.device), read.state)

    def step(self, tokens: Tensor, state: TranslationState) -> tuple[Tensor, TranslationState]:
        """Return the log-probabilities of what follows, (N, V), and the state after the tokens, (N,) int64."""
        written = self.network.write(
            state.read,
            tokens[None],
            state=state.state,
            alignment=state.alignment,
            fed=state.fed,
            layers=self._layers,
        )
        log_probs = self.network.log_probs(written, state.read)[0]
        after = state._replace(
            state=written.state,
            alignment=written.alignment,
            fed=written.features[0] if self.network.options.input_feeding else None,
            weights=None if written.weights is None else written.weights[0],
        )
        return log_probs, after

    def select(self, state: TranslationState, rows: Tensor) -> TranslationState:
        """Return the state of chosen rows, (M,) int64."""
        sources, read = state.rows[rows], state.read
        # Beams mostly change places among those of one source, and what is known of it is large.
        if not torch.equal(sources, state.rows):
            read = read._replace(
                memory=None if read.memory is None else read.memory.rows(rows),
                copies=None if read.copies is None else read.copies[rows],
            )
        own = state.state
        return TranslationState(
            read=read,
            rows=sources,
            state=tuple(one[:, rows] for one in own) if isinstance(own, tuple) else own[:, rows],
            alignment=None if state.alignment is None else state.alignment.rows(rows),
            fed=None if state.fed is None else state.fed[rows],
            weights=None if state.weights is None else state.weights[rows],
        )

    def attention(self, state: TranslationState) -> Tensor | None:
        """Return where the newest step of each row looked, (N, S)."""
        return state.weights
