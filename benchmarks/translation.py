"""Translators beside the encoder-decoder that one would write in plain PyTorch: training, and writing.

`python benchmarks/translation.py` prints the newest results as tables.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

import table
from plain_translation import PlainTranslator, Shape, tensors, trained
from recur.data.texts.pair_batches import PairBatch, PairBatches
from recur.decode import Constraints, DecodingOptions, decode
from recur.measure.layers import threads
from recur.measure.timing import compared, in_turns, seconds
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_options import TranslatorOptions
from recur.models.texts.translator_steps import TranslatorSteps
from recur.run import FORMAT, RunFolder
from recur.token_ids import UNKNOWN, Ragged
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import EndlessBatches, Judged
from recur.train.loop import run_job
from recur.train.options import PairTrainingOptions
from series_step import stamped

WARM = 2
"""Steps at the beginning of each block that are not counted."""

_FIRST_WORD, _WORDS = 2, 60
"""Ids of the words that are drawn; how many of the vocabulary these are changes no time."""

_ALL = 10**9
_LIMIT, _WIDTH = 40, 5
"""Tokens of an answer at most, and beams."""


@dataclass(frozen=True)
class Work:
    """Pairs of texts of lengths drawn evenly, and the network that reads them."""

    name: str
    batch_size: int
    shortest: int
    longest: int
    shape: Shape
    is_mixed: bool = False
    """Whether lengths are mixed in a batch, and not about the same."""

    @property
    def options(self) -> TranslatorOptions:
        """Of recur's network."""
        shape = self.shape
        return TranslatorOptions(
            hidden_size=shape.hidden_size,
            embedding_size=shape.embedding_size,
            num_layers=shape.num_layers,
            input_feeding=shape.input_feeding,
            dropout=shape.dropout,
            embedding_dropout=shape.dropout,
            label_smoothing=shape.label_smoothing,
        )


_SMALL, _LARGE = Shape(vocabulary=_WORDS), Shape(vocabulary=8000)
WORKS = (
    Work("pronunciations", 32, 5, 15, _SMALL),
    Work("pronunciations", 32, 5, 15, replace(_SMALL, num_layers=2)),
    Work("pronunciations", 32, 5, 15, replace(_SMALL, input_feeding=True)),
    Work("sentences", 64, 5, 40, _LARGE),
    Work("long texts", 16, 60, 200, _SMALL),
    Work("sentences, lengths mixed", 64, 5, 40, _LARGE, is_mixed=True),
    Work("sentences", 64, 5, 40, replace(_LARGE, num_layers=2)),
)


