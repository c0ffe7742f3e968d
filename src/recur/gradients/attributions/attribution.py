"""Which inputs an output rests on: a share for every step of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from recur.kinds import is_whole

Method = Literal["gradient_input", "integrated_gradients", "occlusion"]

METHODS: tuple[Method, ...] = get_args(Method)
"""Every method of `attribute`, the cheapest first."""

Score = Callable[[Tensor, Tensor], Tensor]
"""Scores (N,) of inputs (N, T, F) that are variants of the rows (N,) int64: higher for what is to be explained."""


def attribute(
    score: Score,
    inputs: Tensor,
    baseline: Tensor | None = None,
    *,
    method: Method = "integrated_gradients",
    num_steps: int = 32,
    batch_size: int = 256,
    per_feature: bool = False,
) -> Tensor:
    """Return how much each step of the input adds to a score, against a neutral input in its place.

    With x the input, b the baseline and S the score, step t of a row gets

        gradient_input        sum_f (x_tf - b_tf) dS/dx_tf                                (Shrikumar et al. 2016)
        integrated_gradients  sum_f (x_tf - b_tf) int_0^1 dS(b + a (x - b))/dx_tf da      (Sundararajan et al. 2017)
        occlusion             S(x) - S(x with b_t in place of x_t)                        (Zeiler & Fergus 2014)

    and with `per_feature` each feature of a step its own term of the sum over f; occlusion then puts b_tf in place of
    x_tf alone, so that what the features of a step say together only is in none of its shares.

    All three are exact for a score that is linear in x. The shares of `integrated_gradients` add up to S(x) - S(b)
    (their completeness), but for the error of the integral, which `num_steps` makes small.

    Args:
        score: Takes inputs (N, T, F) and the rows (N,) int64 of `inputs` that they are variants of, by which it finds
            whatever else belongs to a row (its target, its state before, its length); returns the scores (N,). It must
            be differentiable, and treat each row by itself.
        inputs: What is explained, (B, T, F) of a float dtype.
        baseline: The neutral input, of a shape that expands to that of `inputs`; zeros when None.
        method: One of the above.
        num_steps: Points at which `integrated_gradients` takes the gradient, those of Gauss and Legendre.
        batch_size: Rows that `score` gets at once, at most; it bounds the memory.
        per_feature: Whether each feature of a step gets a share of its own.

    Returns:
        (B, T) of the dtype of `inputs`, without a gradient; (B, T, F) with `per_feature`.

    Raises:
        TypeError: `inputs` or `baseline` is no float tensor.
        ValueError: A shape, the method or a number is wrong, `score` does not return one score a row, or a method that
            needs its gradient finds none.

    Example:
        >>> weights = torch.tensor([[1.0], [2.0], [-3.0]])
        >>> inputs = torch.tensor([[[1.0], [1.0], [2.0]]])
        >>> attribute(lambda x, rows: (x * weights).sum((1, 2)), inputs, method="occlusion")
        tensor([[ 1.,  2., -6.]])
    """
    base = expanded_baseline("attribute", inputs, baseline)
    for name, value in (("num_steps", num_steps), ("batch_size", batch_size)):
        if not is_whole(value, 1):
            raise ValueError(f"attribute: {name} must be a whole number from 1 on, but is {value!r}.")
    if method not in METHODS:
        raise ValueError(f"attribute: method must be one of {', '.join(METHODS)}, but is {method!r}.")
    if len(inputs) == 0:
        return inputs.new_zeros(inputs.shape if per_feature else inputs.shape[:2])
    if method == "occlusion":
        return _occlusion(score, inputs, base, batch_size, per_feature=per_feature)
    shares = []
    for number, rows in enumerate(torch.split(torch.arange(len(inputs), device=inputs.device), batch_size)):
        if method == "gradient_input":
            shares.append(_gradient_input(score, inputs[rows], base[rows], rows))
        else:
            if number == 0:
                # What Captum would say of a score without one is torch's word on a graph.
                _gradient(score, inputs[rows], rows)
            shares.append(_integrated_gradients(score, inputs[rows], base[rows], rows, num_steps, batch_size))
    found = torch.cat(shares)
    return found if per_feature else found.sum(2)


def scores_of(score: Score, inputs: Tensor, rows: Tensor, batch_size: int) -> Tensor:
    """Return the scores (N,) of `inputs`, (N, T, F), without a gradient, `batch_size` of them at once.

    Raises:
        ValueError: `score` does not return one score a row.
    """
    with torch.no_grad():
        found = [
            _checked(score(x, own), own)
            for x, own in zip(torch.split(inputs, batch_size), torch.split(rows, batch_size), strict=True)
        ]
    return torch.cat(found)


def expanded_baseline(owner: str, inputs: Tensor, baseline: Tensor | None) -> Tensor:
    """Return the baseline in the shape, dtype and place of `inputs`, both checked.

    Raises:
        TypeError: One of them is no float tensor.
        ValueError: `inputs` is not (B, T, F), or the baseline does not expand to that.
    """
    for name, value in (("inputs", inputs), ("baseline", baseline)):
        is_given = name == "inputs" or value is not None
        if is_given and not (isinstance(value, Tensor) and value.is_floating_point()):
            found = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{owner}: {name} must be a float tensor, but is {found}; embed tokens first.")
    if inputs.dim() != 3:
        raise ValueError(f"{owner}: inputs must be of shape (B, T, F), but is {tuple(inputs.shape)}.")
    if baseline is None:
        return torch.zeros_like(inputs)
    try:
        return baseline.detach().to(inputs).expand(inputs.shape)
    except RuntimeError as error:
        raise ValueError(
            f"{owner}: baseline of shape {tuple(baseline.shape)} does not expand to that of inputs, "
            f"{tuple(inputs.shape)}; give (F,), (T, F) or (B, T, F)."
        ) from error


def _gradient(score: Score, x: Tensor, rows: Tensor) -> Tensor:
    """Return the gradient of the scores with respect to their inputs."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        total = _checked(score(x, rows), rows).sum()
    gradient = torch.autograd.grad(total, x, allow_unused=True)[0] if total.requires_grad else None
    if gradient is None:
        raise ValueError(
            "attribute: the score has no gradient with respect to its inputs. Do not detach them in score, or take "
            "method='occlusion', which needs none."
        )
    return gradient


