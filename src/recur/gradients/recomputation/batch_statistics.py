"""Whether a layer can be cut in time although it normalises by statistics of what it is given."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from recur.gradients.recomputation.reversal import Reversal
from recur.gradients.recomputation.segments import Given, Segments


def are_watched(layer: nn.Module) -> bool:
    """Return whether there is batch normalisation whose statistics are those of what it is given."""
    return any(_normalises_by_batch(module) for module in layer.modules())


def check_statistics(segments: Segments, given: Given) -> None:
    """Raise where statistics are taken over all steps of a call at once: those of a segment are others.

    Args:
        segments: The call.
        given: What it is given.

    Raises:
        ValueError: A module that normalises by the batch is given more at once when the layer is given more steps.
    """
    longer = min(3, segments.num_steps)
    if longer < 2:
        return
    few: dict[str, int] = {}
    more: dict[str, int] = {}
    _note_elements(more, segments, given, longer)
    # One step of one row has no statistics. How much there was is noted by then.
    with suppress(ValueError):
        _note_elements(few, segments, given, longer - 1)
    for name, count in more.items():
        if count > few.get(name, count):
            kind = type(segments.layer.get_submodule(name)).__name__
            raise ValueError(
                f"{segments.owner}: {name or 'the layer'} is a {kind} in training, whose statistics are taken over all "
                "steps at once, so that those of a segment would be others. Call eval() on it, put it into a cell, "
                "which sees one step, or take a LayerNorm."
            )


def _normalises_by_batch(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)


def _note_elements(found: dict[str, int], segments: Segments, given: Given, length: int) -> None:
    """Note by name how much each module that normalises by the batch is given at once, in a call of some steps."""
    handles = []
    for name, module in segments.layer.named_modules():
        if not _normalises_by_batch(module):
            continue

        def note(_: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], name: str = name) -> None:
            sizes = [each.numel() for each in (*args, *keywords.values()) if isinstance(each, Tensor)]
            found[name] = max([found.get(name, 0), *sizes])

        handles.append(module.register_forward_pre_hook(note, with_kwargs=True))
    try:
        Reversal(segments, length, 1).probed(given)
    finally:
        for handle in handles:
            handle.remove()
