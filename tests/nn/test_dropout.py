import pytest
import torch

from recur.nn import LockedDropout


@pytest.mark.parametrize(("batch_first", "axis"), [(False, 0), (True, 1)])
def test_one_mask_over_all_steps(batch_first, axis):
    x = torch.rand(6, 5, 40) + 1
    y = LockedDropout(0.25, batch_first=batch_first)(x)
    kept = y != 0
    assert torch.equal(kept, kept.narrow(axis, 0, 1).expand_as(kept))
    torch.testing.assert_close(y[kept], x[kept] / 0.75)
    rows = kept.select(axis, 0)
    assert not torch.equal(rows[0], rows[1])


def test_the_share_and_the_mean():
    torch.manual_seed(0)
    y = LockedDropout(0.3)(torch.ones(2, 100, 100))
    # Ten thousand draws: the share lies within four standard deviations of 0.0046.
    assert abs(float((y == 0).float().mean()) - 0.3) < 0.0184
    assert abs(float(y.mean()) - 1) < 0.0184 / 0.7


def test_one_sequence():
    kept = LockedDropout(0.5, batch_first=True)(torch.ones(6, 40)) != 0
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert 0 < int(kept[0].sum()) < 40


def test_evaluation_and_zero_leave_the_input_alone():
    x = torch.rand(2, 3, 4)
    assert LockedDropout(0.5).eval()(x) is x
    assert LockedDropout(0.0)(x) is x
    assert not LockedDropout(1.0)(x).any()


def test_the_gradient_is_the_mask():
    x = torch.rand(6, 2, 10, requires_grad=True)
    y = LockedDropout(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_the_seed_decides():
    x, drop = torch.ones(6, 2, 10), LockedDropout(0.5)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(drop(x))
    assert torch.equal(*results)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"^LockedDropout: p is 1\.5, but must be from 0 to 1\.$"):
        LockedDropout(1.5)
    with pytest.raises(TypeError, match=r"^LockedDropout: p must be a number, but is str\.$"):
        LockedDropout("0.5")
    with pytest.raises(ValueError, match=r"^LockedDropout: x must have 2 or 3 dimensions, but has shape \(4,\)\.$"):
        LockedDropout(0.5)(torch.zeros(4))


def test_repr():
    assert repr(LockedDropout(0.25, batch_first=True)) == "LockedDropout(p=0.25, batch_first=True)"
