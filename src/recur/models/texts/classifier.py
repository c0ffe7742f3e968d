"""A network that tells which class, or which classes, a text is of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.layer_back_ends import explain_layers
from recur.models.texts.encoder import TextEncoder
from recur.models.texts.options import TextClassifierOptions
from recur.nn import Linear

if TYPE_CHECKING:
    from recur.data.texts.batches import TextBatch


class TextClassifierNetwork(nn.Module):
    """A `TextEncoder` and a linear layer: the logits of K classes.

    Where a text is of one class the loss is the cross-entropy, in nats, with `label_smoothing`; where it is of any
    number of them, the mean over classes of the binary cross-entropy.

    Args:
        options: Shape, regularisation and loss.
        num_tokens: V, ids of the vocabulary.
        num_classes: K: at least 2, or 1 where a text has any number of classes.
        is_multi: Whether a text is of any number of classes.

    Attributes:
        class_weight: (K,), ones. With class_weights="balanced", `fit_classes` makes them n / (K n_k), n_k being the
            texts of the class, over the K classes that are there; where a text has several classes, (n - n_k) / n_k,
            by which its own texts count, and others not.

    Raises:
        OptionError: There are too few classes.

    Example:
        >>> from recur.data.texts.batches import TextBatches
        >>> from recur.token_ids import Ragged
        >>> network = TextClassifierNetwork(TextClassifierOptions(), num_tokens=100, num_classes=3)
        >>> network(next(iter(TextBatches(Ragged.of([[5, 7], [9]]), batch_size=2)))).shape
        torch.Size([2, 3])
    """

    class_weight: Tensor

    def __init__(
        self, options: TextClassifierOptions, num_tokens: int, num_classes: int, *, is_multi: bool = False
    ) -> None:
        if not is_whole(num_classes, 1 if is_multi else 2):
            raise OptionError(f"num_classes must be a whole number from 2 on, not {num_classes!r}.")
        super().__init__()
        self.options = options = options.completed()
        self.num_classes, self.is_multi = num_classes, is_multi
        self.encoder = TextEncoder(options, num_tokens)
        self.output = Linear(self.encoder.num_features, num_classes)
        self.register_buffer("class_weight", torch.ones(num_classes))

    @torch.no_grad()
    def fit_classes(self, counts: Tensor, num_texts: int) -> None:
        """Begin at how frequent classes are in the training part, and weigh them as the options say.

        Args:
            counts: Texts of each class, (K,).
            num_texts: All texts that have labels.
        """
        share = ((counts + 0.5) / (num_texts + 1)).to(self.output.bias)
        self.output.bias.copy_((share / (1 - share)).log() if self.is_multi else share.log())
        if self.options.class_weights == "balanced":
            even = (num_texts - counts) if self.is_multi else counts.sum() / (counts > 0).sum()
            self.class_weight.copy_(torch.where(counts > 0, even / counts.clamp(min=1), 1))

    def forward(self, batch: TextBatch) -> Tensor:
        """Return the logits of texts, (B, K) of the weights' dtype; what is to be told is not looked at."""
        logits: Tensor = self.output(self.encoder(batch.x, batch.lengths))
        return logits

    def embedded(self, x: Tensor) -> Tensor:
        """Return the vectors of token ids (B, T) as `read` takes them, (T, B, E)."""
        vectors: Tensor = self.encoder.embedding(x.t())
        return vectors

    def read(self, e_TBE: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of texts whose vectors of tokens, (T, B, E), are given, (B, K)."""
        logits: Tensor = self.output(self.encoder.read(e_TBE, lengths))
        return logits

    def attention(self, e_TBE: Tensor, lengths: Tensor) -> Tensor | None:
        """As of the encoder."""
        return self.encoder.attention(e_TBE, lengths)

    def take_vectors(self, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
        """As of the encoder."""
        self.encoder.take_vectors(ids, vectors, freeze=freeze)

    def loss(self, batch: TextBatch) -> Tensor:
        """Return the weighted mean of the losses of the texts that count, (); zero where none does."""
        total, counted = self.loss_sums(batch)
        return total / torch.where(counted > 0, counted, 1)

    def loss_sums(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the losses, and how much the texts count together, () both."""
        logits, weight = self(batch), batch.weight
        if self.is_multi:
            losses = binary_cross_entropy_with_logits(
                logits, batch.target.to(logits.dtype), pos_weight=self.class_weight, reduction="none"
            ).mean(1)
        else:
            smoothing = self.options.label_smoothing or 0.0
            losses = cross_entropy(logits, batch.target, reduction="none", label_smoothing=smoothing)
            weight = weight * self.class_weight[batch.target]
        weight = weight.to(losses.dtype)
        return (losses * weight).sum(), weight.sum()

    def output_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the output layer, which a bound on the gradient of each unit leaves alone."""
        return self.output.parameters()

    def explain(self, batch_size: int, num_steps: int) -> list[dict[str, Any]]:
        """Return which back end runs the recurrent layers on texts of this shape, and why each other one does not."""
        return explain_layers(self, batch_size, num_steps)
