"""An encoder-decoder with attention in plain PyTorch, its training and its decoding, as one writes them well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from recur.data.texts.pair_batches import PairBatch

IGNORED = -100
"""What stands in targets where a row is over; `cross_entropy` leaves it out."""

State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Shape:
    """Of the network: general attention, an encoder that reads in both directions, LSTMs."""

    vocabulary: int = 8000
    hidden_size: int = 256
    embedding_size: int = 128
    num_layers: int = 1
    input_feeding: bool = False
    dropout: float = 0.3
    label_smoothing: float = 0.1


class GeneralAttention(nn.Module):
    """Luong's general attention of queries (T, B, H) on a memory (S, B, 2 H)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.memory_projection = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def prepare(self, h_SBH: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys (B, H, S) and values (B, S, 2 H)."""
        return self.memory_projection(h_SBH).permute(1, 2, 0), h_SBH.transpose(0, 1)

    def forward(self, s_TBH: Tensor, keys: Tensor, values: Tensor, is_past: Tensor) -> Tensor:
        """Return the contexts, (T, B, 2 H)."""
        scores = torch.bmm(s_TBH.transpose(0, 1), keys).masked_fill(is_past[:, None], -torch.inf)
        return torch.bmm(scores.softmax(-1), values).transpose(0, 1)


