"""Where torch's random generators stand, to let them go on from there again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states


class Randomness(NamedTuple):
    """The state of torch's generators: of the processor, and of the devices that some tensors are on."""

    cpu: Tensor
    devices: Sequence[int]
    states: Sequence[Tensor]

    @classmethod
    def now(cls, *tensors: Tensor) -> Randomness:
        """Return it as it is, of the devices of some tensors too."""
        each = {tensor.device: tensor for tensor in tensors if not tensor.is_cpu}
        # Torch's function takes its time to find that there is none, in every step of a training.
        return cls(torch.get_rng_state(), *(get_device_states(*each.values()) if each else ((), ())))

    @classmethod
    @contextmanager
    def kept(cls, *tensors: Tensor) -> Iterator[None]:
        """Let what is drawn inside leave no trace outside."""
        before = cls.now(*tensors)
        try:
            yield
        finally:
            before.restore()

    def restore(self) -> None:
        """Let the generators go on from here."""
        # Torch reads past the end of one that lies within a larger tensor.
        torch.set_rng_state(self.cpu.clone())
        if self.devices:
            set_device_states(self.devices, self.states)

    def is_same(self, other: Randomness) -> bool:
        """Return whether nothing was drawn between two of them."""
        return all(torch.equal(one, another) for one, another in zip(self.tensors(), other.tensors(), strict=True))

    def tensors(self) -> tuple[Tensor, ...]:
        """Return what it is made of."""
        return (self.cpu, *self.states)
