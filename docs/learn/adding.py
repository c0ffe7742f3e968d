"""The adding problem at 1,000 steps: a plain network fails, its probe tells why, and the advice is followed."""

from textwrap import fill
from typing import Any

import torch
from torch import Tensor, nn

from drawing import GREY, canvas, save
from recur.gradients import Training, clip_gradients, diagnose, probe
from recur.nn import GRU, RNN

STEPS, UNITS = 1000, 32


# --8<-- [start:task]
def adding(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return numbers and marks, (T, B, 2), and the sum of those marked, (B,)."""
    numbers = torch.rand(STEPS, rows, generator=generator)
    marks = torch.zeros(STEPS, rows)
    for half in (0, STEPS // 2):  # one mark in each half
        place = torch.randint(STEPS // 2, (rows,), generator=generator)
        marks[half + place, torch.arange(rows)] = 1
    return torch.stack([numbers, marks], 2), (numbers * marks).sum(0)


# --8<-- [end:task]


# --8<-- [start:model]
class Model(nn.Module):
    """A recurrent layer and an output: x (T, B, 2) to y (T, B, 1)."""

    batch_first = False

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.output = layer, nn.Linear(UNITS, 1)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return an answer at each step, the last one counts, and the state."""
        h, state = self.layer(x, state)
        return self.output(h), state


# --8<-- [end:model]


# --8<-- [start:training]
def error_of(model: Model, x: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of the last answer."""
    output, _ = model(x)
    return (output[-1, :, 0] - target).square().mean()


def train(model: Model, num_updates: int = 600) -> list[float]:
    """Train, and return the error of each batch before its update."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    errors = []
    for _ in range(num_updates):
        error = error_of(model, *adding(16, generator))
        optimizer.zero_grad()
        error.backward()
        clip_gradients(model.parameters(), max_norm=1.0)
        optimizer.step()
        errors.append(error.item())
    return errors


# --8<-- [end:training]

# --8<-- [start:trial]
held_out = adding(1000, torch.Generator().manual_seed(1))
constant = (held_out[1] - 1).square().mean().item()
print(f"answering 1 always: mean squared error {constant:.3f}")


def trial(name: str, layer: nn.Module) -> tuple[list[float], Any]:
    """Probe a network, say what is wrong, train it, judge it on unseen ones."""
    model = Model(layer)
    found = probe(model, held_out)
    length = found.reach.memory_length()
    print(f"{name}: memory length {'all steps' if length is None else length}")
    for finding in diagnose(found, Training(lag=STEPS)):
        print(fill(f"- {finding}", width=80, subsequent_indent="  "))
    errors = train(model)
    with torch.no_grad():
        error = error_of(model, *held_out).item()
    print(f"{name} after {len(errors)} updates: mean squared error {error:.4f}")
    return errors, found


torch.manual_seed(0)
trials = {"RNN": trial("RNN", RNN(2, UNITS))}
# --8<-- [end:trial]

# --8<-- [start:cure]
layer = GRU(2, UNITS, init="chrono", chrono_steps=STEPS)
trials["GRU, chrono"] = trial("GRU, chrono", layer)
# --8<-- [end:cure]

figure, (upper, lower) = canvas(5, rows=2)
for name, (errors, found) in trials.items():
    lags, norms = found.reach.by_lag()
    upper.plot(lags, norms / norms[0], label=name)
    smooth = torch.tensor(errors).unfold(0, 20, 1).mean(1)
    lower.plot(range(20, len(errors) + 1), smooth, label=name)
upper.set(yscale="log", ylim=(1e-12, 3), xlabel="lag in steps, before training", ylabel="norm of dE_t/dh_s")
lower.axhline(1 / 6, color=GREY, linestyle="--", linewidth=1)
lower.set(yscale="log", xlabel="update", ylabel="mean squared error, 20 updates")
lower.legend()
save(figure, "adding")
