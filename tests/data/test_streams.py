from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.streams import HeldOutStreams, TokenStreams
from recur.errors import DataError, OptionError, RunError

sizes = {"num_tokens": st.integers(2, 60), "window": st.integers(1, 12)}


def rows(batches, name: str) -> list[list[int]]:
    """Join each row of the batches over time."""
    return torch.cat([getattr(batch, name) for batch in batches], dim=1).tolist()


# --- training -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(**sizes, batch_size=st.integers(1, 9))
def test_the_rows_are_contiguous_streams_and_targets_the_next_tokens(num_tokens, window, batch_size):
    ids = np.arange(num_tokens, dtype=np.uint16)
    length = (num_tokens - 1) // batch_size
    if length == 0:
        with pytest.raises(DataError, match="too few"):
            TokenStreams(ids, batch_size=batch_size, window=window)
        return
    streams = TokenStreams(ids, batch_size=batch_size, window=window)
    batches = list(streams)
    assert len(batches) == len(streams)
    expected = np.arange(batch_size * length).reshape(batch_size, length)
    assert rows(batches, "x") == expected.tolist()
    assert rows(batches, "target") == (expected + 1).tolist()
    assert all(batch.x.shape[1] == window for batch in batches[:-1])
    for batch in batches:
        assert batch.x.dtype == batch.target.dtype == batch.lengths.dtype == batch.index.dtype == torch.int64
        assert batch.lengths.tolist() == [batch.x.shape[1]] * batch_size
        assert batch.weight.dtype == torch.float32
        assert torch.equal(batch.weight, torch.ones_like(batch.x, dtype=torch.float32))
        assert batch.index.tolist() == list(range(batch_size))
        assert batch.reset is None


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_the_ranks_together_read_what_one_process_does(world_size):
    ids = np.arange(100, dtype=np.uint8)
    starts = np.array([0, 7, 40, 41, 90])
    alone = list(TokenStreams(ids, batch_size=6, window=5, document_starts=starts))
    shared = [
        list(TokenStreams(ids, batch_size=6, window=5, document_starts=starts, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for number, batch in enumerate(alone):
        for name in ("x", "target", "lengths", "weight", "index", "reset"):
            together = torch.cat([getattr(batches[number], name) for batches in shared])
            assert torch.equal(together, getattr(batch, name)), name


@settings(deadline=None)
@given(**sizes, batch_size=st.integers(1, 5), data=st.data())
def test_reset_is_where_documents_start(num_tokens, window, batch_size, data):
    ids = np.arange(max(num_tokens, batch_size + 1), dtype=np.uint8)
    starts = sorted({0, *data.draw(st.lists(st.integers(0, len(ids) - 1), max_size=8))})
    streams = TokenStreams(ids, batch_size=batch_size, window=window, document_starts=np.array(starts, dtype=np.int64))
    for batch in streams:
        assert batch.reset.dtype == torch.bool
        # The ids are positions.
        assert batch.reset.tolist() == [[token in starts for token in row] for row in batch.x.tolist()]


@pytest.mark.parametrize("stopped_after", [0, 1, 3, 6, 7])
def test_a_saved_position_is_gone_on_from_once(stopped_after):
    def made() -> TokenStreams:
        return TokenStreams(np.arange(50, dtype=np.uint8), batch_size=2, window=4)

    epoch = rows(made(), "x")
    first = made()
    assert len(first) == 6
    windows = iter(first)
    seen = [next(windows, None) for _ in range(stopped_after)]
    assert (seen[-1:] == [None]) == (stopped_after == 7)
    state = first.state_dict()

    second = made()
    second.load_state_dict(state)
    assert second.state_dict() == state
    rest = rows(second, "x")
    # Stopped at the very end, the next epoch begins.
    skipped = 4 * (stopped_after if stopped_after < 6 else 0)
    assert rest == [row[skipped:] for row in epoch]
    assert second.state_dict()["position"] == 0
    assert rows(second, "x") == epoch


def halves_and_more(num_steps: int, epoch: int) -> list[int]:
    """Three windows, the first longer with each epoch."""
    return [epoch + 1, num_steps // 2, num_steps - num_steps // 2 - epoch - 1]


@pytest.mark.parametrize("stopped_after", [0, 2, 3, 4, 8])
def test_windows_of_other_lengths_in_each_epoch(stopped_after):
    ids, starts = np.arange(50, dtype=np.uint8), np.array([0, 7, 30])

    def made() -> TokenStreams:
        return TokenStreams(ids, batch_size=2, window=halves_and_more, document_starts=starts)

    whole = made()
    assert len(whole) == 3
    epochs = [list(whole) for _ in range(3)]
    for epoch, batches in enumerate(epochs):
        assert [batch.x.shape[1] for batch in batches] == halves_and_more(24, epoch)
        assert rows(batches, "x") == np.arange(48).reshape(2, 24).tolist()
        assert rows(batches, "target") == (np.arange(48) + 1).reshape(2, 24).tolist()
        assert rows(batches, "reset") == np.isin(np.arange(48), starts).reshape(2, 24).tolist()
        assert [batch.lengths.tolist() for batch in batches] == [[n, n] for n in halves_and_more(24, epoch)]
        assert all(batch.weight.shape == batch.x.shape for batch in batches)
    first = made()
    windows = itertools.chain.from_iterable(itertools.repeat(first))
    seen = list(itertools.islice(windows, stopped_after))
    second = made()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    rest = itertools.islice(itertools.chain.from_iterable(itertools.repeat(second)), 9 - stopped_after)
    expected = [batch.x.tolist() for batches in epochs for batch in batches]
    assert [batch.x.tolist() for batch in [*seen, *rest]] == expected


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (lambda n, epoch: [n, *[0] * epoch], "1 lengths above 0 .* but returned 2 of together 24"),
        (lambda n, epoch: [n - epoch], "1 lengths above 0 .* but returned 1 of together 23"),
        (
            lambda n, epoch: [n - 1 + epoch, 1 - epoch],
            "2 lengths above 0 .* but returned 2 of together 24",
        ),
    ],
)
def test_windows_that_do_not_fill_an_epoch_are_refused(window, message):
    streams = TokenStreams(np.arange(50), batch_size=2, window=window)
    list(streams)
    with pytest.raises(ValueError, match=rf"^TokenStreams: window must return {message}"):
        list(streams)


def test_the_position_of_another_text_or_window_is_refused():
    streams = TokenStreams(np.arange(50, dtype=np.uint8), batch_size=2, window=4)
    state = streams.state_dict()
    other = TokenStreams(np.arange(50, dtype=np.uint8), batch_size=2, window=5)
    with pytest.raises(
        RunError, match=r"is of 6 windows of 2 streams, but here are 5 windows of 2; resume with the same"
    ):
        other.load_state_dict(state)
    for position in (-1, 7, "3", None):
        with pytest.raises(RunError, match="the saved position in the text is damaged"):
            streams.load_state_dict({**state, "position": position})
    for epoch in (-1, 1.0, None):
        with pytest.raises(RunError, match="the saved epoch is damaged"):
            streams.load_state_dict({**state, "epoch": epoch})


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"batch_size": 0}, r"^batch_size: expected a number from 1 on, got 0\.$"),
        ({"window": 0}, r"^window: expected a number from 1 on, got 0\.$"),
        ({"rank": 2, "world_size": 2}, r"^rank: expected 0 to 1, got 2\.$"),
        ({"world_size": 3}, r"^batch_size: 4 streams cannot be shared equally by 3 processes; give a multiple of 3\.$"),
    ],
)
def test_numbers_out_of_range_are_refused(given_options, message):
    with pytest.raises(OptionError, match=message):
        TokenStreams(np.arange(50), **{"batch_size": 4, "window": 4, **given_options})


