"""Other programs' layers, given the weights and the work of torch's: ONNX Runtime, JAX, and loops in plain torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from recur.measure.layers import Side, Work
from recur.measure.timing import seconds

INSTALL = "pip install --group bench; see benchmarks/README.md"


def missing(*packages: str) -> str | None:
    """Return what has to be installed first, or None."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed ({INSTALL})" if absent else None


def versions() -> dict[str, str | None]:
    """Return the version of each optional peer, None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in ("onnxruntime", "onnx", "jax", "jaxlib", "stanza", "darts", "neuralforecast", "statsmodels"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@dataclass
class ForeignSide(Side):
    """A side that runs a program of its own; `named` makes of what it returns what `results` returns."""

    program: Callable[[], Any] = lambda: None
    named: Callable[[Any], dict[str, Tensor]] = lambda found: {}

    def run(self) -> Any:
        """Run the program."""
        return self.program()

    def results(self) -> dict[str, Tensor]:
        """Return what it computed as named tensors."""
        return self.named(self.program())


# --- ONNX Runtime -----------------------------------------------------------------------------------------------------

# Torch's blocks in the order of ONNX: i o f c, z r h.
_ONNX_ORDER = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}


def onnx_side(work: Work, plain: Side) -> Side:
    """Return the side of ONNX Runtime's own operator, one layer and direction, with torch's number of threads."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights = {name: value.detach() for name, value in plain.weights.items()}

    def ordered(value: Tensor) -> Tensor:
        blocks = value.chunk(len(_ONNX_ORDER[work.kind]))
        return torch.cat([blocks[k] for k in _ONNX_ORDER[work.kind]])

    initializers = {
        "W": ordered(weights["weight_ih_l0"]),
        "R": ordered(weights["weight_hh_l0"]),
        "B": torch.cat([ordered(weights["bias_ih_l0"]), ordered(weights["bias_hh_l0"])]),
    }
    states = ["h", "c"] if work.kind == "lstm" else ["h"]
    # As torch's GRU: the reset gate acts on the product.
    more = {"linear_before_reset": 1} if work.kind == "gru" else {}
    node = helper.make_node(
        work.kind.upper(), ["x", "W", "R", "B"], ["y", *states], hidden_size=work.hidden_size, **more
    )
    shape = [work.steps, work.batch_size, work.input_size]
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", *states)],
        [numpy_helper.from_array(value.unsqueeze(0).numpy(), name) for name, value in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    # The way that costs least beside the work itself.
    binding = session.io_binding()
    binding.bind_cpu_input("x", plain.x.detach().numpy())
    for name in ("y", *states):
        binding.bind_output(name)

    def program() -> Any:
        session.run_with_iobinding(binding)
        return binding

    def named(found: Any) -> dict[str, Tensor]:
        y, *rest = [torch.from_numpy(value) for value in found.copy_outputs_to_cpu()]
        return {"output": y.squeeze(1)} | {f"state {k}": value for k, value in enumerate(rest)}

    return ForeignSide(plain.call, plain.x, program=program, named=named)


# --- JAX --------------------------------------------------------------------------------------------------------------


def jax_side(work: Work, plain: Side) -> Side:
    """Return the side of JAX: one jitted function of forward and backward around a scan, at its better unrolling.

    The products of the input with its weights are taken for all steps at once, before the scan; weights lie as JAX's
    libraries have them, (I, G*H).
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    weights = {name: jnp.asarray(value.detach().t().numpy()) for name, value in plain.weights.items()}
    x, upstream = jnp.asarray(plain.x.detach().numpy()), jnp.asarray(plain.upstream.numpy())

    def step(weights: dict[str, Any], state: Any, a: Any) -> tuple[Any, Any]:
        if work.kind == "lstm":
            h, c = state
            i, f, g, o = jnp.split(a + h @ weights["weight_hh_l0"], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h
        (h,) = state
        if work.kind == "gru":
            a_r, a_z, a_n = jnp.split(a, 3, axis=-1)
            b_r, b_z, b_n = jnp.split(h @ weights["weight_hh_l0"] + weights["bias_hh_l0"], 3, axis=-1)
            z = jax.nn.sigmoid(a_z + b_z)
            h = (1 - z) * jnp.tanh(a_n + jax.nn.sigmoid(a_r + b_r) * b_n) + z * h
        else:
            h = jnp.tanh(a + h @ weights["weight_hh_l0"])
        return (h,), h

    def program(unroll: int) -> Any:
        def layer(weights: dict[str, Any], x: Any) -> Any:
            a = x @ weights["weight_ih_l0"] + weights["bias_ih_l0"]
            if work.kind != "gru":
                a = a + weights["bias_hh_l0"]
            zeros = jnp.zeros((work.batch_size, work.hidden_size), x.dtype)
            first = (zeros, zeros) if work.kind == "lstm" else (zeros,)
            state, outputs = lax.scan(lambda state, a: step(weights, state, a), first, a, unroll=unroll)
            return outputs, state

        @jax.jit
        def train(weights: dict[str, Any], x: Any, upstream: Any) -> Any:
            output, pull, state = jax.vjp(layer, weights, x, has_aux=True)
            return output, state, pull(upstream)

        def run() -> Any:
            return jax.block_until_ready(train(weights, x, upstream))

        run()
        return run

    def named(found: Any) -> dict[str, Tensor]:
        output, state, (dweights, dx) = jax.tree.map(lambda value: torch.tensor(jax.device_get(value)), found)
        return (
            {"output": output}
            | {f"state {k}": part.unsqueeze(0) for k, part in enumerate(state)}
            | {"dx": dx}
            | {f"d{name}": dweights[name].t() for name in plain.weights}
        )

    runs = [program(unroll) for unroll in (1, 4)]
    fastest = min(runs, key=lambda run: min(seconds(run) for _ in range(3)))
    return ForeignSide(plain.call, plain.x, upstream=plain.upstream, program=fastest, named=named)


# --- the LSTM with layer normalisation, written in plain torch --------------------------------------------------------


def _norm_lstm_step(
    a: Tensor, h: Tensor, c: Tensor, weight_hh: Tensor, norm_hh: Tensor, bias_hh: Tensor, norm_c: Tensor, bias_c: Tensor
) -> tuple[Tensor, Tensor]:
    b = layer_norm(linear(h, weight_hh), norm_hh.shape, norm_hh, bias_hh)
    i, f, g, o = (a + b).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(layer_norm(c, norm_c.shape, norm_c, bias_c))
    return h, c


def norm_lstm_side(ours: Side, *, is_compiled: bool) -> Side:
    """Return the side of a layer-norm LSTM as one writes it in plain torch, with the weights of recur's.

    The input's products and their normalisation are taken for all steps at once; the step may be compiled.
    """
    step = torch.compile(_norm_lstm_step, dynamic=False) if is_compiled else _norm_lstm_step
    weights = {name: value.detach().clone().requires_grad_() for name, value in ours.weights.items()}
    w = {name.removesuffix("_l0"): value for name, value in weights.items()}

    def call(x: Tensor) -> tuple[Tensor, Any]:
        gates = layer_norm(linear(x, w["weight_ih"]), w["norm_ih"].shape, w["norm_ih"], w["bias_ih"])
        h = c = x.new_zeros(x.shape[1], w["weight_hh"].shape[1])
        outputs = []
        # Not gates[t]: the backward of an index clears the whole tensor at each step.
        for a in gates.unbind(0):
            h, c = step(a, h, c, w["weight_hh"], w["norm_hh"], w["bias_hh"], w["norm_c"], w["norm_c_bias"])
            outputs.append(h)
        return torch.stack(outputs), (h.unsqueeze(0), c.unsqueeze(0))

    return Side(call, ours.x.detach().clone().requires_grad_(), weights, ours.upstream)
