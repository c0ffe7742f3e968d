"""Back-propagation through time by hand: three steps of one unit, then of two, and autograd's answer beside it."""

import math

import torch

from drawing import BLUE, GREEN, ORANGE, PURPLE, arrow, blank, canvas, node, save
from recur.gradients import state_jacobian
from recur.nn import RNN

torch.set_default_dtype(torch.float64)

# --8<-- [start:forward]
w, u = 0.8, 0.5
h = [0.5]  # h[0] is the state before the first step
x = [None, 1.0, 0.5, -1.0]  # counted from 1 on, as in the formulas
y = [None, 0.5, 0.5, 0.5]

for t in (1, 2, 3):
    h.append(math.tanh(w * h[t - 1] + u * x[t]))
    print(f"h_{t} = tanh({w} * {h[t - 1]:.4f} + {u} * {x[t]:+.1f})", end=" ")
    print(f"= {h[t]:.4f}  error {h[t] - y[t]:+.4f}")
print(f"E = {sum((h[t] - y[t]) ** 2 / 2 for t in (1, 2, 3)):.4f}")
# --8<-- [end:forward]

# --8<-- [start:backward]
slope = [None] + [1 - h[t] ** 2 for t in (1, 2, 3)]  # of tanh at each step
delta = {3: h[3] - y[3]}  # only the loss of step 3 depends on h_3
for t in (2, 1):
    delta[t] = (h[t] - y[t]) + w * slope[t + 1] * delta[t + 1]

dw = {t: delta[t] * slope[t] * h[t - 1] for t in (3, 2, 1)}
du = {t: delta[t] * slope[t] * x[t] for t in (3, 2, 1)}
for t in (3, 2, 1):
    print(f"step {t}: delta {delta[t]:+.4f}  slope {slope[t]:.4f}", end="  ")
    print(f"for w {dw[t]:+.4f}  for u {du[t]:+.4f}")
print(f"by hand:   dE/dw {sum(dw.values()):+.4f}  dE/du {sum(du.values()):+.4f}")
# --8<-- [end:backward]

# --8<-- [start:autograd]
layer = RNN(1, 1, bias=False)
torch.nn.init.constant_(layer.weight_hh_l0, w)
torch.nn.init.constant_(layer.weight_ih_l0, u)
inputs, target = torch.tensor([x[1:], y[1:]]).view(2, 3, 1, 1)  # (T, B, I) each
output, _ = layer(inputs, torch.tensor(h[0]).view(1, 1, 1))
((output - target) ** 2 / 2).sum().backward()
dW, dU = layer.weight_hh_l0.grad.item(), layer.weight_ih_l0.grad.item()
print(f"autograd:  dE/dw {dW:+.4f}  dE/du {dU:+.4f}")
# --8<-- [end:autograd]

figure, axes = canvas(2.5)
blank(axes, 6.2, -0.4, 2.6)
for t in (3, 2, 1):
    at = 1.9 * t - 0.3
    node(axes, (at, 0), f"$x_{t}$", ORANGE)
    node(axes, (at, 1.1), f"$h_{t}$", BLUE)
    node(axes, (at, 2.2), f"$E_{t}$", GREEN)
    arrow(axes, (at, 0), (at, 1.1), "$u$", aside=(0.15, 0))
    arrow(axes, (at, 2.2), (at, 1.1), f"{h[t] - y[t]:+.4f}", color=PURPLE, aside=(0.46, 0))
    before = at - 1.9 if t > 1 else 0.4
    arrow(axes, (before, 1.18), (at, 1.18), "$w$")
    if t > 1:
        passed = f"{w * slope[t] * delta[t]:+.4f}"
        arrow(axes, (at, 1.02), (before, 1.02), passed, color=PURPLE, aside=(0, -0.18))
axes.text(0.4, 1.18, "$h_0$", ha="center", va="center")
save(figure, "bptt")

# --8<-- [start:paths]
total = 0.0
for t in (1, 2, 3):
    terms, between = [], 1.0  # between is dh_t/dh_k
    for k in range(t, 0, -1):
        terms.append((h[t] - y[t]) * between * slope[k] * h[k - 1])
        between *= w * slope[k]
    total += sum(terms)
    shown = [f"k={t - j} {term:+.4f}" for j, term in enumerate(terms)]
    print(f"dE_{t}/dw:", "  ".join(shown))
print(f"all terms: {total:+.4f}")
# --8<-- [end:paths]

# --8<-- [start:two]
layer = RNN(1, 2, bias=False)
W, U = layer.weight_hh_l0, layer.weight_ih_l0
with torch.no_grad():
    W.copy_(torch.tensor([[0.8, -0.3], [0.4, 0.5]]))
    U.copy_(torch.tensor([[0.5], [1.0]]))
output, _ = layer(inputs)  # h_0 is zero
((output - target) ** 2 / 2).sum().backward()

states = [torch.zeros(2), *output[:, 0].detach()]
delta, dW = torch.zeros(2), torch.zeros(2, 2)
for t in (3, 2, 1):
    delta = delta + (states[t] - y[t])  # from later steps, and this one's loss
    slopes = 1 - states[t] ** 2
    dW += torch.outer(slopes * delta, states[t - 1])
    delta = W.detach().T @ (slopes * delta)  # what goes on to the step before
print("dE/dW by hand: ", dW.numpy().round(4).tolist())
print("dE/dW autograd:", W.grad.numpy().round(4).tolist())
# --8<-- [end:two]

# --8<-- [start:jacobian]
product = torch.eye(2)
for state in states[2:]:
    product = torch.diag(1 - state**2) @ W.detach() @ product
print("dh_3/dh_1 by hand:", product.numpy().round(4).tolist())
probed = state_jacobian(layer, inputs[1:], states[1].view(1, 1, 2))
print("dh_3/dh_1 probed: ", probed[0].numpy().round(4).tolist())
# --8<-- [end:jacobian]