def test_too_few_tokens_for_the_streams():
    with pytest.raises(DataError, match=r"has 4 tokens, too few for 4 streams; give batch_size=3 or less, or a longer"):
        TokenStreams(np.arange(4), batch_size=4, window=1)


def test_mapped_ids_are_read_without_being_changed(tmp_path):
    np.arange(100, dtype=np.uint8).tofile(tmp_path / "ids")
    ids = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    batch = next(iter(TokenStreams(ids, batch_size=3, window=4)))
    batch.x.zero_()
    assert ids[:4].tolist() == [0, 1, 2, 3]


# --- judging --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(**sizes, streams=st.integers(1, 9), burn_in=st.integers(0, 20))
def test_every_target_counts_exactly_once(num_tokens, window, streams, burn_in):
    ids = np.arange(num_tokens, dtype=np.uint16)
    held_out = HeldOutStreams(ids, streams=streams, window=window, burn_in=burn_in)
    batches = list(held_out)
    assert len(batches) == len(held_out)
    scored: Counter[int] = Counter()
    before: dict[int, int] = {}
    for batch in batches:
        assert batch.index.tolist() == list(range(min(streams, num_tokens - 1)))
        for row, (length, x, target, weight) in enumerate(
            zip(batch.lengths.tolist(), batch.x.tolist(), batch.target.tolist(), batch.weight.tolist(), strict=True)
        ):
            # Padding lies on the right, is zero, and does not count.
            assert x[length:] == target[length:] == weight[length:] == [0] * (len(x) - length)
            for token, following, counts in zip(x[:length], target[:length], weight[:length], strict=True):
                # Each row reads on without a gap.
                assert token == before.get(row, token - 1) + 1
                assert following == token + 1
                before[row] = token
                assert counts in (0, 1)
                scored[following] += int(counts)
    assert scored == Counter(range(1, num_tokens)), "each target from 1 to N - 1 once"


