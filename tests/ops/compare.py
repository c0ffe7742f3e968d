"""The one comparison of tensors. Loaded by the conftest files, which hand it to the tests as a fixture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def compare(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, terms: int | None = None) -> None:
    """Raise AssertionError, naming the worst element, unless each tensor is its namesake.

    Args:
        actual: What came, by name.
        expected: What should have come, in the same dtype, by the same names.
        terms: None for an absolute tolerance of 1e-10, for float64. Else the number of terms in the longest sum
            behind an element: adding n numbers in another order changes the sum by at most n * eps * their size, so
            the tolerance is terms * eps * the largest element.
    """
    assert actual.keys() == expected.keys(), f"got {sorted(actual)}, expected {sorted(expected)}"
    for name, want in expected.items():
        got, want = actual[name].detach(), want.detach()
        assert got.shape == want.shape, f"{name}: shape {tuple(got.shape)}, expected {tuple(want.shape)}"
        assert got.dtype == want.dtype, f"{name}: {got.dtype}, expected {want.dtype}"
        assert bool(torch.isfinite(want).all()), f"{name}: the expected values are not all finite"
        if want.numel() == 0:
            continue
        limit = 1e-10 if terms is None else terms * torch.finfo(want.dtype).eps * max(1.0, float(want.abs().max()))
        error = torch.nan_to_num((got - want).abs(), nan=torch.inf)
        worst = int(error.argmax())
        if not float(error.flatten()[worst]) <= limit:
            place = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), want.shape))
            raise AssertionError(
                f"{name}{list(place)} is {float(got[place])!r}, expected {float(want[place])!r}: "
                f"off by {float(error[place]):.3g}, allowed {limit:.3g}"
            )
