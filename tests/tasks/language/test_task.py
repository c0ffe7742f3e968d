"""The training of a language model: golden losses, what a step carries, and what stops it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional

from recur.data.batch import Batch
from recur.data.streams import TokenStreams
from recur.errors import TrainingError
from recur.gradients import clip_gradients
from recur.gradients.truncation.history import detached
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language.task import LanguageTask

# Lightning 2.6 asks torch's pytrees a question that torch 2.13 wants put in other words; it remarks on our loader too.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
]

VOCABULARY = 11
GOLDEN = Path(__file__).with_name("golden_language.json")


def token_ids(count: int = 1000) -> np.ndarray[Any, Any]:
    """A sequence made by arithmetic alone, so that no library's random numbers matter."""
    numbers = np.arange(count)
    return ((numbers * numbers + numbers // 3) % VOCABULARY).astype(np.uint8)


def model(dtype: torch.dtype = torch.float64, **options: Any) -> LanguageModel:
    torch.manual_seed(0)
    chosen: dict[str, Any] = {"cell": "lstm", "num_layers": 2, "hidden_size": 12, "embedding_size": 12, "dropout": 0.0}
    return LanguageModel(VOCABULARY, LanguageModelOptions(**(chosen | options))).to(dtype)


class Windows:
    """Windows without a length, as training hands them out."""

    def __init__(self, streams: TokenStreams) -> None:
        self._streams = streams

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self._streams


class Watch(Callback):
    """Notes what each step did."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, LanguageTask)
        self.losses.append(pl_module.loss)
        self.norms.append(pl_module.gradient_norm)


def streams_of(batch_size: int = 4, window: int = 16, **options: Any) -> TokenStreams:
    return TokenStreams(token_ids(), batch_size=batch_size, window=window, **options)


def trained(task: LanguageTask, streams: TokenStreams, steps: int, *callbacks: Callback) -> Watch:
    watch = Watch()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[watch, *callbacks],
    )
    trainer.fit(task, train_dataloaders=Windows(streams))
    return watch


# --- golden -----------------------------------------------------------------------------------------------------------

GOLDEN_RUNS: dict[str, dict[str, Any]] = {
    "lstm by norm": {"task": {"max_norm": 1.0}},
    "gru residual by value": {
        "model": {"cell": "gru", "num_layers": 3, "residual": True},
        "task": {"max_norm": None, "max_value": 0.01},
    },
    "rnn tied learned": {"model": {"cell": "rnn", "tied": True, "initial_state": "learned"}, "task": {"max_norm": 0.1}},
}
GOLDEN_STEPS = 20


def golden_run(name: str, dtype: torch.dtype) -> Watch:
    """Train over the end of an epoch: 1000 tokens in 4 streams are 16 windows."""
    options, streams = GOLDEN_RUNS[name], streams_of()
    task = LanguageTask(
        model(dtype, **options.get("model", {})),
        windows_per_epoch=len(streams),
        learning_rate=1e-2,
        weight_decay=0.1,
        **options["task"],
    )
    return trained(task, streams, GOLDEN_STEPS)


# The golden losses were made in float64. In float32 they stray from them by at most 3.5e-7, six roundings of 2^-24,
# which is allowed six times over, as another processor sums in another order. The same growth of the roundings of
# float64 gives 4e-15, and torch's functions differ by some units in the last place between processors.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", GOLDEN_RUNS)
def test_golden_losses(name: str, dtype: torch.dtype) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    watch = golden_run(name, dtype)
    assert len(watch.losses) == GOLDEN_STEPS
    np.testing.assert_allclose(watch.losses, golden["losses"], rtol=0, atol=TOLERANCES[dtype])
    np.testing.assert_allclose(watch.norms, golden["norms"], rtol=0, atol=TOLERANCES[dtype])


def test_the_first_golden_loss_is_that_of_knowing_nothing() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden.keys() == GOLDEN_RUNS.keys()
    for run in golden.values():
        assert run["losses"][0] == pytest.approx(math.log(VOCABULARY), abs=0.1)
        assert run["losses"][-1] < run["losses"][0]


def test_a_step_by_step_loop_in_plain_torch_gives_the_same_losses() -> None:
    streams, network = streams_of(), model()
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}], 1e-2
    )
    losses: list[float] = []
    while len(losses) < GOLDEN_STEPS:
        state = None
        for batch in list(streams)[: GOLDEN_STEPS - len(losses)]:
            logits, state = network(batch.x, None if state is None else detached(state))
            loss = functional.cross_entropy(logits.reshape(-1, VOCABULARY), batch.target.reshape(-1))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
    golden = json.loads(GOLDEN.read_text())["lstm by norm"]["losses"]
    np.testing.assert_allclose(losses, golden, rtol=0, atol=TOLERANCES[torch.float64])


# --- a step -----------------------------------------------------------------------------------------------------------


def flat(state: Any) -> list[Tensor]:
    return [part for layer in state for part in ([layer] if isinstance(layer, Tensor) else layer)]


def test_the_state_is_carried_detached_and_starts_anew_with_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, network = streams_of(batch_size=2, window=200), model()
    assert len(streams) == 3
    task = LanguageTask(network, windows_per_epoch=len(streams), learning_rate=0.0)
    given: list[Any] = []
    returned: list[Any] = []
    forward = network.forward

    def watched(x: Tensor, state: Any = None, **options: Any) -> Any:
        logits, after = forward(x, state, **options)
        given.append(state)
        returned.append(after)
        return logits, after

    monkeypatch.setattr(network, "forward", watched)
    trained(task, streams, 5)
    assert [state is None for state in given] == [True, False, False, True, False]
    for before, after in ((0, 1), (1, 2), (3, 4)):
        for part, own in zip(flat(given[after]), flat(returned[before]), strict=True):
            assert torch.equal(part, own)
            assert not part.requires_grad
    assert task.carried is not None
    assert all(torch.equal(a, b) for a, b in zip(flat(task.carried), flat(returned[-1]), strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_longer_reach_is_that_of_a_loop_in_plain_torch(cell: str) -> None:
    streams, network = streams_of(window=10), model(cell=cell, initial_state="learned")
    task = LanguageTask(network, windows_per_epoch=len(streams), learning_rate=1e-2, window=10, reach=25)
    watch = trained(task, streams, 30)
    ids = torch.from_numpy(token_ids().astype(np.int64))
    x, target = ids[:996].reshape(4, 249), ids[1:997].reshape(4, 249)
    other = model(cell=cell, initial_state="learned")
    optimizer = LanguageTask(other, windows_per_epoch=1, learning_rate=1e-2).configure_optimizers()
    losses: list[float] = []
    seen: dict[int, Any] = {}
    for number in range(30):
        begin = number % 25 * 10
        end = min(begin + 10, 249)
        # The last window of an epoch, of nine steps, reaches back to 224, where no state was kept, but one before 215.
        start = max(end - 25, 0)
        if begin == 240:
            with torch.no_grad():
                seen[start] = other(x[:, 215:start], seen[215])[1]
        state = seen[start] if start else None
        outputs = []
        for t in range(start, end):
            logits, state = other(x[:, t : t + 1], state)
            seen[t + 1] = detached(state)
            outputs.append(logits)
        logits = torch.cat(outputs[-(end - begin) :], 1)
        loss = functional.cross_entropy(logits.flatten(0, 1), target[:, begin:end].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    np.testing.assert_allclose(watch.losses, losses, rtol=0, atol=TOLERANCES[torch.float64])


def test_the_state_of_a_stream_is_dropped_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    network, resets = model(), []
    forward = network.forward

    def watched(x: Tensor, state: Any = None, reset: Tensor | None = None) -> Any:
        resets.append(reset)
        return forward(x, state, reset=reset)

    monkeypatch.setattr(network, "forward", watched)
    streams = streams_of(batch_size=50, window=4)
    trained(LanguageTask(network, windows_per_epoch=len(streams), learning_rate=0.0, drop_state=0.25), streams, 10)
    assert [reset is None for reset in resets] == [True, False, False, False, False] * 2
    dropped = torch.cat([reset for reset in resets if reset is not None and reset.shape[1] == 4]).double()
    assert len(dropped) == 6 * 50
    # 300 draws stray by sqrt(0.25 * 0.75 / 300) = 0.025; five times that.
    assert float(dropped[:, 0].mean()) == pytest.approx(0.25, abs=0.125)
    assert float(dropped[:, 1:].sum()) == 0


def test_documents_reset_the_state() -> None:
    starts = np.array([0, 100, 333])
    streams = streams_of(batch_size=2, window=499, document_starts=starts)
    batch = next(iter(streams))
    task = LanguageTask(model(), windows_per_epoch=1, learning_rate=0.0)
    loss = float(task.training_step(batch, 0).detach())
    plain = float(task.training_step(next(iter(streams_of(batch_size=2, window=499))), 0).detach())
    ids = torch.from_numpy(token_ids().astype(np.int64))
    total = 0.0
    for begin, end in ((0, 100), (100, 333), (333, 499), (499, 998)):
        logits, _ = task.model(ids[None, begin:end])
        total += float(functional.cross_entropy(logits[0], ids[begin + 1 : end + 1], reduction="sum").detach())
    assert loss == pytest.approx(total / 998, abs=1e-12)
    assert abs(loss - plain) > 1e-6


def test_only_matrices_decay() -> None:
    task = LanguageTask(model(initial_state="learned"), windows_per_epoch=1, learning_rate=0.1, weight_decay=0.5)
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decays) == len(list(task.model.parameters()))
    for name, parameter in task.model.named_parameters():
        assert decays[id(parameter)] == (0.5 if parameter.dim() > 1 else 0.0), name


def test_the_norm_is_noted_before_clipping() -> None:
    streams = streams_of()
    free = trained(LanguageTask(model(), windows_per_epoch=16, learning_rate=1e-2, max_norm=None), streams, 1)
    bound = trained(LanguageTask(model(), windows_per_epoch=16, learning_rate=1e-2, max_norm=1e-3), streams, 1)
    assert free.norms == pytest.approx(bound.norms, rel=1e-12)
    assert free.norms[0] > 1e-2


# --- what is not finite -----------------------------------------------------------------------------------------------


BOUNDS = {
    "clip_norm": {"max_norm": 1.0},
    "clip_value": {"max_norm": None, "max_value": 0.5},
    "clip_layer_norm": {"max_norm": None, "max_layer_norm": 0.5},
    "clip_ratio": {"max_norm": None, "max_ratio": 0.02},
}


def spoil(network: LanguageModel, *steps: int, factor: float = torch.inf) -> list[int]:
    """Let the logits of these calls, from 1, be spoilt; return the list in which the calls are counted."""
    forward, calls = network.forward, list[int]()

    def spoilt(x: Tensor, state: Any = None, **options: Any) -> Any:
        logits, after = forward(x, state, **options)
        calls.append(1)
        return (logits * factor if len(calls) in steps else logits), after

    network.forward = spoilt  # type: ignore[method-assign]
    return calls


@pytest.mark.parametrize("option", [*BOUNDS, None])
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_spoilt(option: str | None) -> None:
    network, streams = model(torch.float32), streams_of()
    bounds = BOUNDS.get(option or "", {"max_norm": None})
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=1e-2, skip_nonfinite=0, **bounds)
    before: dict[str, Tensor] = {}

    class Keep(Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            before.update({name: value.clone() for name, value in network.state_dict().items()})

    calls = spoil(network, 4)
    message = (
        r"^step 4: the loss is nan and the gradient's norm nan, not finite; this step was not taken and the last good "
        r"weights are kept\. When it was run again, everything in it was finite\. Try a lower learning_rate than "
        rf"0\.01, a smaller {option or 'clip_norm'}, or a longer warm-up\.$"
    )
    with pytest.raises(TrainingError, match=message):
        trained(task, streams, 10, Keep())
    # The fifth call is the search's.
    assert len(calls) == 5
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert bool(torch.isfinite(value).all())


def test_an_infinite_loss_stops_even_where_the_gradient_is_finite() -> None:
    network, streams = model(torch.float32), streams_of()
    with torch.no_grad():
        # Float32's largest number apart: the loss overflows, softmax and its gradient do not.
        network.output.bias.fill_(-3.4e38)
        network.output.bias[0] = 3.4e38
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=1e-2, skip_nonfinite=0)
    with pytest.raises(
        TrainingError, match=r"^step 1: the loss is (inf|nan) .* What went wrong first: the loss is inf\."
    ):
        trained(task, streams, 3)
    assert bool(torch.isfinite(network.output.bias).all())


def test_a_huge_learning_rate_ends_in_the_advice_with_finite_weights() -> None:
    network, streams = model(torch.float32), streams_of()
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=1e20, max_norm=None)
    with pytest.raises(
        TrainingError,
        match=r"this step and the 3 steps before it were not taken .* a lower learning_rate than 1e\+20, a smaller cl",
    ):
        trained(task, streams, 50)
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


def test_a_step_that_is_left_out_leaves_everything_but_the_carried_state() -> None:
    """Windows 3 and 4 are spoilt: what follows is as if they had never been, from the initial state."""
    streams, network, plain = streams_of(), model(), model()
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=1e-2, weight_decay=0.1, skip_nonfinite=2)
    # The fourth and the sixth call are those of the searches.
    spoil(network, 3, 5)
    watch = trained(task, streams, 7)
    assert [math.isfinite(loss) for loss in watch.losses] == [True, True, False, False, True, True, True]
    assert (task.guard.skipped, task.guard.in_a_row, task.guard.reason) == (2, 0, "")
    decayed = [p for p in plain.parameters() if p.dim() > 1]
    others = [p for p in plain.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}], 1e-2
    )
    state = None
    for step, batch in enumerate(list(streams)[:7]):
        if step in (2, 3):
            state = None
            continue
        logits, state = plain(batch.x, None if state is None else detached(state))
        loss = functional.cross_entropy(logits.reshape(-1, VOCABULARY), batch.target.reshape(-1))
        assert watch.losses[step] == pytest.approx(float(loss.detach()), abs=1e-12)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=0, atol=1e-12)


def test_the_search_tells_where_it_went_wrong_in_a_run_of_the_same_dropout() -> None:
    network, streams = model(torch.float32, dropout=0.5), streams_of()
    with torch.no_grad():
        # Saturated units, so whether this logit overflows depends on which of them are dropped.
        network.get_parameter("layers.1.weight_ih_l0").mul_(1e3)
        network.output.weight[3] = 2e38 * torch.tensor([1.0, -1.0] * 6)
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=1e-2, skip_nonfinite=0)
    with pytest.raises(
        TrainingError, match=r"What went wrong first: output: the output is -?inf at index \(\d+, \d, 3\)"
    ):
        trained(task, streams, 30)
    assert task.guard.found is not None
    assert task.guard.found.module == "output"
    assert not any(module._forward_hooks for module in network.modules())


def test_a_spoilt_weight_is_named() -> None:
    network, streams = model(torch.float32), streams_of()
    with torch.no_grad():
        network.get_parameter("layers.1.weight_hh_l0")[5, 2] = torch.nan
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=1e-2, skip_nonfinite=9)
    with pytest.raises(
        TrainingError,
        match=r"^step 1: .* this step was not taken .* What went wrong first: layers\.1: the parameter weight_hh_l0 is "
        r"NaN at index \(5, 2\)\. Try",
    ):
        trained(task, streams, 3)


def test_the_counts_of_the_guard_are_saved() -> None:
    task = LanguageTask(model(), windows_per_epoch=16, learning_rate=1e-2)
    task.guard.allows(math.nan, 1.0)
    checkpoint: dict[str, Any] = {}
    task.on_save_checkpoint(checkpoint)
    other = LanguageTask(model(), windows_per_epoch=16, learning_rate=1e-2)
    other.on_load_checkpoint(checkpoint)
    assert other.guard.state_dict() == {"in_a_row": 1, "skipped": 1}


# --- clipping and norms -----------------------------------------------------------------------------------------------


def first_gradients(network: LanguageModel) -> dict[str, Tensor]:
    batch = next(iter(streams_of()))
    logits, _ = network(batch.x)
    functional.cross_entropy(logits.reshape(-1, VOCABULARY), batch.target.reshape(-1)).backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    return found


@pytest.mark.parametrize("option", BOUNDS)
@pytest.mark.parametrize("tied", [False, True])
def test_gradients_are_clipped_as_asked(option: str, tied: bool) -> None:
    bounds = {name: None if value is None else value / 50 for name, value in BOUNDS[option].items()}
    network = model(tied=tied)
    raw = first_gradients(network)
    task = LanguageTask(network, windows_per_epoch=16, learning_rate=0.0, **bounds)
    kept: dict[str, Tensor] = {}

    class Look(Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            kept.update({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})

    trained(task, streams_of(), 1, Look())
    other = model(tied=tied)
    for name, parameter in other.named_parameters():
        parameter.grad = raw[name].clone()
    exempt = other.output.parameters() if option == "clip_ratio" else ()
    clipping = clip_gradients(other, **bounds, exempt=exempt)
    assert task.removed == pytest.approx(float(clipping.removed), rel=1e-10)
    assert task.removed > 0.01
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(kept[name], parameter.grad, rtol=1e-12, atol=1e-15)
    if option == "clip_ratio":
        assert not tied or torch.equal(kept["embedding.weight"], raw["embedding.weight"])
        assert torch.equal(kept["output.bias"], raw["output.bias"])
        assert not torch.equal(kept["layers.0.weight_hh_l0"], raw["layers.0.weight_hh_l0"])


def test_norms_by_layer_are_noted_before_clipping_in_every_tenth_step() -> None:
    noted: list[dict[str, float]] = []

    class Look(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
            assert isinstance(pl_module, LanguageTask)
            noted.append(dict(pl_module.layer_norms))

    task = LanguageTask(model(), windows_per_epoch=16, learning_rate=1e-2, max_norm=1e-3)
    watch = trained(task, streams_of(), 20, Look())
    assert [bool(norms) for norms in noted] == [step % 10 == 0 for step in range(1, 21)]
    for step in (9, 19):
        assert list(noted[step]) == ["embedding", "layers.0", "layers.1", "output"]
        assert math.hypot(*noted[step].values()) == pytest.approx(watch.norms[step], rel=1e-10)


# --- penalties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.0), (0.0, 1.5), (2.0, 1.5)])
def test_penalties_are_added_to_what_is_minimised_and_not_to_the_loss(
    alpha: float, beta: float, residual: bool
) -> None:
    network = model(dropout=0.5, residual=residual, cell="gru")
    streams = streams_of(batch_size=2, window=100, document_starts=np.array([0, 30, 77]))
    batch = next(iter(streams))
    task = LanguageTask(
        network, windows_per_epoch=1, learning_rate=0.0, activation_penalty=alpha, temporal_penalty=beta
    )
    torch.manual_seed(5)
    found = task.training_step(batch, 0)
    torch.manual_seed(5)
    assert batch.reset is not None
    h = network.embedding(batch.x.t())
    h = network.embedding_dropout(h)
    for number, layer in enumerate(network.layers):
        out = layer(h, reset=batch.reset.t())[0]
        out = out + h if residual and number else out
        h = network.dropout(out)
    loss = functional.cross_entropy(network.output(h).flatten(0, 1), batch.target.t().flatten())
    follows = ~batch.reset.t()[1:]
    changes = (out[1:] - out[:-1])[follows]
    expected = loss + alpha * h.square().mean() + beta * changes.square().mean()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert task.loss == pytest.approx(float(loss.detach()), rel=1e-12)
    mine, other = (torch.autograd.grad(value, list(network.parameters())) for value in (found, expected))
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert (~follows).sum() == 2


# --- learning ---------------------------------------------------------------------------------------------------------


def test_a_small_model_learns_to_count_which_no_trigram_can(real_run: RunFolder) -> None:
    evaluation = real_run.read_json("evaluation.json")
    ours = evaluation["model"]["nats_per_character"]
    trigram = evaluation["baselines"]["trigram"]["nats_per_character"]
    unigram = evaluation["baselines"]["unigram"]["nats_per_character"]
    # The lengths of the blocks are ln 6 nats a block of nine characters on the mean; all else can be known.
    best = math.log(6) / 9
    assert best - 0.02 < ours < best + 0.08
    assert trigram > ours + 0.15
    assert unigram > trigram
    assert "below a trigram model" in evaluation["verdict"]
