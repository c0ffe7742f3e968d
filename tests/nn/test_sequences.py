"""The forms in which sequences come and go, beyond what every law asks: padding on the left, ragged lists, packs."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from recur.nn import GRU, LSTM, left_to_right_padding, right_to_left_padding


def test_padding_changes_sides():
    left = torch.tensor([[0, 0, 5], [1, 2, 3], [0, 0, 0]])
    right = torch.tensor([[5, 0, 0], [1, 2, 3], [0, 0, 0]])
    for lengths in ([1, 3, 0], torch.tensor([1, 3, 0], dtype=torch.int32)):
        assert torch.equal(left_to_right_padding(left, lengths, batch_first=True), right)
        assert torch.equal(right_to_left_padding(right, lengths, batch_first=True), left)
        assert torch.equal(left_to_right_padding(left.T, lengths), right.T)


@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences_padded_on_the_left_run_as_if_alone(compare, batch_first):
    layer = LSTM(3, 5, bidirectional=True, batch_first=batch_first, dtype=torch.float64)
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 6, 4)]
    padded = torch.stack([torch.cat([torch.full((6 - len(row), 3), 9.0).double(), row]) for row in rows])
    padded = (padded if batch_first else padded.transpose(0, 1)).requires_grad_()
    x = left_to_right_padding(padded, [2, 6, 4], batch_first=batch_first)
    output, _ = layer(x, lengths=[2, 6, 4])
    output = right_to_left_padding(output, [2, 6, 4], batch_first=batch_first)
    for number, row in enumerate(rows):
        mine = output[number] if batch_first else output[:, number]
        alone, _ = layer(row)
        compare({"row": mine[6 - len(row) :]}, {"row": alone})
        assert bool((mine[: 6 - len(row)] == 0).all())
    output.sum().backward()
    assert bool((padded.grad == 0).all(-1).sum() == 6)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_list_goes_in_and_out_with_rows_that_are_empty(compare, batch_first):
    layer = GRU(3, 5, batch_first=batch_first, dtype=torch.float64)
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 0, 4)]
    h = torch.randn(1, 3, 5, dtype=torch.float64)
    for given in (rows, tuple(rows)):
        output, final = layer(given, h)
        assert [tuple(row.shape) for row in output] == [(2, 5), (0, 5), (4, 5)]
        assert torch.equal(final[:, 1], h[:, 1])
        for number in (0, 2):
            compare({"row": output[number]}, {"row": layer(rows[number], h[:, number])[0]})


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("form", [list, pack_sequence])
def test_resets_and_records_lie_as_the_layer_says_whatever_x_came_as(compare, form, batch_first):
    """A square one in the wrong order would be taken without a word."""
    layer = GRU(3, 5, batch_first=batch_first, dtype=torch.float64)
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (3, 3, 2)]
    reset = torch.tensor([[False, True, False], [False, False, True], [False, False, False]])
    _, final, steps = layer(form(rows), reset=reset if batch_first else reset.T, return_all=True)
    h = steps[0].values["h"]
    for number, row in enumerate(rows):
        alone = layer(row, reset=reset[number, : len(row)])
        compare({"final": final[:, number]}, {"final": alone[1]})
        mine = h[number] if batch_first else h[:, number]
        compare({"h": mine[: len(row)]}, {"h": alone[0]})


def test_two_directions_apart_are_two_packs():
    layer = GRU(3, 5, bidirectional=True, merge=None)
    (forward, backward), _ = layer(pack_sequence([torch.randn(4, 3), torch.randn(2, 3)]))
    assert isinstance(forward, PackedSequence)
    assert isinstance(backward, PackedSequence)
    assert pad_packed_sequence(backward)[0].shape == (4, 2, 5)


def test_lengths_may_lie_anywhere_and_have_any_whole_dtype(compare, flat):
    layer, x = GRU(3, 5, dtype=torch.float64), torch.randn(6, 2, 3, dtype=torch.float64)
    want = flat(layer(x, lengths=[4, 6]))
    unsigned = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
    for dtype in (*unsigned, torch.int8, torch.int16, torch.int32, torch.int64):
        compare(flat(layer(x, lengths=torch.tensor([4, 6], dtype=dtype))), want)
    compare(flat(layer(x, lengths=torch.tensor([4, 6]).numpy())), want)


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packs_are_read_as_torch_reads_them(enforce_sorted):
    torch.manual_seed(0)
    rows = [torch.randn(n, 3, requires_grad=True) for n in ((5, 4, 4, 1) if enforce_sorted else (4, 1, 5, 4))]
    packed = pack_sequence(rows, enforce_sorted)
    padded, lengths = pad_packed_sequence(packed)
    layer = GRU(3, 4, 2, skip="residual")
    found, state = layer(packed)
    expected, expected_state = layer(padded, lengths=lengths)
    torch.testing.assert_close(pad_packed_sequence(found)[0], expected)
    torch.testing.assert_close(state, expected_state)
    assert found[1:] == packed[1:]
    torch.testing.assert_close(
        torch.autograd.grad(found.data.square().sum(), rows, retain_graph=True),
        torch.autograd.grad(expected.square().sum(), rows),
    )


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"data": torch.zeros(5, 3)}, "has 5 rows, but its batch_sizes come to 6"),
        ({"batch_sizes": torch.tensor([1, 2, 2, 1])}, r"that never grow, but are \[1, 2, 2, 1\]"),
        ({"batch_sizes": torch.tensor([4, 3, -1])}, "that never grow"),
        ({"batch_sizes": torch.tensor([2.0, 2.0, 1.0, 1.0])}, "must be whole numbers"),
        ({"batch_sizes": torch.tensor([], dtype=torch.int64)}, "that never grow"),
        ({"sorted_indices": torch.tensor([0, 0])}, "must be the numbers from 0 to 1"),
        ({"sorted_indices": torch.tensor([0])}, "must be the numbers from 0 to 1"),
    ],
)
def test_a_pack_that_contradicts_itself(changes, match):
    packed = pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    with pytest.raises(ValueError, match=match):
        GRU(3, 4)(packed._replace(**changes))
