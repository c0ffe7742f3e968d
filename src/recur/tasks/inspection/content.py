"""What was found inside any network, as it stands in the files of an inspection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recur.data.batch import Batch
from recur.gradients import Training, diagnose, probe
from recur.inspection_format import DECODER, INSPECTION
from recur.models.layer_recording import LayerRecording
from recur.run import RunFolder, explained_os_errors, json_text, write_text_atomic
from recur.tasks.inspection.unit_search import Finding, Property, find_units

_PROBED_STEPS = 96
"""Steps over which the gradient is looked at, more where the training's went back further."""

_MOST_PROBED_STEPS = 256
_FEWEST_PROBED_STEPS = 16
_PROBED_ROWS = 4

Stage = Callable[[str], None]
"""Called with what is being done."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found inside a network.

    Attributes:
        content: As it stands in `inspect.json`.
        tensors: As they stand in `inspect.safetensors`.
        decoder: What was found inside the decoder of a translator, whose encoder this is; else None.
    """

    content: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    decoder: Inspection | None = None

    def write(self, folder: RunFolder) -> None:
        """Write `inspect.safetensors` and then `inspect.json`, each atomically; of a decoder too, those of its own.

        Raises:
            RunError: They cannot be written.
            TypeError: `content` holds what JSON does not; what an older inspection left is then still there.
            ValueError: `content` holds a number that is not finite; likewise.
        """
        parts = {INSPECTION: self} | ({} if self.decoder is None else {DECODER: self.decoder})
        texts = {name: json_text(part.content) for name, part in parts.items()}
        # What an older inspection left must not be taken for the words to these tensors.
        for name in (INSPECTION, DECODER):
            path = folder.path / f"{name}.json"
            with explained_os_errors(path):
                path.unlink(missing_ok=True)
        for name, part in parts.items():
            folder.write_tensors(f"{name}.safetensors", part.tensors)
            write_text_atomic(folder.path / f"{name}.json", texts[name])


def probed_places(num_symbols: int, training: Training) -> NDArray[np.int64] | None:
    """Return the places of a few pieces over which the gradient is looked at, (R, T); None where there are too few.

    Each place has one before it, whose state is known, and one after it, to be predicted.
    """
    num_steps = min(max(training.window or 0, _PROBED_STEPS), _MOST_PROBED_STEPS, num_symbols - 2)
    if num_steps < _FEWEST_PROBED_STEPS:
        return None
    begins = np.unique(np.linspace(1, num_symbols - 1 - num_steps, _PROBED_ROWS).astype(np.int64))
    places: NDArray[np.int64] = begins[:, None] + np.arange(num_steps)
    return places


def probe_content(
    model: nn.Module,
    batch: Batch | tuple[Tensor, Tensor],
    state: Any,
    training: Training,
    seed: int,
    loss: Callable[[Any, Any], Tensor] | None = None,
    *,
    batch_first: bool = True,
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return how far the gradient reaches, as `Probe.to_json` gives it, and what is wrong with that, if anything."""
    rows, steps = (0, 1) if batch_first else (1, 0)
    x = batch[0] if isinstance(batch, tuple) else batch.x
    # What truncation takes from the gradient of the parameters is seen only on more steps than it leaves.
    is_trained = any(parameter.requires_grad for parameter in model.parameters())
    is_seen = is_trained and training.window is not None and training.window < x.shape[steps]
    found = probe(
        model,
        batch,
        loss=loss,
        state=state,
        rows=x.shape[rows],
        batch_first=batch_first,
        truncation=training.window if is_seen else None,
        seed=seed,
    )
    return found.to_json(), [asdict(finding) for finding in diagnose(found, training)]


def layers_content(layers: Sequence[LayerRecording]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Return the layers as they stand in `inspect.json`, and their tensors."""
    content: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, layer in enumerate(layers):
        quantised, scales = layer.quantised()
        tensors |= {f"layers.{number}.{part}": values for part, values in quantised.items()}
        points, explained = layer.trajectory()
        tensors |= {
            f"initial.{number}.{state}": torch.from_numpy(start) for state, start in layer.initial_state.items()
        }
        tensors[f"pca.{number}"] = torch.from_numpy(points)
        content.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "cell": layer.cell,
                "options": dict(layer.options),
                "initial": layer.initial,
                "input_size": layer.input_size,
                "hidden_size": layer.hidden_size,
                "states": list(layer.states),
                "gates": list(layer.gates),
                "scales": scales,
                "weights": {name: list(shape) for name, shape in layer.weights.items()},
                "explained": explained,
            }
        )
    return content, tensors


def properties_content(
    layers: Sequence[LayerRecording], properties: Sequence[Property], seed: int
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Return the properties with the units that follow them as in `inspect.json`, and the labels as tensors."""
    parts = {(number, name): values for number, layer in enumerate(layers) for name, values in layer.parts.items()}
    findings = find_units(parts, properties, seed=seed)
    content = [_property(each, finding) for each, finding in zip(properties, findings, strict=True)]
    return content, {f"property.{each.key}": torch.from_numpy(each.values).float() for each in properties}


def _property(each: Property, finding: Finding) -> dict[str, Any]:
    return {
        "key": each.key,
        "name": each.name,
        "kind": each.kind,
        "share": round(float(each.values.mean()), 4) if each.kind == "binary" else None,
        "units": [unit.to_json() for unit in finding.units],
        "chance": None if finding.chance is None else round(finding.chance, 4),
        "note": finding.note,
    }
