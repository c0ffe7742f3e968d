"""Where in a tensor, and at which step, something is not finite."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from recur.ops._scan import mask_of


@dataclass(frozen=True, kw_only=True)
class NonFinite:
    """Where something went bad; as text one line, such as "layers.1: the output is NaN from step 37 of row 2 on".

    Attributes:
        module: Name of the module in the network; empty for the network itself, and for the loss.
        tensor: Which of its tensors: "input", "parameter weight_hh_l0", "output", "state c", "gradient of the output".
        value: "NaN", "inf" or "-inf": the first element that is not finite.
        step: The first step that is bad; of a gradient, which comes from the end, the last. None where no module knows
            of steps.
        row: The first bad row of a batch at that step, or None.
        reaches: "on" where all later steps of that row are bad too, "back" where all earlier ones are; else empty.
        index: The element's place in the tensor where there is neither step nor row.
    """

    module: str
    tensor: str
    value: str
    step: int | None = None
    row: int | None = None
    reaches: str = ""
    index: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return it as one line without a full stop."""
        where = ""
        if self.step is not None:
            at = f"step {self.step}" + ("" if self.row is None else f" of row {self.row}")
            where = f" from {at} {self.reaches}" if self.reaches else f" at {at}"
        elif self.row is not None:
            where = f" in row {self.row}"
        elif self.index:
            where = f" at index {self.index if len(self.index) > 1 else self.index[0]}"
        return f"{self.module}{': ' if self.module else ''}the {self.tensor} is {self.value}{where}"

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter itself."""
        return self.tensor.startswith("parameter ")

    def to_json(self) -> dict[str, Any]:
        """Return it as a dictionary of plain values."""
        return asdict(self) | {"index": list(self.index)}


def is_finite(value: Tensor) -> bool:
    """Return whether every element is; whole numbers always are."""
    if not (value.is_floating_point() or value.is_complex()):
        return True
    return bool(torch.isfinite(_dense(value)).all())


def at_index(value: Tensor, module: str, tensor: str) -> NonFinite | None:
    """Return the first element that is not finite, by its index."""
    if is_finite(value):
        return None
    value = value.detach()
    dense = value.to_dense() if value.layout != torch.strided else value
    index = tuple((~torch.isfinite(dense)).nonzero()[0].tolist())
    return NonFinite(module=module, tensor=tensor, value=_word(dense[index]), index=index)


def at_row(value: Tensor, module: str, tensor: str, step: int | None = None) -> NonFinite | None:
    """Return the first row (B, ...) that is not finite."""
    if is_finite(value):
        return None
    value = value.detach()
    row = int((~torch.isfinite(value)).flatten(1).any(1).nonzero()[0])
    return NonFinite(module=module, tensor=tensor, value=_word(value[row]), row=row, step=step)


def at_step(
    value: Tensor,
    module: str,
    tensor: str,
    *,
    is_batched: bool = True,
    is_back: bool = False,
    lengths: Tensor | None = None,
    may_be_nan: bool = False,
) -> NonFinite | None:
    """Return the first step, and in it the first row, that is not finite.

    Args:
        value: (T, B, ...).
        module: Name of the module.
        tensor: Name of the tensor.
        is_batched: Whether rows are to be told.
        is_back: Whether to look from the last step back.
        lengths: True steps of each row, past which nothing counts.
        may_be_nan: Whether NaN is right, and only what is infinite is not.
    """
    value = value.detach()
    num_steps, batch = value.shape[:2]
    wrong = torch.isinf(value) if may_be_nan else ~torch.isfinite(value)
    bad = wrong.reshape(num_steps, batch, -1).any(2)
    if lengths is not None:
        bad = bad & mask_of(lengths.to(bad.device), num_steps)
    steps = bad.any(1).nonzero()[:, 0].tolist()
    if not steps:
        return None
    step = steps[-1 if is_back else 0]
    row = int(bad[step].nonzero()[0])
    alike = bad[:, row].nonzero()[:, 0].tolist()
    end = num_steps if lengths is None else int(lengths[row])
    rest = list(range(step + 1)) if is_back else list(range(step, end))
    return NonFinite(
        module=module,
        tensor=tensor,
        value=_word(value[step, row], may_be_nan=may_be_nan),
        step=step,
        row=row if is_batched else None,
        reaches=("back" if is_back else "on") if len(rest) > 1 and alike == rest else "",
    )


def _dense(value: Tensor) -> Tensor:
    return value.detach().coalesce().values() if value.layout == torch.sparse_coo else value.detach()


def _word(value: Tensor, *, may_be_nan: bool = False) -> str:
    """Return the name of the first element that is not finite."""
    wrong = torch.isinf(value) if may_be_nan else ~torch.isfinite(value)
    number = complex(value[wrong].flatten()[0].item())
    if math.isnan(number.real) or math.isnan(number.imag):
        return "NaN"
    return "-inf" if number.real < 0 else "inf"
