"""Sequences and streams cut into windows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur.gradients import TruncatedBPTT, Window, WindowLengths


def cutter(k1: Any = 3, *, batch_first: bool = False, **options: Any) -> TruncatedBPTT:
    return TruncatedBPTT(nn.Identity(), k1=k1, batch_first=batch_first, **options)


def whole(windows: list[Window], name: str, time: int) -> Tensor:
    return torch.cat([getattr(window, name) for window in windows], time)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("k1", "num_steps"), [(1, 5), (3, 10), (4, 4), (5, 15), (7, 3)])
def test_windows_of_sequences(k1: int, num_steps: int, batch_first: bool) -> None:
    time, shape = int(batch_first), (2, num_steps) if batch_first else (num_steps, 2)
    x, target, mask = torch.randn(*shape, 3), torch.randint(9, shape), torch.rand(*shape, 2, 2)
    reset, lengths = torch.rand(shape) < 0.5, [num_steps, num_steps // 2]
    windows = list(cutter(k1, batch_first=batch_first).windows(x, target, mask, reset=reset, lengths=lengths))
    assert [window.is_first for window in windows] == [True] + [False] * (len(windows) - 1)
    sizes = [window.x.shape[time] for window in windows]
    assert sizes == [k1] * (num_steps // k1) + [num_steps % k1] * (num_steps % k1 > 0)
    for number, window in enumerate(windows):
        begin = number * k1
        piece = slice(begin, begin + sizes[number])
        rows = slice(None)
        place = (rows, piece) if batch_first else (piece, rows)
        assert torch.equal(window.x, x[place])
        assert torch.equal(window.others[0], target[place])
        assert torch.equal(window.others[1], mask[place])
        assert torch.equal(window.reset, reset[place])
        assert window.lengths.tolist() == [min(max(n - begin, 0), sizes[number]) for n in lengths]
    plain = list(cutter(k1, batch_first=batch_first).windows(x))
    assert all(window.others == () and window.reset is None and window.lengths is None for window in plain)


def test_windows_are_views_and_frozen() -> None:
    x = torch.zeros(6, 1)
    first, second = cutter().windows(x)
    second.x.add_(1)
    assert x.flatten().tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(AttributeError):
        first.x = x  # type: ignore[misc]


def test_a_window_moves_to_a_device() -> None:
    x = torch.zeros(6, 2)
    first, second = cutter().windows(x, x, reset=x.bool(), lengths=[6, 2])
    moved = first.to("meta")
    assert {t.device.type for t in (moved.x, *moved.others, moved.reset, moved.lengths)} == {"meta"}
    assert (moved.x.shape, moved.is_first, second.to("meta").is_first) == ((3, 2), True, False)
    (plain,) = cutter(6).windows(x)
    assert (plain.to("meta").reset, plain.to("meta").lengths) == (None, None)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("sizes", [[1] * 20, [20], [2, 7, 0, 3, 8], [5, 5, 5, 5], [19, 1]])
@pytest.mark.parametrize("k1", [1, 3, 5, 20, 30])
def test_a_stream_in_chunks_is_cut_as_the_whole(sizes: list[int], k1: int, batch_first: bool) -> None:
    time, shape = int(batch_first), (2, 20) if batch_first else (20, 2)
    x, target, reset = torch.randn(*shape, 3), torch.randint(9, shape), torch.rand(shape) < 0.2
    bptt = cutter(k1, batch_first=batch_first)
    parts = [value.split(sizes, time) for value in (x, target, reset)]
    expected = list(bptt.windows(x, target, reset=reset))
    chunks = (Window(a, (b,), c) for a, b, c in zip(*parts, strict=True))
    found = list(bptt.windows(chunks))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.is_first == theirs.is_first
        assert mine.lengths is None
        for one, other in ((mine.x, theirs.x), (mine.others[0], theirs.others[0]), (mine.reset, theirs.reset)):
            assert torch.equal(one, other)
    # Tuples and tensors alone.
    pairs = list(bptt.windows(zip(*parts[:2], strict=True)))
    assert torch.equal(whole(pairs, "x", time), x)
    assert torch.equal(torch.cat([window.others[0] for window in pairs], time), target)
    assert all(window.reset is None for window in pairs)
    assert torch.equal(whole(list(bptt.windows(iter(parts[0]))), "x", time), x)


def test_some_chunks_have_resets() -> None:
    reset = torch.tensor([[True], [False]])
    chunks = [torch.zeros(2, 1), Window(torch.zeros(2, 1), reset=reset), torch.zeros(3, 1)]
    found = list(cutter(3).windows(chunks))
    assert [w.reset.flatten().tolist() for w in found] == [[False, False, True], [False] * 3, [False]]


def test_a_stream_need_not_end_and_is_read_no_further_than_needed() -> None:
    read: list[int] = []

    def stream() -> Iterator[Tensor]:
        for number in itertools.count():
            read.append(number)
            yield torch.full((2, 1), number)

    windows = cutter(3).windows(stream())
    assert read == []
    for number in range(200):
        window = next(windows)
        assert window.x.flatten().tolist() == [step // 2 for step in range(3 * number, 3 * number + 3)]
        assert window.is_first == (number == 0)
        assert len(read) == -(-3 * (number + 1) // 2)


def test_an_empty_stream_has_no_windows() -> None:
    assert list(cutter(3).windows([])) == []
    assert list(cutter(3).windows([torch.zeros(0, 2)])) == []


def test_windows_of_random_lengths() -> None:
    law = WindowLengths(10, deviation=2.0)
    x = torch.arange(500).reshape(500, 1)

    def cut(seed: int, source: Any) -> list[Window]:
        return list(cutter(law, generator=torch.Generator().manual_seed(seed)).windows(source))

    found = cut(1, x)
    assert [len(window.x) for window in found] == law.partition(500, torch.Generator().manual_seed(1))
    assert torch.equal(whole(found, "x", 0), x)
    assert [len(window.x) for window in found] != [len(window.x) for window in cut(2, x)]
    streamed = cut(1, x.split(7))
    generator = torch.Generator().manual_seed(1)
    drawn = [int(law.draw(1, generator)) for _ in streamed]
    assert [len(window.x) for window in streamed[:-1]] == drawn[:-1]
    assert torch.equal(whole(streamed, "x", 0), x)


def test_a_loop_over_random_windows_is_that_over_the_whole() -> None:
    layer = nn.GRU(3, 4, dtype=torch.float64)
    x = torch.randn(300, 2, 3, dtype=torch.float64)
    bptt = TruncatedBPTT(layer, k1=WindowLengths(20, most=30), k2=30)
    found = torch.cat([bptt(window.x) for window in bptt.windows(x)])
    torch.testing.assert_close(found, layer(x)[0], rtol=0, atol=1e-12)


# --- bad input --------------------------------------------------------------------------------------------------------

X = torch.zeros(4, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X[:0],), {}, ValueError, "x has no steps, (T, B, ...) = (0, 2, 3). Give at least one."),
        ((X, X[:3]), {}, ValueError, "others[0] must begin with (T, B) = (4, 2) as x, but has shape (3, 2, 3)."),
        ((X, 3), {}, TypeError, "others[0] must be a torch.Tensor, but is int."),
        ((X,), {"reset": X}, TypeError, "reset must be a torch.bool tensor, but is torch.float32."),
        ((X,), {"lengths": [5, 1]}, ValueError, "lengths"),
        (
            (iter([X]),),
            {"reset": X[..., 0].bool()},
            ValueError,
            "x is a stream, so others, reset and lengths cannot stand beside it. Yield chunks (x, *others), or "
            "Window(x, others, reset).",
        ),
        (
            ([3],),
            {},
            TypeError,
            "a chunk must be a torch.Tensor, a tuple (x, ...) of them or a Window, but is int.",
        ),
        (([(X, X[:2])],), {}, ValueError, "others[0] must begin with (T, B) = (4, 2) as x, but has shape (2, 2, 3)."),
        (([(3, X)],), {}, TypeError, "x must be a torch.Tensor, but is int."),
        (
            ([Window(X, lengths=torch.ones(2))],),
            {},
            ValueError,
            "a chunk of a stream has lengths, but a stream does not end. Pass reset.",
        ),
        (([Window(X, reset=X)],), {}, TypeError, "reset must be a torch.bool tensor, but is torch.float32."),
        (
            ([X, X[:, :1]],),
            {},
            ValueError,
            "a step of a chunk has shapes [(1, 3)], but a step of the first one has [(2, 3)].",
        ),
        (
            ([(X, X), X],),
            {},
            ValueError,
            "a step of a chunk has shapes [(2, 3)], but a step of the first one has [(2, 3), (2, 3)].",
        ),
    ],
)
def test_what_cannot_be_cut(arguments: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    end = "" if message == "lengths" else "$"
    with pytest.raises(error, match=f"^{re.escape('TruncatedBPTT: ' + message)}{end}"):
        list(cutter().windows(*arguments, **options))


def test_it_complains_before_the_first_window_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"^TruncatedBPTT: windows needs k1, the steps of a window\. Pass k1\.$"):
        cutter(None).windows(X)
    with pytest.raises(TypeError, match=r"^TruncatedBPTT: others\[0\] must be a torch\.Tensor"):
        cutter().windows(X, 3)  # type: ignore[arg-type]