def _gradient_input(score: Score, x: Tensor, base: Tensor, rows: Tensor) -> Tensor:
    return _gradient(score, x, rows) * (x.detach() - base)


def _integrated_gradients(
    score: Score, x: Tensor, base: Tensor, rows: Tensor, num_steps: int, batch_size: int
) -> Tensor:
    from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

    explainer = IntegratedGradients(lambda variants, own: _checked(score(variants, own), own))
    found: Tensor = explainer.attribute(
        x.detach(), base, additional_forward_args=rows, n_steps=num_steps, internal_batch_size=batch_size
    )
    return found.detach()


def _occlusion(score: Score, inputs: Tensor, base: Tensor, batch_size: int, *, per_feature: bool) -> Tensor:
    batch, num_steps, num_features = inputs.shape
    every = torch.arange(batch, device=inputs.device)
    whole = scores_of(score, inputs, every, batch_size)
    # What is replaced at once: a step, or one of its features.
    features = torch.arange(num_features, device=inputs.device)
    columns = features[:, None] if per_feature else features[None]
    count = num_steps * len(columns)
    shares = []
    for places in torch.split(torch.arange(batch * count, device=inputs.device), batch_size):
        rows, steps = places // count, places % count // len(columns)
        replaced = columns[places % len(columns)]
        variants = inputs.detach()[rows]
        here = torch.arange(len(rows), device=inputs.device)[:, None], steps[:, None], replaced
        variants[here] = base[rows[:, None], steps[:, None], replaced]
        shares.append(whole[rows] - scores_of(score, variants, rows, batch_size))
    return torch.cat(shares).view(inputs.shape if per_feature else (batch, num_steps))


def _checked(scores: Tensor, rows: Tensor) -> Tensor:
    if scores.shape != rows.shape:
        raise ValueError(
            f"attribute: score must return one score a row, {tuple(rows.shape)}, but returned {tuple(scores.shape)}."
        )
    return scores
