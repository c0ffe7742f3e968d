"""Why gradients vanish and explode, seen with the probe: in one number, in a matrix, in the layers people use."""

import torch
from matplotlib.colors import LogNorm

from drawing import PALETTE, canvas, save
from recur.gradients import Probe, probe
from recur.nn import GRU, LSTM, RNN

torch.set_default_dtype(torch.float64)
STEPS, UNITS = 128, 32

# --8<-- [start:powers]
print("w           lag 10       lag 50      lag 100")
for w in (0.9, 1.0, 1.1):
    print(f"{w}  " + "".join(f"{w**lag:13,.5f}" for lag in (10, 50, 100)))
# --8<-- [end:powers]

# --8<-- [start:batch]
generator = torch.Generator().manual_seed(0)
x = torch.randn(STEPS, 4, 2, generator=generator)  # noise to read, (T, B, I)
target = torch.randn(STEPS, 4, UNITS, generator=generator)  # and noise to say


def reach(found: Probe) -> dict[int, float]:
    """Return the norm of dE_t/dh_s by lag t - s, as a share of that at lag 0."""
    lags, norms = found.reach.by_lag()
    return dict(zip(lags, (norms / norms[0]).tolist(), strict=True))


# --8<-- [end:batch]

# --8<-- [start:gains]
scaled = {}
print("gain  sigma, 1 step  sigma, 64 steps   lag 64  Lyapunov exponent")
for gain in (0.5, 1.0, 1.5, 2.0):
    torch.manual_seed(0)
    layer = RNN(2, UNITS, init="orthogonal")
    torch.nn.init.orthogonal_(layer.weight_hh_l0, gain)
    found = probe(layer, (x, target))
    scaled[f"gain {gain}"] = reach(found)
    sigma = found.layers[0].singular_values
    exponent = found.layers[0].exponents[0]
    print(f"{gain}  {sigma[1][0]:14.1f}  {sigma[64][0]:15.1e}", end="  ")
    print(f"{reach(found)[64]:7.1e}  {exponent:+17.2f}")
# --8<-- [end:gains]

# --8<-- [start:layers]
identity = {"nonlinearity": "relu", "init": "identity"}
chrono = {"init": "chrono", "chrono_steps": STEPS}
layers = {
    "RNN": lambda: RNN(2, UNITS),
    "RNN, orthogonal": lambda: RNN(2, UNITS, init="orthogonal"),
    "RNN, relu, identity": lambda: RNN(2, UNITS, **identity),
    "GRU": lambda: GRU(2, UNITS),
    "GRU, chrono": lambda: GRU(2, UNITS, **chrono),
    "LSTM": lambda: LSTM(2, UNITS),
    "LSTM, forget_bias=1": lambda: LSTM(2, UNITS, forget_bias=1),
    "LSTM, chrono": lambda: LSTM(2, UNITS, **chrono),
}
probes = {}
print("layer                 lag 10   lag 64  memory length  Lyapunov exponent")
for name, make in layers.items():
    torch.manual_seed(0)
    found = probes[name] = probe(make(), (x, target), lags=())
    length = found.reach.memory_length() or f"over {STEPS - 1}"
    by_lag, exponent = reach(found), found.layers[0].exponents[0]
    print(f"{name:20}{by_lag[10]:8.1e}  {by_lag[64]:7.1e}", end="  ")
    print(f"{length!s:>13}  {exponent:+17.2f}")
# --8<-- [end:layers]


def draw_lines(name: str, lines: dict[str, dict[int, float]], low: float, high: float) -> None:
    """Draw norms by lag on a scale of powers of ten."""
    figure, axes = canvas(3.4)
    for number, (label, by_lag) in enumerate(lines.items()):
        style = {"color": PALETTE[number % len(PALETTE)], "linestyle": "-" if number < len(PALETTE) else "--"}
        axes.plot(list(by_lag), list(by_lag.values()), **style, label=label)
    axes.set(yscale="log", ylim=(low, high), xlabel="lag t - s in steps", ylabel="norm of dE_t/dh_s, lag 0 = 1")
    figure.legend(loc="outside lower center", ncols=3 if len(lines) > 4 else 4, fontsize=8)
    save(figure, name)


draw_lines("gains", scaled, 1e-12, 1e8)
draw_lines("layers", {name: reach(found) for name, found in probes.items()}, 1e-8, 3)

# --8<-- [start:matrix]
steps = range(7, STEPS, 8)
matrices = {}
for name in ("RNN", "LSTM, chrono"):
    torch.manual_seed(0)
    found = probe(layers[name](), (x, target), targets=steps, sources=steps)
    norms = found.reach.norms  # a row for each loss, a column for each state
    matrices[name] = norms / norms.diagonal().mean()
# --8<-- [end:matrix]

figure, grid = canvas(2.9, columns=2, sharey=True)
for axes, (name, matrix) in zip(grid, matrices.items(), strict=True):
    image = axes.pcolormesh(steps, steps, matrix, norm=LogNorm(1e-6, 1), edgecolor="face", linewidth=0.2)
    axes.set(title=name, xlabel="state of step s", aspect="equal")
    axes.grid(visible=False)
grid[0].invert_yaxis()
grid[0].set_ylabel("loss of step t")
figure.colorbar(image, ax=grid, shrink=0.8, extend="min")
save(figure, "matrix")
