"""Bounds on the gradient before a step: of the whole, of each element, of each layer, of each unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from recur.gradients.updates.norms import gradients_of, layers_of, norm_of, scaled_norm, widest
from recur.kinds import is_number
from recur.wording import enumerated

Clippable: TypeAlias = nn.Module | Mapping[str, Iterable[nn.Parameter]] | Iterable[nn.Parameter]
"""A network, its parameters by layer as `layers_of` returns them, or parameters."""

_LEAST_WEIGHT_NORM = 1e-3
"""What the norm of a unit's weights counts as at least, so that weights of zero can leave zero (Brock et al. 2021)."""


class Clipping(NamedTuple):
    """What `clip_gradients` found and did.

    Attributes:
        before: Global L2 norm of the gradients before clipping, () float64, finite where all of them are; float32 on a
            device that has no float64.
        after: The same after it.
    """

    before: Tensor
    after: Tensor

    @property
    def removed(self) -> Tensor:
        """Share of the norm that clipping took away, () from 0 to 1; 0 without a gradient, NaN if it is not finite."""
        share = 1 - self.after / self.before
        return torch.where(self.before == 0, 0.0, share)


def clip_gradients(
    parameters: Clippable,
    *,
    max_norm: float | None = None,
    max_value: float | None = None,
    max_layer_norm: float | None = None,
    max_ratio: float | None = None,
    exempt: Iterable[nn.Parameter] = (),
) -> Clipping:
    """Clip gradients in place by one bound, or by none, and return their norm before and after.

    Gradients that are not finite are left as they are, so that it can be seen where they went wrong.

    Args:
        parameters: The network, or its parameters. Those without a gradient are passed over, those that occur twice
            are clipped once.
        max_norm: Bound on the global L2 norm, above 0; larger gradients are scaled to it as one vector (Pascanu,
            Mikolov & Bengio 2013, algorithm 1).
        max_value: Bound on the absolute value of each element, above 0.
        max_layer_norm: Bound on the L2 norm of each layer's gradients, above 0, each scaled as a vector of its own. It
            needs the network or the result of `layers_of`, to know the layers.
        max_ratio: Bound on the norm of each unit's gradient as a share of the norm of its weights, above 0: adaptive
            gradient clipping (Brock, De, Smith & Simonyan 2021, equation 3). A unit is a row of a matrix, all that
            goes into one gate of one hidden unit, or into one output; in tensors of more dimensions all that stands at
            one place of the first; a vector (bias, gain) is clipped as a whole, as in the authors' code. Weights count
            as 0.001 at least. The authors use ratios from 0.01 to 0.16.
        exempt: With `max_ratio`, parameters that are not clipped but count in the norms; the authors exempt the output
            layer's.

    Raises:
        TypeError: An argument is of the wrong kind, or `max_layer_norm` is given for parameters without layers.
        ValueError: Two bounds are given, one is not above 0, `exempt` is given without `max_ratio`, or a gradient is
            sparse.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> layer.weight.grad = torch.tensor([[3.0, 4.0]])
        >>> found = clip_gradients(layer, max_norm=1.0)
        >>> print(f"{found.before:.1f} {found.after:.1f} {found.removed:.1f}")
        5.0 1.0 0.8
    """
    bounds = {"max_norm": max_norm, "max_value": max_value, "max_layer_norm": max_layer_norm, "max_ratio": max_ratio}
    _check(bounds)
    exempted = set(exempt)
    if exempted and max_ratio is None:
        raise ValueError("clip_gradients: exempt is given, but only max_ratio exempts parameters. Leave it out.")
    layers = _layers(parameters, needs_names=max_layer_norm is not None)
    chosen = [p for layer in layers for p in layer if p.grad is not None]
    gradients = gradients_of("clip_gradients", chosen)
    before = norm_of(gradients)
    if not chosen:
        return Clipping(before, before)
    if max_norm is not None:
        return Clipping(before, _clip_together(chosen, max_norm, before, torch.isfinite(before)))
    if max_layer_norm is not None:
        norms = _clip_layers(layers, max_layer_norm, torch.isfinite(before))
        return Clipping(before, scaled_norm(torch.stack([norm.to(before) for norm in norms])))
    if max_ratio is not None:
        _clip_units([p for p in chosen if p not in exempted], max_ratio, torch.isfinite(before))
    elif max_value is not None and bool(torch.isfinite(before)):
        nn.utils.clip_grad_value_(chosen, max_value)
    else:
        return Clipping(before, before)
    return Clipping(before, norm_of(gradients))


