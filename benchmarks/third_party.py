"""`recur.accelerate` in a model that others wrote: Stanza's character language model (Qi et al. 2020).

It reads packed sequences through `torch.nn.LSTM`. The weights are random; what it computes costs the same with any.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import peers
import recur
from recur import engine
from recur.data.demo import demo_text
from recur.measure.layers import distance, threads
from recur.measure.timing import raced

BUDGET = 8.0
TOLERANCE = 1e-3
ARGUMENTS = {
    "char_emb_dim": 100,
    "char_hidden_dim": 1024,
    "char_num_layers": 1,
    # Without noise both sides compute the same.
    "char_dropout": 0.0,
    "char_unit_dropout": 0.0,
    "char_rec_dropout": 0.0,
}
"""Stanza's own sizes."""


def accelerated(*, hidden_size: int = 1024, sentences: int = 32, steps: int = 100) -> Iterator[dict[str, Any]]:
    """Time a training step, and the representation of words in sentences, before and after `recur.accelerate`.

    Args:
        hidden_size: Units; Stanza has 1024.
        sentences: How many are read at once.
        steps: Characters of a training window.
    """
    what = "Stanza's character language model"
    absent = peers.missing("stanza")
    if absent is not None:
        yield {"what": what, "missing": absent}
        return
    theirs = _model(hidden_size)
    ours = copy.deepcopy(theirs)
    report = recur.accelerate(ours)
    backends = sorted({str(replaced.backend) for replaced in report.replaced})
    words = _words(sentences)
    rows = _characters(theirs, sentences, steps)
    works: list[tuple[str, Callable[[nn.Module], Callable[[], dict[str, Tensor]]]]] = [
        (f"a training step, {sentences} windows of {steps} characters", lambda model: _training(model, rows)),
        (f"words of {sentences} sentences, inference", lambda model: _representation(model, words)),
    ]
    with threads(engine.num_threads()):
        for name, work in works:
            our_work, their_work = work(ours), work(theirs)
            far, tensor = distance(our_work(), their_work())
            row = {
                "what": f"{what}, {hidden_size} units, {name}",
                "replaced": len(report.replaced),
                "left": len(report.left),
                "threads": torch.get_num_threads(),
                "backend": ", ".join(backends),
                "peer_name": "torch",
                "distance": far,
            }
            if not far <= TOLERANCE:
                yield {**row, "disagrees": f"{tensor} is {far:.1e} apart, more than {TOLERANCE:.0e}"}
            else:
                yield {**row, **raced(our_work, their_work, budget=BUDGET)}


def _model(hidden_size: int) -> nn.Module:
    from stanza.models.common.char_model import CharacterLanguageModel, build_charlm_vocab

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(demo_text(), encoding="utf-8")
        vocabulary = build_charlm_vocab(str(path))
    torch.manual_seed(0)
    model: nn.Module = CharacterLanguageModel({**ARGUMENTS, "char_hidden_dim": hidden_size}, {"char": vocabulary})
    return model


def _words(sentences: int) -> list[list[str]]:
    """Return sentences of the demo text, of various lengths."""
    found = [sentence.split() for sentence in demo_text().replace("\n", " ").split(". ")]
    return [words for words in found if words][:sentences]


def _characters(model: Any, rows: int, steps: int) -> Tensor:
    ids = model.char_vocab().map(list(demo_text()[: rows * (steps + 1)]))
    return torch.tensor(ids).view(rows, steps + 1)


def _training(model: Any, rows: Tensor) -> Callable[[], dict[str, Tensor]]:
    """Return forward and backward pass over windows, as Stanza's training has them."""
    lengths = [rows.shape[1] - 1] * len(rows)
    parameters = dict(model.named_parameters())

    def step() -> dict[str, Tensor]:
        model.train()
        model.zero_grad()
        _, _, decoded = model(rows[:, :-1], lengths)
        loss = nn.functional.cross_entropy(decoded.flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        grads = {name: weight.grad for name, weight in parameters.items() if weight.grad is not None}
        return {"loss": loss.detach(), **grads}

    return step


def _representation(model: Any, words: list[list[str]]) -> Callable[[], dict[str, Tensor]]:
    """Return what Stanza's taggers ask of the model."""

    def read() -> dict[str, Tensor]:
        model.eval()
        return {"words": torch.cat(model.build_char_representation(words))}

    return read
