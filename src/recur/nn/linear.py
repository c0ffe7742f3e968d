"""The linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recur.kinds import is_whole
from recur.ops._dispatch import Explanation, check_name
from recur.ops.linear.op import BACKENDS, explain, linear
from recur.ops.linear_cross_entropy.op import linear_cross_entropy, linear_log_probs


class Linear(nn.Linear):
    """y = W x + b, with the arguments, parameters and results of `torch.nn.Linear`, which it is a subclass of.

    On a CPU it runs on the engine's own matrix products where those were measured to be faster: about twice as fast
    with AVX-512 on AMD's processors, in float32 and float64, forward and backward. Everywhere else, and in programs
    that are compiled or exported, under `torch.func` and autocast, torch's own product runs. `explain` tells.

    Args:
        in_features: Features of the input, I.
        out_features: Features of the output, O.
        bias: Whether there is a bias.
        device: Where the parameters lie.
        dtype: Their dtype.
        backend: "auto" for the faster one, "cpu" for the engine, "torch"; one that is named runs or raises.

    Attributes:
        weight: (O, I), drawn from U(-I^-0.5, I^-0.5) as torch does.
        bias: (O,), drawn likewise, or None.

    Raises:
        TypeError: `bias` or `backend` is of the wrong kind.
        ValueError: A size is no whole number of 0 or more, or no back end has that name.

    Example:
        >>> layer = Linear(256, 100)
        >>> layer(torch.randn(64, 16, 256)).shape
        torch.Size([64, 16, 100])
        >>> layer.load_state_dict(torch.nn.Linear(256, 100).state_dict())
        <All keys matched successfully>
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not is_whole(size, 0):
                raise ValueError(f"Linear: {name} must be a whole number of 0 or more, but is {size!r}.")
        if not isinstance(bias, bool):
            raise TypeError(f"Linear: bias must be a bool, but is {type(bias).__name__}.")
        check_name("Linear", BACKENDS, backend)
        super().__init__(in_features, out_features, bias, device, dtype)
        self.backend = backend

    def forward(self, input: Tensor) -> Tensor:
        """Return W x + b for each row of the input.

        Args:
            input: x, (..., I), of the parameters' dtype and device.

        Returns:
            (..., O).

        Raises:
            TypeError: The input is no tensor, or has another dtype.
            ValueError: It has another number of features, or lies on another device.
            BackendError: The back end asked for by name cannot run it.
        """
        return linear(input, self.weight, self.bias, backend=self.backend)

    def cross_entropy(self, input: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the sum of the cross-entropies of softmax(W x + b) over all rows, in nats, ().

        Of many rows and many features out their logits are never held all at once, see
        `recur.ops.linear_cross_entropy`.

        Args:
            input: x, (N, I), of the parameters' dtype and device.
            target: The right feature of each row, (N,) int64.
            label_smoothing: Share of the target probability that is spread over all of them.
        """
        return linear_cross_entropy(input, self.weight, self.bias, target, label_smoothing=label_smoothing)

    def log_probs(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the logarithm of the probability of each row's target in softmax(W x + b), (N,).

        Args:
            input: As of `cross_entropy`.
            target: Likewise.
        """
        return linear_log_probs(input, self.weight, self.bias, target)

    def explain(self, input: Tensor) -> Explanation:
        """Return which back end runs this input, and why the other does not."""
        return explain(input, self.weight, self.bias, backend=self.backend, owner="Linear")

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        backend = "" if self.backend == "auto" else f", backend={self.backend!r}"
        return super().extra_repr() + backend
