import pytest
import torch


def test_equal_tensors_pass(compare):
    compare({"y": torch.ones(2, 3)}, {"y": torch.ones(2, 3)}, terms=1)


def test_names_the_worst_element(compare):
    got = torch.zeros(2, 3, dtype=torch.float64)
    got[0, 1], got[1, 2] = 1e-9, -3e-9
    with pytest.raises(AssertionError, match=r"dx\[1, 2\] is -3e-09, expected 0.0: off by 3e-09, allowed 1e-10"):
        compare({"dx": got}, {"dx": torch.zeros(2, 3, dtype=torch.float64)})


def test_the_relative_tolerance_fails_just_above(compare):
    eps = torch.finfo(torch.float32).eps
    want = torch.tensor([2.0])
    compare({"y": want + 2 * 4 * eps}, {"y": want}, terms=4)
    with pytest.raises(AssertionError, match=r"y\[0\]"):
        compare({"y": want + 2 * 5 * eps}, {"y": want}, terms=4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_fails(compare, bad):
    with pytest.raises(AssertionError, match=r"y\[0\] is"):
        compare({"y": torch.tensor([bad])}, {"y": torch.tensor([1.0])}, terms=100)
    with pytest.raises(AssertionError, match="not all finite"):
        compare({"y": torch.tensor([bad])}, {"y": torch.tensor([bad])}, terms=100)


def test_other_names_shapes_and_dtypes_fail(compare):
    y = torch.ones(2)
    with pytest.raises(AssertionError, match=r"got \['z'\], expected \['y'\]"):
        compare({"z": y}, {"y": y})
    with pytest.raises(AssertionError, match=r"shape \(2, 1\), expected \(2,\)"):
        compare({"y": y[:, None]}, {"y": y})
    with pytest.raises(AssertionError, match=r"torch.float64, expected torch.float32"):
        compare({"y": y.double()}, {"y": y})
