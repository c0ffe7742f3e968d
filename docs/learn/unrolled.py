"""What a recurrent network is: one set of weights, used at every step, and a state that is handed on."""

import torch
from torch import nn

import diagrams
from recur.nn import RNN

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)


# --8<-- [start:equation]
layer = RNN(1, 2)  # one input, two units
U, W = layer.weight_ih_l0, layer.weight_hh_l0
b = layer.bias_ih_l0 + layer.bias_hh_l0
x = torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)  # 3 steps, 1 row, 1 input

h = torch.zeros(2)
for t in range(3):
    h = torch.tanh(U @ x[t, 0] + W @ h + b)
    print(f"h_{t + 1}:", h.detach().numpy().round(4))
# --8<-- [end:equation]

# --8<-- [start:whole]
output, h_n = layer(x)
for name, value in (("all steps:", output), ("the last: ", h_n)):
    print(name, tuple(value.shape), value[-1, 0].detach().numpy().round(4))
# --8<-- [end:whole]

# --8<-- [start:pieces]
cell, state = layer.cell(), None
for x_t in x:
    state = cell(x_t, state)
print("step by step:", torch.allclose(state, h_n[0], atol=1e-12))

first, state = layer(x[:2])
second, state = layer(x[2:], state)
joined = torch.cat([first, second])
print("in two parts:", torch.allclose(joined, output, atol=1e-12))
# --8<-- [end:pieces]

# --8<-- [start:shared]
print("weights:", sum(weight.numel() for weight in layer.parameters()))
for steps in (3, 3000):
    found, _ = layer(torch.zeros(steps, 1, 1))
    print(f"{steps} steps: output of shape {tuple(found.shape)}")
# --8<-- [end:shared]

# --8<-- [start:shapes]
V = nn.Linear(2, 1)
print("many to one:          ", tuple(V(output[-1]).shape))
print("many to many, in step:", tuple(V(output).shape))
y, state, written = torch.ones(1, 1), None, []
for _ in range(4):
    state = cell(y, state)
    y = V(state)  # what it says is what it reads next
    written.append(y)
print("one to many:          ", tuple(torch.stack(written).shape))
# --8<-- [end:shapes]

diagrams.unrolled("unrolled")
diagrams.shapes("shapes")
