"""A cliff in the loss of a network of one unit: descent falls off without clipping, and stays on course with it."""

from typing import Any

import torch
from torch import Tensor, nn

from drawing import BLUE, GREY, RED, canvas, save
from recur.gradients import clip_gradients, jacobian_penalty, probe
from recur.nn import RNN

torch.set_default_dtype(torch.float64)


# --8<-- [start:loss]
def loss_of(w: Tensor, b: Tensor) -> Tensor:
    """Return the error of h_50; h_t = sigmoid(w h_{t-1} + b) and h_0 = 0.5."""
    h = torch.full_like(w, 0.5)
    for _ in range(50):
        h = torch.sigmoid(w * h + b)
    return (h - 0.7) ** 2


# --8<-- [end:loss]


# --8<-- [start:descent]
def descent(max_norm: float | None) -> tuple[list[Any], ...]:
    """Return (w, b), the loss and the gradient's norm at each of 100 steps."""
    w, b = nn.Parameter(torch.tensor(5.2)), nn.Parameter(torch.tensor(-1.5))
    optimizer = torch.optim.SGD([w, b], lr=1.0)
    path, losses, norms = [], [], []
    for _ in range(100):
        loss = loss_of(w, b)
        optimizer.zero_grad()
        loss.backward()
        path.append((w.item(), b.item()))
        losses.append(loss.item())
        norms.append(clip_gradients([w, b], max_norm=max_norm).before.item())
        optimizer.step()
    return path, losses, norms


runs = {"no clipping": descent(None), "max_norm=1": descent(1.0)}
for name, (path, losses, norms) in runs.items():
    step = max(range(100), key=norms.__getitem__)
    usual = sorted(norms)[50]
    print(f"{name}: largest gradient {norms[step]:.1f}, median {usual:.2g}")
    for at in (step, step + 1, 99):
        w, b = path[at]
        print(f"  step {at}:  w {w:6.2f}  b {b:6.2f}  loss {losses[at]:.4f}")
# --8<-- [end:descent]

# --8<-- [start:kinds]
for bound in ({"max_norm": 1.0}, {"max_value": 1.0}):
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([30.0, 0.3])
    clip_gradients([weight], **bound)
    print(bound, "(30, 0.3) becomes", weight.grad.numpy().round(2))
# --8<-- [end:kinds]

# --8<-- [start:steps]
STEPS, UNITS = 128, 32
generator = torch.Generator().manual_seed(0)
x = torch.randn(STEPS, 4, 2, generator=generator)
target = torch.randn(STEPS, 4, UNITS, generator=generator)
curves = {}
for bound in (None, 1.0, 0.1):
    torch.manual_seed(0)
    layer = RNN(2, UNITS, init="orthogonal", gradient_clip=bound)
    nn.init.orthogonal_(layer.weight_hh_l0, 2.0)
    lags, norms = probe(layer, (x, target), exponents=0, lags=()).reach.by_lag()
    curves[f"gradient_clip={bound}"] = norms
    far = norms[lags.index(64)]
    print(f"gradient_clip={bound}: lag 1 {norms[1]:.1f}, lag 64 {far:.1f}")
# --8<-- [end:steps]


# --8<-- [start:penalty]
def at_lag_64(layer: nn.Module) -> str:
    """Return the norm of dE_t/dh_s at lag 64, as a share of that at lag 0."""
    lags, norms = probe(layer, (x, target), exponents=0, lags=()).reach.by_lag()
    return f"{(norms[lags.index(64)] / norms[0]).item():.1e}"


for gain in (0.5, 1.0, 2.0):
    torch.manual_seed(0)
    layer = RNN(2, UNITS, init="orthogonal")
    nn.init.orthogonal_(layer.weight_hh_l0, gain)
    before = at_lag_64(layer)
    optimizer = torch.optim.Adam(layer.parameters(), 0.003)
    for _ in range(100):
        optimizer.zero_grad()
        jacobian_penalty(layer, x).backward()
        optimizer.step()
    print(f"gain {gain}: {before}, with the penalty {at_lag_64(layer)}")
# --8<-- [end:penalty]

figure, (upper, lower) = canvas(5.2, rows=2, height_ratios=(3, 2))
w_N, b_N = torch.linspace(3.5, 6.5, 91), torch.linspace(-3.2, -0.8, 91)
surface = loss_of(*torch.meshgrid(w_N, b_N, indexing="xy"))
upper.contourf(w_N, b_N, surface, levels=[0.2, 1], colors=GREY, alpha=0.3)
upper.contour(w_N, b_N, surface, levels=[0.005, 0.02, 0.04, 0.06, 0.08, 0.2, 0.4], colors=GREY, linewidths=0.6)
for (name, (path, losses, _)), color in zip(runs.items(), (RED, BLUE), strict=True):
    upper.plot(*zip(*path, strict=True), "o-", color=color, label=name, markersize=2.5, linewidth=1)
    lower.plot(losses, "o-", color=color, label=name, markersize=2.5, linewidth=1)
upper.set(xlim=(3.5, 6.5), ylim=(-3.2, -0.8), xlabel="w", ylabel="b")
upper.grid(visible=False)
upper.legend()
lower.set(xlabel="step", ylabel="loss", yscale="log")
save(figure, "cliff")

figure, axes = canvas(3)
for name, norms in curves.items():
    axes.plot(lags, norms, label=name)
axes.set(yscale="log", xlabel="lag t - s in steps", ylabel="norm of dE_t/dh_s")
axes.legend()
save(figure, "clipped_steps")