class PlainTranslator(nn.Module):
    """Its parameters have the names of `recur.models.texts.translator.TranslatorNetwork`'s.

    Without input feeding the decoder reads the whole target in one call; with it, it goes step by step by cells.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        embedded, hidden, layers = shape.embedding_size, shape.hidden_size, shape.num_layers
        self.shape = shape
        between = shape.dropout if layers > 1 else 0.0
        self.embedding = nn.Embedding(shape.vocabulary, embedded)
        self.source_embedding = nn.Embedding(shape.vocabulary, embedded, padding_idx=0)
        self.encoder = nn.LSTM(embedded, hidden, layers, bidirectional=True, dropout=between)
        if shape.input_feeding:
            sizes = [embedded + hidden] + [hidden] * (layers - 1)
            self.decoder: nn.Module = nn.ModuleList(nn.LSTMCell(size, hidden) for size in sizes)
        else:
            self.decoder = nn.LSTM(embedded, hidden, layers, dropout=between)
        self.bridges = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in range(2))
        self.attention = GeneralAttention(hidden)
        self.mixture = nn.Linear(3 * hidden, hidden)
        self.output = nn.Linear(hidden, shape.vocabulary)
        self.embedding_dropout, self.dropout = nn.Dropout(shape.dropout), nn.Dropout(shape.dropout)

    def take(self, weights: dict[str, Tensor]) -> None:
        """Take recur's weights."""
        self.load_state_dict({self.called(name): one for name, one in weights.items() if name != "num_steps_seen"})

    def called(self, name: str) -> str:
        """Return the name here of a parameter of recur's: of a list of cells where those are of a layer."""
        module, _, rest = name.partition(".")
        kind, _, layer = rest.rpartition("_l")
        return f"decoder.{layer}.{kind}" if self.shape.input_feeding and module == "decoder" else name

    def read(self, x_SB: Tensor, lengths: Tensor, *, is_packed: bool = True) -> tuple[Any, State]:
        """Return what is looked at, and the decoder's first state."""
        e_SBE = self.embedding_dropout(self.source_embedding(x_SB))
        if is_packed:
            packed = pack_padded_sequence(e_SBE, lengths, enforce_sorted=False)
            output, final = self.encoder(packed)
            h_SBH, _ = pad_packed_sequence(output)
        else:
            h_SBH, final = self.encoder(e_SBE)
        # (L * 2, B, H): both directions of a layer side by side.
        joined = [one.unflatten(0, (-1, 2)).transpose(1, 2).flatten(2) for one in final]
        h, c = (torch.tanh(bridge(one)) for bridge, one in zip(self.bridges, joined, strict=True))
        is_past = torch.arange(len(x_SB)) >= lengths[:, None]
        return (*self.attention.prepare(h_SBH), is_past), (h, c)

    def write(self, memory: Any, y_TB: Tensor, state: State, *, is_stepwise: bool = False) -> Tensor:
        """Return what the output layer reads, (T, B, H), by the tokens before; stepwise one call of all for each."""
        e_TBE = self.embedding_dropout(self.embedding(y_TB))
        if not self.shape.input_feeding:
            of_steps = []
            for e in e_TBE.split(1 if is_stepwise else len(e_TBE)):
                s_TBH, state = self.decoder(e, state)
                of_steps.append(self._mixed(s_TBH, memory))
            return torch.cat(of_steps)
        cells = [(h, c) for h, c in zip(*state, strict=True)]
        fed = e_TBE.new_zeros(e_TBE.shape[1], self.shape.hidden_size)
        features = []
        for e_BE in e_TBE.unbind(0):
            fed, cells = self._fed_step(e_BE, fed, cells, memory)
            features.append(fed)
        return torch.stack(features)

    def loss(
        self, x_SB: Tensor, lengths: Tensor, y_TB: Tensor, *, is_packed: bool = True, is_stepwise: bool = False
    ) -> Tensor:
        """Return the mean loss of the targets (T, B), whose rows end with 0 and go on with `IGNORED`."""
        memory, state = self.read(x_SB, lengths, is_packed=is_packed)
        before = torch.cat([torch.zeros_like(y_TB[:1]), y_TB[:-1].clamp(min=0)])
        logits = self.output(self.write(memory, before, state, is_stepwise=is_stepwise))
        smoothing = self.shape.label_smoothing if self.training else 0.0
        return functional.cross_entropy(
            logits.flatten(0, 1), y_TB.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
        )

    def _mixed(self, s_TBH: Tensor, memory: Any) -> Tensor:
        contexts = self.attention(s_TBH, *memory)
        return self.dropout(torch.tanh(self.mixture(torch.cat([s_TBH, contexts], -1))))

    def _fed_step(self, e_BE: Tensor, fed: Tensor, cells: list[State], memory: Any) -> tuple[Tensor, list[State]]:
        x, after = torch.cat([e_BE, fed], 1), []
        for number, (cell, state) in enumerate(zip(self.decoder, cells, strict=True)):  # type: ignore[arg-type]
            after.append(cell(x if number == 0 else self.dropout(x), state))
            x = after[-1][0]
        return self._mixed(x[None], memory)[0], after

    # --- decoding ---

    def step(self, tokens: Tensor, memory: Any, state: State) -> tuple[Tensor, State]:
        """Return the log-probabilities of what follows, (N, V), and the state after; without input feeding."""
        s_1NH, state = self.decoder(self.embedding(tokens)[None], state)
        return functional.log_softmax(self.output(self._mixed(s_1NH, memory)[0]), -1), state

    @torch.inference_mode()
    def greedy(self, x_SB: Tensor, lengths: Tensor, limit: int) -> list[list[int]]:
        """Return the likeliest token each time, all rows together until all have ended."""
        memory, state = self.read(x_SB, lengths)
        tokens = torch.zeros(x_SB.shape[1], dtype=torch.int64)
        is_open, said = torch.ones_like(tokens, dtype=torch.bool), []
        for _ in range(limit):
            log_probs, state = self.step(tokens, memory, state)
            tokens = log_probs.argmax(1)
            said.append(tokens)
            is_open &= tokens != 0
            if not is_open.any():
                break
        return [_ended(row) for row in torch.stack(said, 1).tolist()]

    @torch.inference_mode()
    def beams(self, x_SB: Tensor, lengths: Tensor, limit: int, width: int) -> list[list[int]]:
        """Return what a beam search finds to be best by the log-probability by the token, the end too.

        All rows have `width` beams at each step, a tensor each of their tokens, sums and states. A hypothesis that ends
        is set down and its beam is closed; a row is done when its best has ended and no open one can pass it.
        """
        memory, (h, c) = self.read(x_SB, lengths)
        batch = x_SB.shape[1]
        memory = tuple(one.repeat_interleave(width, 0) for one in memory)
        state = h.repeat_interleave(width, 1), c.repeat_interleave(width, 1)
        first = torch.arange(batch)[:, None] * width
        sums = torch.full((batch, width), -torch.inf)
        sums[:, 0] = 0
        tokens = torch.zeros(batch * width, dtype=torch.int64)
        said = torch.zeros(batch, width, 0, dtype=torch.int64)
        best = torch.full((batch,), -torch.inf)
        answers: list[list[int]] = [[] for _ in range(batch)]
        for number in range(limit):
            log_probs, state = self.step(tokens, memory, state)
            size = log_probs.shape[1]
            # Twice as many as there are beams, for half of them may end.
            values, places = (sums[..., None] + log_probs.view(batch, width, size)).flatten(1).topk(2 * width)
            beam, token = places // size, places % size
            is_end = (token == 0) & (values > -torch.inf)
            score = (values / (number + 1)).masked_fill(~is_end, -torch.inf)
            # Those that end count where they are among the best.
            score[:, width:] = -torch.inf
            newest, at = score.max(1)
            for row in (newest > best).nonzero()[:, 0].tolist():
                best[row] = newest[row]
                answers[row] = said[row, beam[row, at[row]]].tolist()
            sums, kept = values.masked_fill(token == 0, -torch.inf).topk(width)
            if (best >= sums[:, 0] / limit).all():
                break
            beam, token = beam.gather(1, kept), token.gather(1, kept)
            said = torch.cat([said.gather(1, beam[..., None].expand(-1, -1, number)), token[..., None]], 2)
            parents = (first + beam).flatten()
            state = state[0].index_select(1, parents), state[1].index_select(1, parents)
            tokens = token.flatten()
        return answers


def _ended(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(0)] if 0 in tokens else tokens


def tensors(batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return sources (S, B), their lengths, and targets (T, B)."""
    is_past = torch.arange(batch.y.shape[1]) >= batch.y_lengths[:, None]
    return batch.x.t().contiguous(), batch.lengths, batch.y.masked_fill(is_past, IGNORED).t().contiguous()


def trained(
    network: PlainTranslator, batches: Iterable[PairBatch], *, is_packed: bool = True, is_stepwise: bool = False
) -> Iterator[float]:
    """Train by a loop as one would write it, a step each time that its loss is asked for."""
    matrices = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    for batch in batches:
        loss = network.loss(*tensors(batch), is_packed=is_packed, is_stepwise=is_stepwise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        yield loss.item()
