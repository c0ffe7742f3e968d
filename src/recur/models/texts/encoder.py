"""What is known of a text after having read it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recur.models.cells import CELLS
from recur.models.pooling import AttentionPool, LastPool, MaxPool, Pool, pool_of
from recur.models.texts.options import TextEncoderOptions, TextLayerOptions
from recur.nn import GatedLayer
from recur.token_ids import PADDING

_SPREAD = 0.1
"""Standard deviation of the vectors of tokens before training; with 1 rare ones, seldom learnt, would be loudest."""


def token_vectors(num_tokens: int, size: int) -> nn.Embedding:
    """Return the vectors of tokens, freshly drawn; that of padding, id 0, is zero and stays so."""
    vectors = nn.Embedding(num_tokens, size, padding_idx=PADDING)
    with torch.no_grad():
        nn.init.normal_(vectors.weight, std=_SPREAD)
        vectors.weight[PADDING] = 0
    return vectors


@torch.no_grad()
def begin_with(table: nn.Embedding, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
    """Let tokens of a table begin with vectors that were trained elsewhere.

    Args:
        table: The vectors of tokens.
        ids: Which tokens, (F,) int64.
        vectors: Theirs, (F, E) floating.
        freeze: Whether the vectors of all tokens stay as they are from now on.
    """
    table.weight[ids] = vectors.to(table.weight)
    table.weight.requires_grad_(not freeze)


def recurrent_layers(options: TextLayerOptions, input_size: int) -> GatedLayer:
    """Return the layers that read sequences of vectors, (T, B, `input_size`)."""
    assert options.hidden_size is not None
    between: dict[str, Any] = {}
    if options.num_layers > 1:
        between = {"dropout": options.dropout, "skip": "residual" if options.residual else None}
    return CELLS[options.cell](
        input_size, options.hidden_size, options.num_layers, bidirectional=options.bidirectional, **between
    )


def with_unknown(x: Tensor, share: float) -> Tensor:
    """Return token ids of which a share, drawn at random, is that of what is unknown; padding stays."""
    is_unknown = torch.rand(x.shape, device=x.device) < share
    return torch.where(is_unknown, x.clamp(max=1), x)


class TextEncoder(nn.Module):
    """Vectors of tokens, recurrent layers, and a pool over the tokens of a text.

    ```text
    e_t = dropout(E[token_t])
    h_t = layers(e_t, h_{t-1}), in both directions
    y = dropout(pool(h_1, ..., h_T))
    ```

    Args:
        options: Shape and regularisation; what is None is chosen as for words.
        num_tokens: V, ids of the vocabulary. Id 0 is padding, 1 stands for what is unknown.

    Attributes:
        num_features: H, of what is returned.

    Example:
        >>> encoder = TextEncoder(TextEncoderOptions(hidden_size=8, pooling="last+max"), num_tokens=100)
        >>> features = encoder(torch.tensor([[5, 7, 2], [9, 0, 0]]), torch.tensor([3, 1]))
        >>> features.shape, encoder.num_features
        (torch.Size([2, 32]), 32)
    """

    def __init__(self, options: TextEncoderOptions, num_tokens: int) -> None:
        super().__init__()
        self.options = options = options.completed()
        assert options.hidden_size is not None
        assert options.embedding_size is not None
        assert options.pooling is not None
        self.embedding = token_vectors(num_tokens, options.embedding_size)
        self.recurrent = recurrent_layers(options, options.embedding_size)
        directions = 2 if options.bidirectional else 1
        width = options.hidden_size * directions
        pools: list[Pool] = (
            [LastPool(width, directions), MaxPool(width)]
            if options.pooling == "last+max"
            else [pool_of(options.pooling, width, directions)]
        )
        self.pools = nn.ModuleList(pools)
        self.num_features = width * len(pools)
        self.embedding_dropout = nn.Dropout(options.embedding_dropout)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the features of texts, (B, H); zeros, before dropout, of a text without tokens.

        Args:
            x: Token ids, (B, T) int64.
            lengths: Tokens of each text, (B,) int64.
        """
        x_TB = x.t()
        if self.training and self.options.token_dropout:
            x_TB = with_unknown(x_TB, self.options.token_dropout)
        return self.read(self.embedding(x_TB), lengths)

    def take_vectors(self, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
        """Let tokens begin with vectors that were trained elsewhere, as of `begin_with`."""
        begin_with(self.embedding, ids, vectors, freeze=freeze)

    def read(self, e_TBE: Tensor, lengths: Tensor) -> Tensor:
        """Return the features of texts whose vectors of tokens, (T, B, E), are given."""
        h_TBH, is_token_TB = self._run(e_TBE, lengths)
        found = [pool(h_TBH, is_token_TB)[0] for pool in self.pools]
        features: Tensor = self.dropout(found[0] if len(found) == 1 else torch.cat(found, 1))
        return features

    def attention(self, e_TBE: Tensor, lengths: Tensor) -> Tensor | None:
        """Return what share of the pooled mean each token has, (T, B), by vectors (T, B, E); None without attention."""
        pool = next((one for one in self.pools if isinstance(one, AttentionPool)), None)
        return None if pool is None else pool.weights(*self._run(e_TBE, lengths))

    def _run(self, e_TBE: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the recurrent layers, (T, B, H), and which of them are of a token, (T, B)."""
        h_TBH, _ = self.recurrent(self.embedding_dropout(e_TBE), lengths=lengths)
        return h_TBH, torch.arange(len(h_TBH), device=lengths.device)[:, None] < lengths
