"""A second implementation of every op in NumPy, straight from the papers' equations, against every form and noise.

Sources: Elman (1990); Hochreiter and Schmidhuber (1997), Gers et al. (2000), Gers and Schmidhuber (2000), Greff et al.
(2017), Sak et al. (2014); Cho et al. (2014); Li et al. (2018); Zhou et al. (2016); Ravanelli et al. (2018); Ba et al.
(2016); Krueger et al. (2017); Gal and Ghahramani (2016); Semeniuta et al. (2016).
"""

from itertools import product

import numpy as np
import pytest
import torch

from recur.ops import Noise, Options, recurrence

T, B, H, P = 4, 3, 5, 4


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def norm(a, gain, bias):
    """Layer normalisation over the last axis."""
    centred = a - a.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def part(w, name, block):
    """Rows of the weight that belong to one gate; zero where there is no bias."""
    return w[name][block * H : (block + 1) * H] if name in w else 0.0


def bound(value, limit):
    return value if limit is None else np.minimum(np.maximum(value, -limit), limit)


FUNCTIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.where(a > 0, a, 0.0),
    torch.nn.functional.softsign: lambda a: a / (1 + abs(a)),
}


def projected(c, w, o):
    return bound(c @ w["weight_hr"].T if "weight_hr" in w else c, o.output_clip)


def gate_sums(x, h, w, blocks, together):
    """W x + b and W h + b for each gate, normalised over the gates in each group of `together`."""
    found = []
    for value, side in ((x, "ih"), (h, "hh")):
        sums = {k: value @ part(w, f"weight_{side}", k).T for k in range(blocks)}
        for group in together:
            if f"norm_{side}" in w:
                gain = np.concatenate([part(w, f"norm_{side}", k) for k in group])
                whole = norm(np.concatenate([sums[k] for k in group], -1), gain, 0.0)
                sums |= dict(zip(group, np.split(whole, len(group), -1), strict=True))
        found.append([sums[k] + part(w, f"bias_{side}", k) for k in range(blocks)])
    return found


def lstm(x, state, w, o, seen, candidate):
    h, c = state
    gates = "fgo" if o.coupled else "ifgo"
    a_x, a_h = gate_sums(x, h * seen, w, len(gates), [range(len(gates))])
    a = {gate: a_x[k] + a_h[k] for k, gate in enumerate(gates)}
    eyes = "fo" if o.coupled else "ifo"
    eye = {gate: part(w, "weight_ch", k) if o.peephole else 0.0 for k, gate in enumerate(eyes)}
    f = sigmoid(a["f"] + eye["f"] * c)
    i = 1 - f if o.coupled else sigmoid(a["i"] + eye["i"] * c)
    g = np.tanh(a["g"])
    new = bound(f * c + i * (g * candidate), o.cell_clip)
    out = sigmoid(a["o"] + eye["o"] * new)
    shown = norm(new, w["norm_c"], w.get("norm_c_bias", 0.0)) if o.layer_norm else new
    return (projected(out * np.tanh(shown), w, o), new), {"i": i, "f": f, "g": g, "o": out}


def gru(x, state, w, o, seen, candidate):
    h, c = state[0] * seen, state[-1]
    if o.reset_after:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = gate_sums(x, h, w, 3, [(0, 1), (2,)])
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
    else:
        (x_r, x_z, _), (h_r, h_z, _) = gate_sums(x, h, w, 3, [(0, 1), (2,)])
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        (_, _, x_n), (_, _, h_n) = gate_sums(x, r * h, w, 3, [(0, 1), (2,)])
        n = np.tanh(x_n + h_n)
    new = (1 - z) * (n * candidate) + z * c
    return (projected(new, w, o), new)[: len(state)], {"r": r, "z": z, "n": n}


def rnn(x, state, w, o, seen, candidate):
    wx, wh = x @ w["weight_ih"].T, (state[0] * seen) @ w["weight_hh"].T
    return (projected(FUNCTIONS[o.nonlinearity](_summed(wx + wh, w)), w, o),), {}


def indrnn(x, state, w, o, seen, candidate):
    wx, wh = x @ w["weight_ih"].T, state[0] * seen * w["weight_hh"]
    return (projected(FUNCTIONS[o.nonlinearity](_summed(wx + wh, w)), w, o),), {}


def _summed(a, w):
    b = w.get("bias_ih", 0.0) + w.get("bias_hh", 0.0)
    return norm(a, w["norm"], b) if "norm" in w else a + b


