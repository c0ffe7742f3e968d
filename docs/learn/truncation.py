"""Truncated back-propagation through time: what is cut, how much of the gradient that is, and what it costs."""

from typing import Any

import torch
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

import diagrams
from drawing import canvas, save
from recur.gradients import TruncatedBPTT, WindowLengths, probe
from recur.nn import LSTM, RNN

torch.set_default_dtype(torch.float64)


# --8<-- [start:task]
class Model(nn.Module):
    """A recurrent layer and an output: x (T, B, 1) to y (T, B, 1)."""

    batch_first = False

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.output = layer, nn.Linear(layer.hidden_size, 1)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return outputs and final state."""
        h, state = self.layer(x, state)
        return self.output(h), state


def echo(steps: int, lag: int, generator: torch.Generator) -> list[Tensor]:
    """Return noise, and what it was `lag` steps before, (T, B, 1) each."""
    x = torch.randn(steps, 16, 1, generator=generator)
    return [x, torch.cat([torch.zeros(lag, 16, 1), x[:-lag]])]


# --8<-- [end:task]

# --8<-- [start:removed]
x, target = echo(256, 20, torch.Generator().manual_seed(0))
layers = {
    "RNN": lambda: RNN(1, 32),
    "LSTM": lambda: LSTM(1, 32),
    "LSTM, chrono": lambda: LSTM(1, 32, init="chrono", chrono_steps=128),
}
REACHES = (8, 16, 32, 64, 128, 256)
# All rows; of what a probe tells, nothing else is wanted here.
only = {"rows": 16, "targets": [255], "sources": [0], "exponents": 0, "lags": ()}
removed = {}
print("share removed, k2:" + "".join(f"{k2:8}" for k2 in REACHES))
for name, make in layers.items():
    torch.manual_seed(0)
    model = Model(make())
    found = [probe(model, (x, target), truncation=(8, k2), **only) for k2 in REACHES]
    removed[name] = [each.truncated for each in found]
    print(f"{name:18}" + "".join(f"{share:8.1%}" for share in removed[name]))
# --8<-- [end:removed]

# --8<-- [start:training]
for k2 in (5, 10, 15, 20):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    learner = Model(RNN(1, 32, init="orthogonal"))
    optimizer = torch.optim.Adam(learner.parameters(), 0.005)
    bptt = TruncatedBPTT(learner, k1=5, k2=k2)
    for window in bptt.windows(*echo(2500, 10, generator)):
        loss = bptt.loss((bptt(window.x) - window.others[0]).square().squeeze(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen, answers = echo(200, 10, generator)
    error = (learner(unseen)[0] - answers)[10:].square().mean().item()
    print(f"trained with k2 = {k2:2}: mean squared error {error:.2f}")
# --8<-- [end:training]

# --8<-- [start:carried]
whole, _ = model(x)
bptt = TruncatedBPTT(model, k1=16)
carried = torch.cat([bptt(window.x) for window in bptt.windows(x)])
afresh = torch.cat([model(window.x)[0] for window in bptt.windows(x)])
for name, output in (("carried", carried), ("dropped", afresh)):
    share = (output - whole).norm() / whole.norm()
    print(f"state {name}: outputs differ from the whole by {share.item():.1%}")
# --8<-- [end:carried]

# --8<-- [start:sums]
print("norm, k1:     256      64       8")
for reduction in ("sum", "mean"):
    norms = []
    for k1 in (256, 64, 8):
        bptt = TruncatedBPTT(model, k1=k1, k2=256, reduction=reduction)
        model.zero_grad()
        for window in bptt.windows(x, target):
            losses = (bptt(window.x) - window.others[0]).square().squeeze(2)
            bptt.loss(losses).backward()  # adds to what is there
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        norms.append(gradient.norm())
    print(f"{reduction:9}" + "".join(f"{norm:8.2f}" for norm in norms))
# --8<-- [end:sums]

# --8<-- [start:lengths]
lengths = WindowLengths(70)
print("windows:", lengths.partition(500, torch.Generator().manual_seed(0)))
print("again:  ", lengths.partition(500, torch.Generator().manual_seed(1)))
# --8<-- [end:lengths]


diagrams.cut("cut")
figure, axes = canvas(2.8)
for name, shares in removed.items():
    axes.plot(REACHES, shares, "o-", label=name, markersize=4)
axes.set(xscale="log", xlabel="k2, steps that the gradient goes back", ylabel="share of the gradient removed")
axes.set_xticks(REACHES, [str(k2) for k2 in REACHES])
axes.minorticks_off()
axes.yaxis.set_major_formatter(PercentFormatter(1))
axes.legend()
save(figure, "removed")
