"""Norms of gradients: of tensors, and by the layers of a network that they belong to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from recur.nn.cell_layer import CellLayer
from recur.nn.stack import Stack

_NUMBER = re.compile(r"_l(\d+)(?:_reverse)?$")
_LEAST_SURE_NORM = 2.0**-50
"""Above it no more than 2^-25 of a float32 norm is lost with squares too small to be told from zero."""
_PARAMETRIZED = re.compile(r"^parametrizations\.(.+)\.(?:original\d*|\d+\..+)$")


def layers_of(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of a network by the layers that they belong to.

    There is a group for each module that has parameters of its own, under its name in the network (the name of its
    class if it is the network itself). A recurrent stack of several layers, of this library or of torch, is split: the
    layers of `rnn` are `rnn.l0`, `rnn.l1`, both directions of a layer together, and what belongs to no single one of
    them, such as a learned initial state, is `rnn`. With a single layer all is `rnn`.

    Args:
        module: The network.

    Returns:
        Name to parameters, in the network's order. Each parameter is in one group only, the first that has it (tied
        weights); groups that would be empty are left out.

    Raises:
        TypeError: `module` is no module.

    Example:
        >>> network = nn.Sequential(nn.Embedding(5, 4), nn.LSTM(4, 3, num_layers=2), nn.Linear(3, 5))
        >>> {name: len(parameters) for name, parameters in layers_of(network).items()}
        {'0': 1, '1.l0': 4, '1.l1': 4, '2': 2}
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"layers_of: module must be a torch.nn.Module, but is {type(module).__name__}.")
    found: dict[str, list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for name, parameter in _grouped(module, ""):
        if parameter not in seen:
            seen.add(parameter)
            found.setdefault(name or type(module).__name__, []).append(parameter)
    return found


def gradient_norms(module: nn.Module) -> dict[str, float]:
    """Return the L2 norm of the gradient of each layer, for which it waits for the device once.

    Args:
        module: The network, after a backward pass.

    Returns:
        Name of the layer, as of `layers_of`, to the norm of its gradients as one vector; 0 where it has none, not
        finite where one of them is not.

    Raises:
        TypeError: `module` is no module.
        ValueError: A gradient is sparse.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1))
        >>> network[0].weight.grad = torch.tensor([[3.0, 4.0]])
        >>> gradient_norms(network)
        {'0': 5.0, '1': 0.0}
    """
    layers = layers_of(module)
    gradients = [gradients_of("gradient_norms", parameters) for parameters in layers.values()]
    every = [gradient for each in gradients for gradient in each]
    if not every:
        return dict.fromkeys(layers, 0.0)
    values = iter(norms_of(every).tolist())
    return {name: math.hypot(*[next(values) for _ in each]) for name, each in zip(layers, gradients, strict=True)}


def norms_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each tensor, finite where all its elements are, (N,) float64.

    In float32 squares of what is above 2^64 are infinite, and of what is below 2^-75 zero: a gradient that explodes
    would be found not finite, and one that vanishes to be none.

    Args:
        tensors: At least one, floating or complex. On a processor they are waited for.

    Returns:
        On the device of the first; float32 where that has no float64.
    """
    tensors = [torch.view_as_real(each.resolve_conj()) if each.is_complex() else each for each in tensors]
    device = tensors[0].device
    if all(tensor.is_cpu for tensor in tensors):
        return torch.tensor([_norm(tensor) for tensor in tensors], dtype=torch.float64)
    norms = torch._foreach_norm(list(tensors), 2, widest(device))
    return torch.stack([norm.to(device) for norm in norms])


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of tensors as one vector, (), as `norms_of` does; 0 without any."""
    if all(tensor.is_cpu for tensor in tensors):
        # Many times as fast as with tensors of single numbers.
        return torch.tensor(math.hypot(*norms_of(tensors).tolist()) if tensors else 0.0, dtype=torch.float64)
    return scaled_norm(norms_of(tensors))


def widest(device: torch.device) -> torch.dtype:
    """Return the floating dtype of the widest range that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64


def scaled_norm(values: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Return the L2 norm over some dimensions, which stay, or as () over all; finite where its result is.

    Args:
        values: Floating.
        dim: Dimensions.
    """
    most = values.abs().amax(() if dim is None else dim, keepdim=dim is not None)
    scale = torch.where((most > 0) & torch.isfinite(most), most, 1.0)
    norm: Tensor = torch.linalg.vector_norm(values / scale, dim=dim, keepdim=dim is not None) * scale
    return norm


def _norm(tensor: Tensor) -> float:
    """Return the L2 norm of a tensor on the processor."""
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    norm = float(torch.linalg.vector_norm(tensor, dtype=dtype))
    if _LEAST_SURE_NORM < norm < math.inf or not tensor.numel():
        return norm
    # Many times the work, where squares may have left the range.
    return float(scaled_norm(tensor.double()))


def gradients_of(owner: str, parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the gradients that parameters have.

    Args:
        owner: Who complains.
        parameters: Each once.

    Raises:
        ValueError: One is sparse.
    """
    found = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        if gradient.layout != torch.strided:
            raise ValueError(
                f"{owner}: the gradient of a parameter of shape {tuple(parameter.shape)} is sparse, but must be dense. "
                "Make the embedding with sparse=False."
            )
        found.append(gradient)
    return found


def _grouped(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield each parameter, tied ones again, with the name of its group; empty for the network itself."""
    if isinstance(module, Stack | nn.RNNBase):
        yield from _of_stack(module, path)
        return
    yield from [(path, parameter) for parameter in module.parameters(recurse=False)]
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if name == "parametrizations":
            yield from [(path, parameter) for parameter in child.parameters()]
        else:
            yield from _grouped(child, below)


def _of_stack(stack: Stack | nn.RNNBase, path: str) -> Iterator[tuple[str, nn.Parameter]]:
    is_split, prefix = stack.num_layers > 1, f"{path}." if path else ""
    for name, parameter in stack.named_parameters(remove_duplicate=False):
        parametrized = _PARAMETRIZED.match(name)
        plain = name if parametrized is None else parametrized[1]
        number = _NUMBER.search(plain)
        layer = None if number is None else int(number[1])
        owner, _, _ = plain.rpartition(".")
        if isinstance(stack, CellLayer) and plain.startswith("cells."):
            layer, owner = int(plain.split(".")[1]) // (2 if stack.bidirectional else 1), ""
        if owner:
            # A module of the stack's own, such as one that computes initial states.
            yield f"{prefix}{owner}", parameter
        elif layer is not None and is_split:
            yield f"{prefix}l{layer}", parameter
        else:
            yield path, parameter
