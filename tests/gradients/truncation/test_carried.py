"""What is saved of a run by windows, and how it goes on from there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT, Window, WindowLengths
from recur.nn.nest import mapped

DOUBLE = torch.float64


@pytest.mark.parametrize("k2", [3, 5, 8])
@pytest.mark.parametrize("stopped_at", [0, 3, 9, 15])
def test_a_saved_run_goes_on_bit_for_bit(k2: int, stopped_at: int, kinds: Any, tmp_path: Any, problem: Any) -> None:
    drawn = problem(kinds["LSTM"], 21, is_ragged=True)

    def made(seed: int) -> TruncatedBPTT:
        generator = torch.Generator().manual_seed(seed)
        return TruncatedBPTT(drawn.model, k1=3, k2=k2, drop_state=0.4, generator=generator)

    def outputs(bptt: TruncatedBPTT, begin: int, end: int) -> list[Tensor]:
        found = []
        for t in range(begin, end, 3):
            output = bptt(drawn.x[t : t + 3], **drawn.at(t, t + 3))
            gradients = torch.autograd.grad((output * drawn.upstream[t : t + 3]).sum(), list(drawn.leaves.values()),
                                            allow_unused=True)  # fmt: skip
            found += [output, *(g for g in gradients if g is not None)]
        return found

    whole = made(5)
    outputs(whole, 0, stopped_at)
    path = tmp_path / "saved.pt"
    torch.save(whole.state_dict(), path)
    rest = outputs(whole, stopped_at, 21)
    assert path.stat().st_size < 30_000, "views of all of x are not saved with it"
    other = made(6)
    outputs(other, 0, 6)
    other.load_state_dict(torch.load(path, weights_only=True))
    again = outputs(other, stopped_at, 21)
    assert len(again) == len(rest)
    assert all(torch.equal(a, b) for a, b in zip(again, rest, strict=True))


class Feed:
    """An iterable; of a list Lightning would take each element for a loader."""

    def __init__(self, windows: list[Window]) -> None:
        self._windows = windows

    def __iter__(self) -> Iterator[Window]:
        return iter(self._windows)


class Forecaster(LightningModule):
    """A module of a user's own, as the documentation tells to write it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.output = recur_nn.GRU(3, 5, batch_first=True), nn.Linear(5, 1)
        self.bptt = TruncatedBPTT(self.layer, k1=4, k2=10, batch_first=True, drop_state=0.3)
        self.losses: list[float] = []

    def training_step(self, window: Window, number: int) -> Tensor:
        if window.is_first:
            self.bptt.forget()
        y = self.output(self.bptt(window.x, lengths=window.lengths))
        loss = self.bptt.loss((y[..., 0] - window.others[0]).square(), lengths=window.lengths)
        self.losses.append(float(loss.detach()))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["bptt"] = self.bptt.state_dict() | {"random": torch.get_rng_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        torch.set_rng_state(checkpoint["bptt"].pop("random"))
        self.bptt.load_state_dict(checkpoint["bptt"])

    def on_train_start(self) -> None:
        self.bptt.to(self.device)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_in_a_lightning_module_that_is_stopped_and_resumed(tmp_path: Path) -> None:
    x, target = torch.randn(3, 30, 3), torch.randn(3, 30)
    windows = list(TruncatedBPTT(nn.Identity(), k1=4, batch_first=True).windows(x, target, lengths=[30, 9, 22]))

    def fit(module: Forecaster, windows: list[Window], path: Path | None = None) -> Trainer:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=-1,
            max_steps=8,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, Feed(windows), ckpt_path=path, weights_only=True)
        return trainer

    class Stopping(Forecaster):
        def on_train_batch_end(self, *_: Any) -> None:
            self.trainer.should_stop = self.global_step == 5

    whole, first, second = Forecaster(), Stopping(), Forecaster()
    torch.manual_seed(1)
    fit(whole, windows)
    torch.manual_seed(1)
    fit(first, windows).save_checkpoint(tmp_path / "stopped.ckpt")
    fit(second, windows[5:], tmp_path / "stopped.ckpt")
    assert whole.losses == first.losses + second.losses
    assert len(first.losses) == 5
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_named_tuples_are_restored_by_an_example(tmp_path: Any, nested: Any) -> None:
    model, x = nested, torch.randn(8, 2, 3, dtype=DOUBLE)
    bptt = TruncatedBPTT(model, k1=2, k2=3)
    for t in (0, 2, 4):
        bptt(x[t : t + 2])
    torch.save(bptt.state_dict(), tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    other = TruncatedBPTT(model, k1=2, k2=3)
    wanted = r"\{pair: Pair\(slow: \*, fast: \*\), rest: \[\*, \(\*, \*\)\]\}"
    for like, got in ((None, "not given"), ((1, 2), r"\(\*, \*\)")):
        message = (
            rf"^TruncatedBPTT: the saved state is {wanted}, but like is {got}\. Pass like=, a state of the model\.$"
        )
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(saved, like=like)
    other.load_state_dict(saved, like=model(x, None)[1])
    assert torch.equal(other(x[6:])[0], bptt(x[6:])[0])


def test_what_was_saved_does_not_change_afterwards() -> None:
    bptt = TruncatedBPTT(recur_nn.GRU(3, 4), k1=2, k2=3)
    x = torch.randn(2, 1, 3)
    bptt(x)
    saved = bptt.state_dict()
    before = mapped(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, saved)
    x.zero_()
    bptt.carried.zero_()
    bptt(torch.randn(2, 1, 3))
    assert torch.equal(saved["pieces"][0]["x"], before["pieces"][0]["x"])
    assert torch.equal(saved["snapshots"][-1]["state"], before["snapshots"][-1]["state"])


def test_what_is_carried_moves_to_a_device() -> None:
    bptt = TruncatedBPTT(recur_nn.LSTM(3, 4), k1=2, k2=3)
    bptt(torch.randn(2, 1, 3), lengths=[1])
    bptt.to("meta")
    assert {part.device.type for part in bptt.carried} == {"meta"}
    piece = bptt.state_dict()["pieces"][0]
    assert (piece["x"].device.type, piece["lengths"].device.type) == ("meta", "meta")


def changed(name: str, place: int, **values: Any) -> Any:
    """A saved state with other values in one of its snapshots or pieces; None takes one out."""

    def change(saved: dict[str, Any]) -> dict[str, Any]:
        entries = list(saved[name])
        entries[place] = entries[place] | values
        entries[place] = {key: value for key, value in entries[place].items() if value is not Ellipsis}
        return saved | {name: entries}

    return change


DAMAGED = "the saved state is damaged: its {} cannot be right. Begin anew, by forget()."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: 3, "the saved state is damaged; expected a dictionary of k1, window_lengths, k2, "),
        (lambda saved: saved.pop("end") and saved, "the saved state is damaged; expected a dictionary of k1, "),
        (lambda saved: saved | {"k1": 4}, "the saved state is of k1=4, but here it is 3."),
        (lambda saved: saved | {"k2": 9}, "the saved state is of k2=9, but here it is 5."),
        (lambda saved: saved | {"batch_first": True}, "the saved state is of batch_first=True, but here it is False."),
        (
            lambda saved: saved | {"generator": torch.get_rng_state()},
            "the saved state has one generator, but here is none. Pass the same.",
        ),
        (lambda saved: saved | {"end": "3"}, DAMAGED.format("end")),
        (lambda saved: saved | {"end": 5}, DAMAGED.format("pieces")),
        (lambda saved: saved | {"rows": None}, DAMAGED.format("rows")),
        (lambda saved: saved | {"rows": 3}, DAMAGED.format("pieces")),
        (lambda saved: saved | {"snapshots": None}, DAMAGED.format("snapshots")),
        (lambda saved: saved | {"snapshots": []}, DAMAGED.format("snapshots")),
        (changed("snapshots", 0, state=Ellipsis), DAMAGED.format("snapshots")),
        (changed("snapshots", 0, at=7), DAMAGED.format("snapshots")),
        (changed("snapshots", 0, structure=3), DAMAGED.format("snapshots")),
        (lambda saved: saved | {"pieces": []}, DAMAGED.format("pieces")),
        (changed("pieces", 0, x=Ellipsis), DAMAGED.format("pieces")),
        (changed("pieces", 0, x=[1.0]), DAMAGED.format("pieces")),
        (changed("pieces", 0, begin=1), DAMAGED.format("pieces")),
        (changed("pieces", 0, time=1), DAMAGED.format("pieces")),
        (changed("pieces", 0, reset=torch.zeros(2, 2)), DAMAGED.format("pieces")),
        (changed("pieces", 0, lengths=[1, 2]), DAMAGED.format("pieces")),
    ],
)
def test_bad_saved_states(change: Any, message: str) -> None:
    bptt = TruncatedBPTT(recur_nn.GRU(4, 4), k1=3, k2=5)
    bptt(torch.zeros(3, 2, 4))
    before = bptt.carried
    with pytest.raises(ValueError, match=f"^{re.escape('TruncatedBPTT: ' + message)}"):
        bptt.load_state_dict(change(bptt.state_dict()))
    assert bptt.carried is before