def _check(bounds: Mapping[str, float | None]) -> None:
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    if len(given) > 1:
        raise ValueError(f"clip_gradients: {enumerated(list(given))} are given together. Give one of them.")
    for name, bound in given.items():
        if not is_number(bound):
            raise TypeError(f"clip_gradients: {name} must be a number, but is {type(bound).__name__}.")
        # A negative one would turn the gradient around.
        if not bound > 0:
            raise ValueError(f"clip_gradients: {name} is {bound}, but must be above 0. Leave it out to clip nothing.")


def _layers(parameters: Clippable, *, needs_names: bool) -> list[list[nn.Parameter]]:
    """Return the parameters, each once, by layer where layers are known and wanted."""
    if isinstance(parameters, nn.Module):
        return list(layers_of(parameters).values()) if needs_names else [list(parameters.parameters())]
    if isinstance(parameters, Mapping):
        groups = [list(each) for each in parameters.values()]
    elif needs_names:
        raise TypeError(
            f"clip_gradients: max_layer_norm needs to know the layers, but parameters is {type(parameters).__name__}. "
            "Give the network, or what layers_of returns for it."
        )
    else:
        groups = [[parameters] if isinstance(parameters, Tensor) else list(parameters)]
    seen: set[nn.Parameter] = set()
    found = []
    for group in groups:
        found.append([p for p in dict.fromkeys(group) if p not in seen])
        seen.update(group)
    return found


def _clip_together(parameters: list[nn.Parameter], bound: float, norm: Tensor, is_finite: Tensor) -> Tensor:
    """Scale gradients as one vector of the given norm, and return its norm after that."""
    if norm.is_cpu and not bool(norm > bound):
        # Nothing is to be scaled, or it is NaN.
        return norm
    # Whatever is not finite would spread to all gradients with the factor; from zero the factor is 1.
    nn.utils.clip_grads_with_norm_(parameters, bound, torch.where(is_finite.to(norm.device), norm, 0.0))
    # The factor that torch takes.
    after = norm * torch.clamp(bound / (norm + 1e-6), max=1.0)
    return torch.where(is_finite.to(norm.device), after, norm)


def _clip_layers(layers: list[list[nn.Parameter]], bound: float, is_finite: Tensor) -> list[Tensor]:
    """Scale the gradients of each layer, and return their norms after that."""
    norms = []
    for layer in layers:
        chosen = [p for p in layer if p.grad is not None]
        if chosen:
            norm = norm_of([p.grad for p in chosen if p.grad is not None])
            norms.append(_clip_together(chosen, bound, norm, is_finite))
    return norms


@torch.no_grad()
def _clip_units(parameters: list[nn.Parameter], ratio: float, is_finite: Tensor) -> None:
    for parameter in parameters:
        gradient = parameter.grad
        assert gradient is not None
        bound = ratio * _unit_norms(parameter).clamp(min=_LEAST_WEIGHT_NORM)
        norm = _unit_norms(gradient)
        is_over = (norm > bound) & is_finite.to(norm.device)
        factor = torch.where(is_over, bound / norm, 1.0)
        # It may be below what half precision holds, though the product is not.
        gradient.mul_(factor.to(_at_least_float32(gradient.dtype)))


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _unit_norms(tensor: Tensor) -> Tensor:
    """Return the norm of each unit, in a shape that can be multiplied with the tensor."""
    if tensor.dim() == 0:
        return tensor.abs()
    if tensor.is_complex():
        return _unit_norms(torch.view_as_real(tensor.resolve_conj()).flatten(-2))
    inside = tuple(range(1, tensor.dim())) if tensor.dim() > 1 else (0,)
    dtype = _at_least_float32(tensor.dtype) if tensor.is_cpu else widest(tensor.device)
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=inside, keepdim=True, dtype=dtype)
    if tensor.is_cpu and not bool(torch.isfinite(norms).all()):
        # The squares may be infinite alone. In double precision it takes ten times as long, on a processor.
        return scaled_norm(tensor.double(), inside)
    return norms
