"""What share of the gradient a truncation removes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recur.gradients.probes.sample import Sample
from recur.gradients.truncation.bptt import TruncatedBPTT


def truncated_share(samples: Sequence[Sample], *, k1: int, k2: int | None = None) -> float:
    """Return ||full - truncated|| / ||full||, of the gradient of the sum of all losses by the parameters.

    Args:
        samples: Of one model in evaluation mode; its parameters that are to be trained count.
        k1: Steps of a window.
        k2: Steps that the gradient goes back over; None is k1.

    Raises:
        TypeError: The model has no parameters.
        ValueError: k1 or k2 makes no sense, or the loss does not depend on the parameters.
    """
    model = samples[0].model
    parameters = [p for p in model.model.parameters() if p.requires_grad] if isinstance(model.model, nn.Module) else []
    if not parameters:
        raise TypeError(f"{model.owner}: truncation is given, but the model has no parameters that are trained.")

    def gradient(window: int, reach: int | None) -> Tensor:
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for sample in samples:
            bptt = TruncatedBPTT(model.model, k1=window, k2=reach, batch_first=model.batch_first)
            bptt.forget(sample.state)
            for begin in range(0, sample.num_steps, window):
                end = min(begin + window, sample.num_steps)
                along = {name: model.piece(value, begin, end) for name, value in sample.model.along.items()}
                loss = sample.losses(bptt(model.piece(sample.x, begin, end), **along), begin, end)
                if loss is None or not loss.requires_grad:
                    continue
                found = torch.autograd.grad(loss.sum(), parameters, allow_unused=True)
                for sum_so_far, more in zip(total, found, strict=True):
                    if more is not None:
                        sum_so_far.add_(more)
        return torch.cat([each.flatten().double() for each in total])

    with torch.enable_grad():
        full = gradient(max(sample.num_steps for sample in samples), None)
        if not float(full.norm()) > 0:
            raise ValueError(f"{model.owner}: the loss has no gradient with respect to the parameters, or it is zero.")
        return float((full - gradient(k1, k2)).norm() / full.norm())