def mgu(x, state, w, o, seen, candidate):
    h = state[0]
    (x_f, _), (h_f, _) = gate_sums(x, h * seen, w, 2, [(0,), (1,)])
    f = sigmoid(x_f + h_f)
    (_, x_n), (_, h_n) = gate_sums(x, f * (h * seen), w, 2, [(0,), (1,)])
    n = np.tanh(x_n + h_n)
    return (projected((1 - f) * h + f * (n * candidate), w, o),), {"f": f, "n": n}


def ligru(x, state, w, o, seen, candidate):
    h, c = state[0] * seen, state[-1]
    (x_z, x_n), (h_z, h_n) = gate_sums(x, h, w, 2, [(0,), (1,)])
    z, n = sigmoid(x_z + h_z), FUNCTIONS[o.nonlinearity](x_n + h_n)
    new = z * c + (1 - z) * (n * candidate)
    return (projected(new, w, o), new)[: len(state)], {"z": z, "n": n}


STEPS = {"rnn": rnn, "gru": gru, "lstm": lstm, "indrnn": indrnn, "mgu": mgu, "ligru": ligru}


def cases():
    """Every op with every form, with and without biases, with each kind of noise."""
    flags, functions = (False, True), list(FUNCTIONS)
    fields = {
        "rnn": {"nonlinearity": functions, "projected": flags},
        "gru": {"reset_after": flags, "projected": flags},
        "lstm": {"coupled": flags, "peephole": flags, "projected": flags, "cell_clip": (None, 0.3)},
        "indrnn": {"nonlinearity": functions},
        "mgu": {},
        "ligru": {"nonlinearity": functions, "projected": flags},
    }
    for kind, own in fields.items():
        every = {**own, "layer_norm": flags, "output_clip": (None, 0.3), "bias": flags}
        noises = (
            ("silent", "state", "zoneout") if kind in ("rnn", "indrnn") else ("silent", "state", "candidate", "all")
        )
        for values in product(*every.values()):
            options = dict(zip(every, values, strict=True))
            if not options.get("reset_after", True) and options["projected"]:
                continue
            for noise in noises:
                bias = options["bias"]
                form = Options(**{n: v for n, v in options.items() if n != "bias"})
                yield kind, form, bias, noise


def name(value):
    if not isinstance(value, Options):
        return None
    fields = zip(value._fields, value, strict=True)
    changed = [f"{n}={getattr(v, '__name__', v)}" for n, v in fields if v != value._field_defaults[n]]
    return ",".join(changed) or "plain"


@pytest.mark.parametrize(("kind", "options", "bias", "noise"), list(cases()), ids=name)
def test_it_is_what_the_papers_say(ops, compare, kind, options, bias, noise):
    op = next(op for op in ops.values() if op.kind == kind)
    op = type(op)(kind, kind, options._replace(projected=False), P if options.projected else 0)
    arguments = {n: 2 * a for n, a in op.arguments(T, B, 2, H, bias=bias).items()}
    sizes = op.cell.state_sizes(H, op.proj)
    draw = torch.randn
    masks = Noise(
        2 * (draw(B, sizes[0]) > 0).double() if noise in ("state", "all") else None,
        2 * (draw(T, B, H) > 0).double() if noise in ("candidate", "all") else None,
        tuple((draw(T, B, size) > 0).double() for size in sizes) if noise in ("zoneout", "all") else (),
    )
    w = {n: a.numpy() for n, a in arguments.items()}
    state = tuple(w.pop(n) for n in op.state_names)
    seen = 1.0 if masks.state is None else masks.state.numpy()
    rows = []
    for t in range(T):
        candidate = 1.0 if masks.candidate is None else masks.candidate[t].numpy()
        new, gates = STEPS[kind](w["x"][t], state, w, options, seen, candidate)
        if masks.zoneout:
            shares = [mask[t].numpy() for mask in masks.zoneout]
            new = tuple(np.where(d == 1, old, now) for d, old, now in zip(shares, state, new, strict=True))
        state = new
        rows.append(dict(zip(op.cell.states, state, strict=True)) | gates)
    weights = {n: a for n, a in arguments.items() if n.startswith(("weight", "bias", "norm"))}
    got = recurrence(
        kind,
        arguments["x"],
        [arguments[n] for n in op.state_names],
        weights,
        options=options,
        noise=masks,
        records=True,
        backend="reference",
    )
    want = {n: torch.from_numpy(np.stack([row[n] for row in rows])) for n in rows[0]}
    compare(dict(got.record), want)
    compare({"output": got.output}, {"output": want["h"]})
    compare(dict(zip(op.cell.states, got.state, strict=True)), {n: want[n][-1] for n in op.cell.states})
