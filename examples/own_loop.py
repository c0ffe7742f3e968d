"""Truncated back-propagation through time by hand: a recur.nn layer in a plain PyTorch loop.

A counter of period three must be continued; the state is carried, detached, from window to window.
"""

import torch
from torch import nn
from torch.nn import functional

import recur.nn

torch.manual_seed(0)
stream = torch.arange(601) % 3
x_TB, y_TB = stream[:-1].view(600, 1), stream[1:].view(600, 1)

embedding, layer, output = nn.Embedding(3, 8), recur.nn.GRU(8, 16), nn.Linear(16, 3)
modules = nn.ModuleList([embedding, layer, output])
optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-2)

state = None
for start in range(0, 600, 20):
    h_TBH, state = layer(embedding(x_TB[start : start + 20]), state)
    loss = functional.cross_entropy(output(h_TBH).flatten(0, 1), y_TB[start : start + 20].flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
    optimizer.step()
    state = state.detach()

print(f"loss of the last window: {loss.item():.3f} nats (chance: 1.099)")
print(layer.explain(embedding(x_TB[:20])))
