"""The windows of a training: fixed, or a function of the seed and the epoch."""

from __future__ import annotations

from recur.gradients import WindowLengths
from recur.train.language_windows import cut_by, lengths_of
from recur.train.options import LanguageTrainingOptions


def test_of_one_length_unless_told_otherwise() -> None:
    assert lengths_of(LanguageTrainingOptions(window=64)) == cut_by(LanguageTrainingOptions(window=64, reach=128)) == 64


def test_the_reach_bounds_random_lengths_only_where_it_is_more_than_a_window() -> None:
    def law(**options: int) -> WindowLengths:
        found = lengths_of(LanguageTrainingOptions(vary_window=True, **options))
        assert isinstance(found, WindowLengths)
        return found

    assert law(window=70) == law(window=70, reach=70) == WindowLengths(70)
    assert law(window=70, reach=80).longest == 80
    assert law(window=70, reach=200).longest == WindowLengths(70).longest == 90


def test_random_windows_are_a_function_of_the_seed_and_the_epoch() -> None:
    def lengths(epoch: int, **options: int) -> list[int]:
        cut = cut_by(LanguageTrainingOptions(window=16, vary_window=True, **options))
        assert not isinstance(cut, int)
        return cut(2249, epoch)

    epochs = [lengths(epoch, seed=3) for epoch in range(5)]
    assert epochs == [lengths(epoch, seed=3) for epoch in range(5)]
    assert len({tuple(epoch) for epoch in epochs}) == 5
    assert {len(epoch) for epoch in epochs} == {WindowLengths(16).count(2249)} == {144}
    assert {sum(epoch) for epoch in epochs} == {2249}
    assert lengths(1, seed=3) != lengths(0, seed=4) != lengths(0, seed=3)
    assert lengths(0, seed=(1 << 63) - 1) != lengths(0, seed=0)
    # Another batch size or device count leaves the order of windows what it is.
    assert lengths(2, seed=3, batch_size=8, devices=2) == epochs[2]
