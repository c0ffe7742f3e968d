"""A linear model of which n-grams a text has: a classifier of texts has to beat it, or lets it speak too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from recur.models.texts.ngrams import AT_ONCE, NgramWeights
from recur.token_ids import UNKNOWN, Ragged

_LEAST_COUNT = 2
"""Texts of the training part that an n-gram must be in."""

_MOST_WEIGHTS = 1 << 23
"""Of more classes fewer n-grams are known, those in most texts."""

_MOST_ROUNDS = 100


class BagOfNgrams:
    """Logistic regression on the n-grams of tokens in a text, weighted by how rare they are (tf-idf).

    A text is the vector that `recur.models.texts.ngrams.NgramWeights` makes of it. The weights W make the mean loss +
    ||W||^2 / (2 C n) small, by at most 100 rounds of L-BFGS: what is usually taken as the first thing to try. N-grams
    that fewer than two texts have, and those with an unknown token, count for nothing; and where there would be more
    than eight million weights, those that fewest texts have.

    Args:
        longest: N-grams of 1 up to so many tokens.
        is_multi: Whether a text is of any number of classes; then each class is weighed by how rare it is.
        marks_ends: Whether beginning and end of a text count as tokens, as is usual for characters.
        strength: C, by how much losses outweigh the size of the weights.

    Example:
        >>> from recur.token_ids import Ragged
        >>> texts = Ragged.of([[2, 3], [2, 3, 4], [5], [5, 6]])
        >>> model = BagOfNgrams(longest=2).fit(texts, torch.tensor([0, 0, 1, 1]), num_classes=2)
        >>> model(Ragged.of([[3], [5, 2, 6]])).argmax(1).tolist()
        [0, 1]
    """

    def __init__(
        self, longest: int = 2, *, is_multi: bool = False, marks_ends: bool = False, strength: float = 1.0
    ) -> None:
        self.is_multi, self.strength = is_multi, strength
        self._ngrams = NgramWeights(longest, marks_ends=marks_ends, unknown=UNKNOWN)
        self._weight = torch.zeros(0, 0)
        self._bias, self._lift = torch.zeros(0), torch.zeros(0)

    def fit(self, texts: Ragged, target: Tensor, *, num_classes: int) -> BagOfNgrams:
        """Learn from the training part, and return the object.

        Args:
            texts: Token ids of n texts.
            target: Classes, (n,) int64; or of which each is, (n, K) floating.
            num_classes: K.
        """
        count = len(texts.lengths)
        most = max(1, _MOST_WEIGHTS // num_classes)
        self._ngrams.fit(texts, least_count=_LEAST_COUNT, most=most)
        # Gradients of all texts at once would take several times the memory of their vectors.
        pieces = [self._ngrams(piece) for piece in texts.pieces(AT_ONCE)]
        targets = torch.split(target, [len(x.begins) for x in pieces])
        weight = torch.zeros(len(self._ngrams.known), num_classes, requires_grad=True)
        bias = torch.zeros(num_classes, requires_grad=True)
        positive = None
        if self.is_multi:
            there = target.float().sum(0)
            # Of a class that all texts have too.
            positive = torch.where(there > 0, (count - there).clamp(min=1) / there.clamp(min=1), 1)
        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=_MOST_ROUNDS, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            weight.grad = bias.grad = None
            total = weight.square().sum() / (2 * self.strength * count)
            torch.autograd.backward([total])
            for x, true in zip(pieces, targets, strict=True):
                logits = x.products(weight) + bias
                loss = (
                    binary_cross_entropy_with_logits(logits, true.float(), pos_weight=positive) * num_classes
                    if self.is_multi
                    else cross_entropy(logits, true)
                ) * (len(true) / count)
                torch.autograd.backward([loss])
                total = total.detach() + loss.detach()
            return total

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        self._weight, self._bias = weight.detach(), bias.detach()
        self._lift = torch.zeros(num_classes) if positive is None else positive.log()
        return self

    def __call__(self, texts: Ragged) -> Tensor:
        """Return the logits of texts, (N, K) float32."""
        return self._ngrams(texts).products(self._weight) + self._bias

    @property
    def neutral(self) -> Tensor:
        """What `evidence` is of a text without known n-grams, (K,) float32."""
        return self._bias - self._lift

    def evidence(self, texts: Ragged) -> Tensor:
        """Return the logits of texts less what weighing the classes added to them, (N, K) float32."""
        return self.evidence_of(self(texts))

    def evidence_of(self, logits: Tensor) -> Tensor:
        """Return logits, (N, K), less what weighing the classes added to them."""
        return logits - self._lift

    def by_token(self, ids: NDArray[np.integer]) -> Tensor:
        """Return what each token of a text adds to `neutral`, to make its `evidence`, (T, K) float32.

        Args:
            ids: Of the tokens, (T,).
        """
        return self._ngrams.by_token(ids, self._weight)

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` takes: all that was learned."""
        return {
            "known": torch.from_numpy(self._ngrams.known.view(np.int64).copy()),
            "rarity": torch.from_numpy(self._ngrams.rarity),
            "weight": self._weight,
            "bias": self._bias,
            "lift": self._lift,
        }

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], longest: int, *, is_multi: bool, marks_ends: bool
    ) -> BagOfNgrams:
        """Return the model that `tensors` told.

        Raises:
            KeyError: A tensor is missing.
            ValueError: Shapes do not agree.
        """
        found = cls(longest, is_multi=is_multi, marks_ends=marks_ends)
        known, rarity = tensors["known"].numpy().view(np.uint64), tensors["rarity"].double().numpy()
        found._ngrams.known, found._ngrams.rarity = known, rarity
        found._weight, found._bias = tensors["weight"].float(), tensors["bias"].float()
        found._lift = tensors["lift"].float()
        shape = len(known), len(found._bias)
        if found._weight.shape != shape or found._lift.shape != shape[1:] or len(rarity) != len(known):
            raise ValueError("the shapes of the bag of n-grams do not agree")
        if not all(bool(one.isfinite().all()) for one in (found._weight, found._bias, found._lift)):
            raise ValueError("a weight of the bag of n-grams is not finite")
        return found
