"""Monotonic attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recur.nn.attention.contract import Alignment, Memory
from recur.nn.attention.tanh_attention import ProjectedAttention
from recur.nn.attention.tanh_scores import tanh_scores
from recur.nn.options import check_finite, check_flag


class MonotonicAttention(ProjectedAttention):
    """Looks at one step at a time and never goes back; in training at all steps, each as far as it would be looked at.

    At each query the attention goes on from the step it looked at last, and stops at step s with probability p_s:

    ```text
    p_s = σ(g v / |v| · tanh(W q + U h_s + b) + r + noise)
    a_s = (1 - p_{s-1}) a_{s-1} + α'_s        it comes to s; α' is α of the query before, at first 1 at step 0
    α_s = p_s a_s                             it stops there
    ```

    In training the weights are these expected alignments α, and normal noise with standard deviation `noise` pushes the
    network to probabilities near 0 and 1. In evaluation it stops at the first step with p above 1/2, and the weights
    are 1 there and 0 elsewhere. Where it ran past the last step the weights and the context are zero, and stay so: the
    weights of a row sum to 1 less the probability of that. Each step needs the one before, so queries of all steps are
    answered one by one.

    The recurrence over s is computed by doubling, in log2 S operations on all steps, each a sum or a product of numbers
    that are not negative. The usual closed form divides by products of 1 - p, which vanish.

    Source: Raffel et al. (2017), section 2.

    Args:
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        attention_size: Units of the hidden layer, A; Q by default.
        noise: Standard deviation of what is added to scores in training, at least 0.
        hard: Whether evaluation looks at one step; False for expected alignments there too, without noise.
        score_bias: r when drawn; below 0, so that at first the attention goes on far enough to see what follows.
        bias: Whether there is b.
        batch_first: Whether memories are (B, S, H) and queries of all steps (B, T, Q).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        query_projection: W, a linear layer from Q to A without a bias.
        memory_projection: U and b, a linear layer from H to A.
        v: (A,), whose direction counts alone.
        gain: g, a number; A^-0.5 when drawn.
        offset: r, a number.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A size is below 1, `noise` below 0, or a number not finite.

    Example:
        >>> attention = MonotonicAttention(6, 8, attention_size=16).eval()
        >>> memory = attention.prepare(torch.randn(5, 3, 8), lengths=[5, 2, 4])
        >>> contexts, weights, state = attention(torch.randn(4, 3, 6), memory)
        >>> bool(((weights == 0) | (weights == 1)).all()), bool((weights.sum(2) <= 1).all())
        (True, True)
    """

    needs_steps = True

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        noise: float = 1.0,
        hard: bool = True,
        score_bias: float = -1.0,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(query_size, memory_size, attention_size, bias, batch_first, device, dtype)
        check_finite(self._owner, "noise", noise)
        if noise < 0:
            raise ValueError(f"{self._owner}: noise is {noise}, but must be at least 0.")
        check_flag(self._owner, "hard", hard)
        check_finite(self._owner, "score_bias", score_bias)
        self.noise = noise
        self.hard = hard
        self.score_bias = score_bias
        self.gain = nn.Parameter(torch.empty((), device=device, dtype=dtype))
        self.offset = nn.Parameter(torch.empty((), device=device, dtype=dtype))
        self._set_numbers()

    def reset_parameters(self) -> None:
        """Draw all parameters anew; g is A^-0.5 and r is `score_bias`."""
        super().reset_parameters()
        self._set_numbers()

    def begin(self, memory: Memory) -> Alignment:
        """Return the state before the first step: at step 0 of each row that has one."""
        weights_BS = torch.zeros(memory.mask.shape, dtype=memory.values.dtype, device=memory.values.device)
        weights_BS[:, 0] = memory.mask[:, 0].to(weights_BS.dtype)
        return Alignment(weights_BS)

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        noise = f", noise={self.noise}" if self.noise != 1 else ""
        return super().extra_repr() + noise + ("" if self.hard else ", hard=False")

    def _set_numbers(self) -> None:
        nn.init.constant_(self.gain, self.attention_size**-0.5)
        nn.init.constant_(self.offset, self.score_bias)

    def _ahead(self, queries_BTQ: Tensor, memory: Memory) -> Tensor:
        direction: Tensor = self.v / self.v.norm()
        return self.gain * tanh_scores(self._projected(queries_BTQ), memory.keys, direction) + self.offset

    def _align(self, ahead: Tensor, memory: Memory, state: Alignment | None) -> tuple[Tensor, Alignment | None]:
        assert state is not None
        scores_BS = ahead.squeeze(1)
        if self.training:
            if self.noise:
                scores_BS = scores_BS + self.noise * torch.randn_like(scores_BS)
            stops_BS = torch.sigmoid(scores_BS)
        else:
            stops_BS = (scores_BS > 0).to(scores_BS.dtype) if self.hard else torch.sigmoid(scores_BS)
        stops_BS = stops_BS.to(state.weights.dtype)
        weights_BS = (stops_BS * _arrivals(stops_BS, state.weights)).masked_fill(~memory.mask, 0)
        return weights_BS.unsqueeze(1), Alignment(weights_BS)


def _arrivals(stops_BS: Tensor, before_BS: Tensor) -> Tensor:
    """Return with which probability each step is looked at, to stop there or to go on.

    a_s = (1 - p_{s-1}) a_{s-1} + before_s. After the round of a distance d, `reached` counts who began at most 2 d - 1
    steps before, and `passed` is the probability to come from 2 d steps before to here.
    """
    passed_BS = functional.pad(1 - stops_BS[:, :-1], (1, 0))
    reached_BS = before_BS
    distance, num_steps = 1, stops_BS.shape[1]
    while distance < num_steps:
        reached_BS = reached_BS + passed_BS * _shifted(reached_BS, distance)
        passed_BS = passed_BS * _shifted(passed_BS, distance)
        distance *= 2
    return reached_BS


def _shifted(x_BS: Tensor, distance: int) -> Tensor:
    """Return what is some steps before, zero where nothing is."""
    return functional.pad(x_BS[:, :-distance], (distance, 0))