def test_the_law_of_the_lengths_is_saved_too() -> None:
    layer = recur_nn.GRU(4, 4)
    saved = TruncatedBPTT(layer, k1=WindowLengths(10, deviation=1)).state_dict()
    law = "{'typical': 10, 'deviation': 1, 'half_probability': 0.05, 'least': None, 'most': None}"
    message = f"TruncatedBPTT: the saved state is of window_lengths={law}, but here it is None."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TruncatedBPTT(layer, k1=10).load_state_dict(saved)
    with pytest.raises(ValueError, match=r"the saved state is of window_lengths="):
        TruncatedBPTT(layer, k1=WindowLengths(10, deviation=2)).load_state_dict(saved)
    TruncatedBPTT(layer, k1=WindowLengths(10, deviation=1)).load_state_dict(saved)


def test_a_damaged_generator_and_a_damaged_state(nested: Any) -> None:
    bptt = TruncatedBPTT(recur_nn.GRU(4, 4), k1=3, generator=torch.Generator())
    with pytest.raises(ValueError, match=r"^TruncatedBPTT: the saved state is damaged: its generator cannot be right"):
        bptt.load_state_dict(bptt.state_dict() | {"generator": torch.zeros(3, dtype=torch.uint8)})
    bptt = TruncatedBPTT(nested, k1=2)
    bptt(torch.randn(2, 2, 3, dtype=DOUBLE))
    saved = bptt.state_dict()
    saved["snapshots"][0]["state"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"^TruncatedBPTT: the saved state is damaged: it should be \{pair: Pair"):
        bptt.load_state_dict(saved, like=bptt.carried)