class Batches(PairBatches):
    """Batches of pairs, if asked for of mixed lengths, and with sources that all count as long as the longest."""

    is_mixed = is_padded = False

    def _cut(self, order: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        if not self.is_mixed:
            return super()._cut(order)
        return np.split(order, range(self.batch_size, len(order), self.batch_size))

    def _batch(self, items: NDArray[np.int64]) -> PairBatch:
        batch = super()._batch(items)
        return replace(batch, lengths=torch.full_like(batch.lengths, batch.x.shape[1])) if self.is_padded else batch


# --- training ---------------------------------------------------------------------------------------------------------


def step(*, blocks: int, steps: int, works: Sequence[Work] = WORKS) -> Iterator[dict[str, Any]]:
    """Time a training step on one core, everything that happens between two batches counted in.

    For each work beside the plain network with sources packed and padded, and with packed ones and a decoder that goes
    from step to step; of mixed lengths also each of both networks with sources packed beside itself with padded ones.
    """
    with threads(1):
        for work in works:
            checked = verify(work)
            sides = {
                f"{name}, {'packed' if is_packed else 'padded'}": partial(side, work, steps, is_packed)
                for name, side in (("recur", _our_time), ("plain PyTorch", _plain_time))
                for is_packed in (True, False)
            }
            others = ["plain PyTorch, packed", "plain PyTorch, padded"]
            if not work.shape.input_feeding:
                others.append("plain PyTorch, packed, step by step")
                sides[others[-1]] = partial(_plain_time, work, steps, True, is_stepwise=True)
            pairs = [("recur, packed", other) for other in others]
            if work.is_mixed:
                pairs += [(f"{name}, packed", f"{name}, padded") for name in ("recur", "plain PyTorch")]
            else:
                del sides["recur, padded"]
            times: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(blocks):
                for name, time_step in sides.items():
                    times[name].append(time_step())
            counted = list(made(work, steps + WARM))[WARM:]
            tokens = sum(int(batch.lengths.sum() + batch.y_lengths.sum()) for batch in counted) / len(counted)
            for name, other in pairs:
                figures = compared(times[name], times[other], "ms per step")
                yield {
                    "what": f"training step, {work.name}, {_form(work)}: {name}",
                    "work": asdict(work),
                    "checked": checked,
                    "threads": 1,
                    "backend": checked["backend"] if name.startswith("recur") else "torch",
                    "tokens_per_step": tokens,
                    "tokens_per_second": tokens / figures["ours"]["median"] * 1e3,
                    "peer_name": other,
                    **figures,
                }


def _our_time(work: Work, steps: int, is_packed: bool) -> float:
    """Return the time of a step in ms."""
    times = by_recur(work, made(work, steps + WARM, is_packed=is_packed), steps + WARM)
    return (times[-1] - times[WARM]) / (steps - 1) * 1e3


def _plain_time(work: Work, steps: int, is_packed: bool, *, is_stepwise: bool = False) -> float:
    """Return the time of a step in ms."""
    batches = made(work, steps + WARM)
    loop = trained(PlainTranslator(work.shape), batches, is_packed=is_packed, is_stepwise=is_stepwise)
    for _ in range(WARM):
        next(loop)
    return seconds(lambda: [next(loop) for _ in range(steps - 1)]) / (steps - 1) * 1e3


def made(work: Work, num: int, *, is_packed: bool = True) -> PairBatches:
    """Return so many batches, the same each time; padded ones have sources that count as long as the longest."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(work.shortest, work.longest + 1, work.batch_size * num)
    sources = [draw.integers(_FIRST_WORD, _WORDS, length).tolist() for length in lengths]
    targets = [[told(word) for word in source] for source in sources]
    found = Batches(Ragged.of(sources), Ragged.of(targets), batch_size=work.batch_size, max_tokens=_ALL, seed=0)
    found.is_mixed, found.is_padded = work.is_mixed, not is_packed
    return found


def told(word: int) -> int:
    """Return what a word becomes."""
    return word * 7 % (_WORDS - _FIRST_WORD) + _FIRST_WORD


def verify(work: Work) -> dict[str, Any]:
    """Check that both networks lose the same and have the same gradient, and return which back end ran."""
    shape = replace(work.shape, dropout=0.0)
    work = replace(work, shape=shape)
    ours, plain = both(work)
    batch = next(iter(made(work, 2)))
    found, expected = ours.loss(batch), plain.loss(*tensors(batch))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(plain.loss(*tensors(batch), is_stepwise=True), expected, rtol=1e-5, atol=1e-6)
    found.backward()
    expected.backward()
    wanted = dict(plain.named_parameters())
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[plain.called(name)].grad, rtol=1e-3, atol=1e-6, msg=name)
    (layer, *_) = ours.explain(*batch.x.shape)
    return {"loss": float(expected.detach()), "gradients": "equal to 1e-3", "backend": layer["backend"]}


def both(work: Work) -> tuple[TranslatorNetwork, PlainTranslator]:
    """Return both networks with the same weights."""
    torch.manual_seed(0)
    ours = TranslatorNetwork(work.options, work.shape.vocabulary, work.shape.vocabulary)
    plain = PlainTranslator(work.shape)
    plain.take(ours.state_dict())
    return ours, plain


def by_recur(work: Work, batches: PairBatches, steps: int) -> list[float]:
    """Train by the loop of `recur train`, and return the times in seconds at which batches were asked for."""
    times: list[float] = []
    training = PairTrainingOptions(
        max_steps=steps,
        batch_size=work.batch_size,
        learning_rate=1e-3,
        warmup_steps=0,
        final_learning_rate=1.0,
        clip_norm=1.0,
        validate_every=10**9,
        no_report=True,
    )
    run = RunFolder.create(Path(tempfile.mkdtemp()) / "run")
    run.write_json("config.json", {"format": FORMAT, "task": "translate", "training": asdict(training)})
    size = work.shape.vocabulary
    job = ExamplesJob(
        run=run,
        training=training,
        build=lambda: TranslatorNetwork(work.options, size, size),
        batches=batches,
        judge=lambda network: Judged(loss=0.0),
        judge_best=lambda display: None,
        unit="pairs",
    )
    with stamped(times):
        run_job(job, Display(Console(quiet=True)), resume=False)
    return times[:steps]


# --- writing ----------------------------------------------------------------------------------------------------------


def decoding(*, blocks: int, num: int = 64, num_alone: int = 16, steps: int = 350) -> Iterator[dict[str, Any]]:
    """Time how texts are written on one core, greedily and with five beams, alone and many at once.

    The network has learnt to replace words, so that answers end and are as long as their sources. A greedy search is
    also the peer of one with five beams.
    """
    draw = np.random.default_rng(1)
    sources = [draw.integers(_FIRST_WORD, _WORDS, length).tolist() for length in draw.integers(5, 16, num)]
    with threads(1):
        small = Work("words to words", 32, 4, 12, replace(_SMALL, dropout=0.0))
        weights = _learnt(small, steps)
        for size in (_SMALL.vocabulary, _LARGE.vocabulary):
            work = replace(small, shape=replace(small.shape, vocabulary=size))
            ours, plain = both(work)
            ours.load_state_dict({name: _of_size(size, name, value) for name, value in weights.items()})
            plain.take(ours.state_dict())
            ours.eval()
            plain.eval()
            for chosen, batch_size in ((sources[:num_alone], 1), (sources, num)):
                batches = list(PairBatches(Ragged.of(chosen), batch_size=batch_size, max_tokens=_ALL))
                writers = {
                    (name, width): _writer(network, batches, width)
                    for name, network in (("recur", ours), ("plain PyTorch", plain))
                    for width in (1, _WIDTH)
                }
                answers = {key: write() for key, write in writers.items()}
                for width in (1, _WIDTH):
                    found, wanted = answers["recur", width], answers["plain PyTorch", width]
                    same = sum(found[number] == wanted[number] for number in found) / len(found)
                    # Beams that are nested do not push out what plain ones do, and may find better.
                    if same < (1.0 if width == 1 else 0.9):
                        yield {"what": f"writing, {_written(work, batch_size, width)}", "disagrees": f"{same:.0%}"}
                        continue
                    for other in [("plain PyTorch", width)] + ([("recur", 1)] if width > 1 else []):
                        yield _row(work, batch_size, width, other, writers, same, len(chosen), blocks)


def _of_size(size: int, name: str, value: Tensor) -> Tensor:
    """Return a weight for a larger vocabulary, of which nothing is said that the smaller one does not have."""
    if name not in ("embedding.weight", "source_embedding.weight", "output.weight", "output.bias"):
        return value
    grown = value.new_full((size, *value.shape[1:]), -30.0 if name == "output.bias" else 0.0)
    grown[: len(value)] = value
    return grown


def _row(
    work: Work,
    batch_size: int,
    width: int,
    other: tuple[str, int],
    writers: dict[tuple[str, int], Callable[[], Any]],
    same: float,
    num: int,
    blocks: int,
) -> dict[str, Any]:
    def timed(key: tuple[str, int]) -> float:
        return seconds(writers[key]) / num * 1e3

    figures = compared(*in_turns(lambda: timed(("recur", width)), lambda: timed(other), repeats=blocks), "ms a text")
    return {
        "what": f"writing, {_written(work, batch_size, width)}",
        "work": asdict(work),
        "batch_size": batch_size,
        "beams": width,
        "checked": f"{same:.0%} of the answers are the same",
        "threads": 1,
        "backend": "cpu",
        "texts_per_second": 1e3 / figures["ours"]["median"],
        "peer_name": f"{other[0]}, {_search(other[1])}",
        **figures,
    }


def _learnt(work: Work, steps: int) -> dict[str, Tensor]:
    """Return the weights of a network that can replace words."""
    network, _ = both(work)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for batch in islice(EndlessBatches(made(work, 32), 0), steps):
        loss = network.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.state_dict()


def _writer(
    network: TranslatorNetwork | PlainTranslator, batches: Sequence[PairBatch], width: int
) -> Callable[[], dict[int, list[int]]]:
    """Return what writes from all batches, and tells the tokens by the number of the text."""
    options = DecodingOptions(beams=width, max_length=_LIMIT)
    if width > 1:
        # Until nothing that is open can pass what ended, which is proven alike by both.
        options = replace(options, length_penalty="mean", patience=math.inf)

    def by_recur() -> dict[int, list[int]]:
        found = {}
        assert isinstance(network, TranslatorNetwork)
        with torch.no_grad():
            steps = TranslatorSteps(network)
            for batch in batches:
                state = steps.begin(batch.x, batch.lengths)
                start = torch.zeros(len(batch.x), dtype=torch.int64)
                answers = decode(
                    steps,
                    state,
                    start,
                    end=0,
                    options=options,
                    # As translators do it that never saw one.
                    constraints=Constraints(forbidden=[UNKNOWN]),
                    source_lengths=batch.lengths,
                )
                found |= {
                    number: list(best.tokens) for number, (best,) in zip(batch.index.tolist(), answers, strict=True)
                }
        return found

    def by_plain() -> dict[int, list[int]]:
        found = {}
        assert isinstance(network, PlainTranslator)
        for batch in batches:
            x: Tensor = batch.x.t().contiguous()
            if width == 1:
                answers = network.greedy(x, batch.lengths, _LIMIT)
            else:
                answers = network.beams(x, batch.lengths, _LIMIT, width)
            found |= dict(zip(batch.index.tolist(), answers, strict=True))
        return found

    return by_recur if isinstance(network, TranslatorNetwork) else by_plain


# --- tables -----------------------------------------------------------------------------------------------------------


def _form(work: Work) -> str:
    shape = work.shape
    layers = f"{shape.num_layers} layer{'s' if shape.num_layers > 1 else ''}"
    return f"{layers}, V {shape.vocabulary}{', input feeding' if shape.input_feeding else ''}"


def _search(width: int) -> str:
    return "greedy" if width == 1 else f"{width} beams"


def _written(work: Work, batch_size: int, width: int) -> str:
    return f"V {work.shape.vocabulary}, {batch_size} at once, {_search(width)}"


def markdown(name: str) -> str:
    """Return the table of the newest result of a benchmark: "translation_step" or "translation_decoding"."""
    path = table.newest(name)
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    is_training = name == "translation_step"
    unit, of = ("tokens", "tokens_per_second") if is_training else ("texts", "texts_per_second")
    lines = [f"| | {unit} a second | beside | times as fast |", "| --- " * 4 + "|"]
    for row in rows:
        if "ratio" not in row:
            continue
        faster = {key: 1 / row["ratio"][key] for key in ("median", "lower", "upper")}
        ratio = f"{faster['median']:.2f} ({faster['upper']:.2f} to {faster['lower']:.2f})"
        what = row["what"].partition(", ")[2]
        lines.append(f"| {what} | {row[of]:,.0f} | {row['peer_name']} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown("translation_step"), markdown("translation_decoding"), sep="\n\n")
