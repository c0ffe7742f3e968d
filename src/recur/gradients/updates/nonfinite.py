"""The first tensor of a forward and backward pass that is not finite: in which module, at which step, in which row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recur.gradients.updates.pass_search import PassSearch
from recur.gradients.updates.place import NonFinite, at_index


def find_nonfinite(model: nn.Module, run: Callable[[], Tensor], *, ignore: Collection[str] = ()) -> NonFinite | None:
    """Run a step again and return the first tensor in it that is not finite.

    The forward pass is followed module by module in the order of the calls. Of the first one that returns something bad
    it is told whether its input was bad already (then it was made between modules), or one of its parameters, or only
    what it returned; of a recurrent layer, of this library or of torch, which state of which layer of the stack. When
    all that modules return is finite, it is a parameter, the loss, or the backward pass, which is followed from the
    loss: the first tensor at a module's ends whose gradient is bad. "The gradient of the input" was spoilt inside the
    module, "the gradient of the output" by what was done with the output afterwards. The last place to look at are the
    gradients of the parameters. Where an infinite input of a module was hidden by a saturated gate, that is told.

    Steps are known of recurrent layers, and of cells by the count of their calls; of other tensors the index is told.
    Steps, rows and calls count from 0. Padding, past `lengths`, does not count.

    The network is left as it was: its parameters' gradients are not touched, buffers get their values back, and random
    numbers go on as if nothing had happened. A search takes a few times as long as a step.

    Args:
        model: The network.
        run: Runs the forward pass as the step did and returns the loss, (); the scaled one where a `GradScaler` is
            used. Where random numbers matter, it sets the generators' states first.
        ignore: Names of modules that may return infinite values on purpose, such as masked logits.

    Returns:
        The first such tensor, or None when this time everything is finite.

    Raises:
        TypeError: `model` is no module, or `run` returns no tensor.
        ValueError: `run` returns more than one number.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        >>> x = torch.tensor([[1.0, 2.0], [torch.inf, 0.0]])
        >>> print(find_nonfinite(model, lambda: model(x).sum()))
        0: the input is inf at index (1, 0)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"find_nonfinite: model must be a torch.nn.Module, but is {type(model).__name__}.")
    search = PassSearch(model, ignore)
    with torch.enable_grad(), _untouched(model):
        with search.hooked():
            loss = run()
        if not isinstance(loss, Tensor):
            raise TypeError(
                f"find_nonfinite: run must return the loss, a torch.Tensor, but returned {type(loss).__name__}."
            )
        if loss.numel() != 1:
            raise ValueError(f"find_nonfinite: run must return one number, but returned shape {tuple(loss.shape)}.")
        found = search.found or _bad_parameter(model)
        if found is None:
            found = at_index(loss, "", "loss") or search.backward(loss)
            # What a module swallowed on the way may be meant, unless something goes wrong later.
            found = found and (search.suspect or found)
        return found


def _bad_parameter(model: nn.Module) -> NonFinite | None:
    for name, parameter in model.named_parameters():
        module, _, own = name.rpartition(".")
        found = at_index(parameter, module, f"parameter {own}")
        if found is not None:
            return found
    return None


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Give buffers and random generators their state back in the end."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)