@settings(deadline=None)
@given(**sizes, streams=st.integers(1, 9), burn_in=st.integers(0, 20))
def test_before_its_part_each_stream_reads_as_much_as_asked(num_tokens, window, streams, burn_in):
    held_out = HeldOutStreams(np.arange(num_tokens), streams=streams, window=window, burn_in=burn_in)
    x, weight = np.array(rows(held_out, "x")), np.array(rows(held_out, "weight"))
    for row in range(len(x)):
        first_scored = int(np.flatnonzero(weight[row])[0])
        assert first_scored == min(burn_in, x[row, first_scored])


def test_one_stream_is_the_text_in_order():
    batches = list(HeldOutStreams(np.arange(10), streams=1, window=4, burn_in=100))
    assert rows(batches, "x") == [list(range(9))]
    assert rows(batches, "weight") == [[1.0] * 9]
    assert [batch.lengths.tolist() for batch in batches] == [[4], [4], [1]]


@settings(deadline=None)
@given(**sizes, streams=st.integers(1, 5), burn_in=st.integers(0, 9), data=st.data())
def test_reset_is_where_documents_start_when_judging(num_tokens, window, streams, burn_in, data):
    starts = sorted({0, *data.draw(st.lists(st.integers(0, num_tokens - 1), max_size=8))})
    held_out = HeldOutStreams(
        np.arange(num_tokens),
        streams=streams,
        window=window,
        burn_in=burn_in,
        document_starts=np.array(starts, dtype=np.int64),
    )
    for batch in held_out:
        for reset, x, length in zip(batch.reset.tolist(), batch.x.tolist(), batch.lengths.tolist(), strict=True):
            assert reset == [token in starts for token in x[:length]] + [False] * (len(x) - length)


def test_without_documents_nothing_is_reset():
    assert next(iter(HeldOutStreams(np.arange(9), streams=2, window=3, burn_in=1))).reset is None


@pytest.mark.parametrize(
    ("given_options", "error", "message"),
    [
        ({"streams": 0}, OptionError, r"^streams: expected a number from 1 on, got 0\.$"),
        ({"window": 0}, OptionError, r"^window: expected a number from 1 on, got 0\.$"),
        ({"burn_in": -1}, OptionError, r"^burn_in: expected a number of tokens from 0 on, got -1\.$"),
        ({"ids": np.arange(1)}, DataError, r"has 1 token, too few to judge on; at least 2 are needed\.$"),
    ],
)
def test_what_cannot_be_judged_is_refused(given_options, error, message):
    options = {"ids": np.arange(9), "streams": 2, "window": 3, "burn_in": 1, **given_options}
    with pytest.raises(error, match=message):
        HeldOutStreams(options.pop("ids"), **options)
