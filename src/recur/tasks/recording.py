"""What a network does while it reads: every state and gate of every step, and what it says will come next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recur.errors import RunError
from recur.models.language import LayerState, State
from recur.tasks.trained_language import TrainedLanguageModel

Floats = NDArray[np.float32]

_WINDOW = 256
"""Symbols that are run at once."""

_MOST_LOGITS = 1 << 24
"""Logits computed at once, so that a large vocabulary takes smaller windows and not more memory."""

_LISTED = 8
"""Next symbols whose probabilities are kept."""


@dataclass(frozen=True, kw_only=True)
class LayerRecording:
    """What one layer does at each of N steps.

    Attributes:
        name: Its name in the network.
        kind: Its class.
        cell: Its cell in lower case.
        input_size: Features that it reads.
        hidden_size: Its units.
        states: Names of the parts of its state, h first.
        gates: Names of its gates, in the order in which the weights have them.
        weights: Shapes of its weights.
        parts: Each of `states` and `gates` after each step, (N, H) float32.
    """

    name: str
    kind: str
    cell: str
    input_size: int
    hidden_size: int
    states: tuple[str, ...]
    gates: tuple[str, ...]
    weights: Mapping[str, tuple[int, ...]]
    parts: Mapping[str, Floats]

    @classmethod
    def of(
        cls, name: str, layer: nn.Module, num_states: int, windows: Sequence[Mapping[str, Tensor]], **sizes: int
    ) -> LayerRecording:
        """Return the recording of `layer` made of consecutive windows of its records, (T, H) each.

        Args:
            name: The layer's name in the network.
            layer: The layer.
            num_states: How many of the records, which come first, are parts of the state.
            windows: What each window recorded, by name.
            sizes: `input_size` and `hidden_size`.
        """
        names = tuple(windows[0])
        kind = type(layer).__name__
        return cls(
            name=name,
            kind=kind,
            cell=kind.lower(),
            states=names[:num_states],
            gates=names[num_states:],
            weights={key: tuple(value.shape) for key, value in layer.named_parameters()},
            parts={
                part: torch.cat([window[part] for window in windows]).to("cpu", torch.float32).numpy() for part in names
            },
            **sizes,
        )

    def quantised(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Return each part as int8 (N, H), and its scale: the value is q / 127 times that."""
        scales = {part: float(np.abs(values).max()) or 1.0 for part, values in self.parts.items()}
        return {
            part: torch.from_numpy(np.rint(values * (127 / scales[part])).astype(np.int8))
            for part, values in self.parts.items()
        }, scales

    def trajectory(self) -> tuple[Floats, list[float]]:
        """Return h in its two principal components, (N, 2), and the share of its variance that each explains.

        The sign of a component is such that its largest loading is positive. Where h has less than two directions, what
        is missing is zero.
        """
        values = torch.from_numpy(self.parts[self.states[0]]).double()
        h = values - values.mean(0)
        variances, directions = torch.linalg.eigh(h.T @ h)
        points, explained = torch.zeros(len(h), 2, dtype=torch.float64), [0.0, 0.0]
        total = float(h.square().sum())
        for component in range(min(2, len(variances)) if total > 0 else 0):
            direction = directions[:, -1 - component]
            direction = direction * direction[direction.abs().argmax()].sign()
            points[:, component] = h @ direction
            explained[component] = max(float(variances[-1 - component]), 0.0) / total
        return points.float().numpy(), explained


@dataclass(frozen=True, kw_only=True)
class TextRecording:
    """What a language model does while it reads N symbols.

    Attributes:
        layers: Each layer.
        nats: -ln of each symbol's probability given all before it, (N,) float64; the first has its frequency.
        next_ids: The K most probable next symbols after each symbol, best first, (N, K) int32.
        next_probs: Their probabilities, (N, K) float32.
        first_embedding: Embeddings of the first S symbols, (S, E) float32.
        first_logits: Logits after each of them, (S, V) float32.
    """

    layers: tuple[LayerRecording, ...]
    nats: NDArray[np.float64]
    next_ids: Tensor
    next_probs: Tensor
    first_embedding: Tensor
    first_logits: Tensor

    def state_after(self, steps: Sequence[int], device: torch.device) -> State:
        """Return the state after each of B steps as `LanguageModel.run_layers` takes it; of step -1 it is zero."""
        places, states = np.maximum(steps, 0), []
        is_before = torch.tensor([step < 0 for step in steps], device=device).unsqueeze(1)
        for layer in self.layers:
            parts = [
                torch.from_numpy(layer.parts[name][places]).to(device).masked_fill(is_before, 0.0).unsqueeze(0)
                for name in layer.states
            ]
            states.append(parts[0] if len(parts) == 1 else (parts[0], parts[1]))
        return tuple(states)


@torch.inference_mode()
def record_text(
    trained: TrainedLanguageModel,
    ids: NDArray[np.int64],
    document_starts: NDArray[np.int64] | None = None,
    *,
    num_first: int = 4,
) -> TextRecording:
    """Return what a trained language model does while it reads `ids`, the state carried all through.

    Args:
        trained: The model.
        ids: Token ids, (N,), N at least 1.
        document_starts: Where the state starts anew, (D,), or None.
        num_first: Symbols at the beginning of which embeddings and logits are kept.

    Raises:
        RunError: What the model says is not finite.
    """
    model, device = trained.model, trained.device
    x = torch.from_numpy(ids).to(device)
    reset = None
    if document_starts is not None:
        reset = torch.zeros(len(ids), 1, dtype=torch.bool, device=device)
        reset[torch.from_numpy(document_starts).to(device)] = True
    size = max(min(_WINDOW, _MOST_LOGITS // model.vocabulary_size), num_first)
    count = min(_LISTED, model.vocabulary_size)
    state: State | None = None
    windows: list[tuple[Mapping[str, Tensor], ...]] = []
    nats, best, first = [torch.tensor([trained.first_token_nats(int(ids[0]))])], [], None
    for start in range(0, len(ids), size):
        own = x[start : start + size].unsqueeze(1)
        embedded = model.embedding(own)
        resets = None if reset is None else reset[start : start + size]
        hidden, state, steps = model.run_layers(embedded, state, reset=resets, return_all=True)
        logits = model.output(hidden).squeeze(1).float()
        log_probs = torch.log_softmax(logits, dim=1)
        targets = x[start + 1 : start + size + 1]
        nats.append(functional.nll_loss(log_probs[: len(targets)], targets, reduction="none").cpu())
        best.append([found.cpu() for found in log_probs.topk(count)])
        windows.append(tuple({name: value.squeeze(1).cpu() for name, value in step.values.items()} for step in steps))
        if first is None:
            first = embedded[:num_first, 0].float().cpu(), logits[:num_first].cpu()
    assert first is not None
    assert state is not None
    found = torch.cat(nats)
    if not bool(torch.isfinite(found).all()) or not bool(torch.isfinite(torch.cat([one[0] for one in best])).all()):
        raise RunError("the model's predictions are not finite, for its weights are too large; train it anew.")
    return TextRecording(
        layers=tuple(
            _layer_recording(number, layer, last, [window[number] for window in windows])
            for number, (layer, last) in enumerate(zip(model.layers, state, strict=True))
        ),
        nats=found.double().numpy(),
        next_ids=torch.cat([one[1] for one in best]).int(),
        next_probs=torch.cat([one[0] for one in best]).exp(),
        first_embedding=first[0],
        first_logits=first[1],
    )


def _layer_recording(
    number: int, layer: Any, state: LayerState, windows: Sequence[Mapping[str, Tensor]]
) -> LayerRecording:
    num_states = 1 if isinstance(state, Tensor) else len(state)
    sizes = {"input_size": layer.input_size, "hidden_size": layer.hidden_size}
    return LayerRecording.of(f"layers.{number}", layer, num_states, windows, **sizes)
