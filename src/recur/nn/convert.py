"""Weights from and to Keras and Flax, as NumPy arrays; neither library is imported.

Both keep a kernel as (inputs, outputs), the transpose of torch's. Keras orders the gates of a GRU z, r, h, all others
are as torch's. Where the other side has one bias for torch's two, it is bias_ih on the way in, and their sum on the way
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.nn.gated import GatedLayer

Array: TypeAlias = NDArray[Any]
FlaxParams: TypeAlias = dict[str, dict[str, Array]]
"""Arrays by the name of a Dense or Linear and "kernel" or "bias": one cell's parameters."""

FlaxCell: TypeAlias = Literal[
    "linen.SimpleCell",
    "linen.GRUCell",
    "linen.LSTMCell",
    "linen.OptimizedLSTMCell",
    "nnx.SimpleCell",
    "nnx.GRUCell",
    "nnx.LSTMCell",
    "nnx.OptimizedLSTMCell",
]

_KERAS = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
_KERAS_BLOCKS = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 1, 2, 3)}
"""Where torch's blocks are among those of Keras, and the other way round: z, r, h against r, z, n."""


@dataclass(frozen=True)
class _Flax:
    """A cell of Flax: its op here, and for which gates the two products have a bias.

    Attributes:
        op: Ours.
        input_bias: Gates for which the product with the input has one.
        state_bias: Gates for which the product with the state has one.
        dense: Whether all gates are in one product, dense_i and dense_h; else there is one for each, such as ii.
        mark: What follows the name of the gate "if", which Python keeps for itself.
    """

    op: str
    input_bias: str
    state_bias: str
    dense: bool = False
    mark: str = ""


_FLAX: Mapping[str, _Flax] = {
    "linen.SimpleCell": _Flax("rnn", "h", ""),
    "linen.GRUCell": _Flax("gru", "rzn", "n"),
    "linen.LSTMCell": _Flax("lstm", "", "ifgo"),
    "linen.OptimizedLSTMCell": _Flax("lstm", "", "ifgo"),
    "nnx.SimpleCell": _Flax("rnn", "h", "", dense=True),
    "nnx.GRUCell": _Flax("gru", "rzn", "", dense=True),
    "nnx.LSTMCell": _Flax("lstm", "", "ifgo", mark="_"),
    "nnx.OptimizedLSTMCell": _Flax("lstm", "", "ifgo", dense=True),
}


@dataclass(frozen=True)
class _Place:
    """One layer and direction of the layer that is converted.

    Attributes:
        layer: It.
        number: Of the layer and direction, in torch's order.
    """

    layer: GatedLayer
    number: int

    @property
    def label(self) -> str:
        """What torch puts behind the names of its parameters: l0, l0_reverse."""
        return self.layer._suffix(self.number)

    @property
    def names(self) -> list[str]:
        """The parameters that are there, in torch's order."""
        return [name for name in self.layer._weight_names[self.number][0] if name is not None]

    @property
    def sizes(self) -> tuple[int, int]:
        """Its inputs and its units."""
        number = self.number // self.layer._num_directions
        return self.layer._in_size(number), self.layer.hidden_sizes[number]

    def arrays(self) -> list[Array]:
        """Return the parameters as NumPy arrays, in torch's order; bfloat16, which NumPy lacks, as float32."""
        weights: list[Tensor] = [getattr(self.layer, name).detach().cpu() for name in self.names]
        return [(w.float() if w.dtype == torch.bfloat16 else w).numpy().copy() for w in weights]


def from_keras(layer: GatedLayer, weights: Sequence[Any]) -> None:
    """Copy the weights of Keras layers into a layer's parameters, which stay the same tensors.

    Args:
        layer: `RNN`, `GRU` (reset_after as there) or `LSTM`. Activations are not in the weights: Keras's defaults are
            this library's, and a `SimpleRNN` with another one is an `RNN` with that nonlinearity.
        weights: What `get_weights()` of a `SimpleRNN`, `GRU` or `LSTM` gives: kernel (I, G*H), recurrent_kernel (H,
            G*H), and unless use_bias=False bias (G*H,), for a GRU with reset_after (2, 3*H). Of a `Bidirectional`
            those of both directions, forward first; of several layers one list after the other.

    Raises:
        TypeError: The layer is of another kind, or something is no array of numbers.
        ValueError: The layer has what Keras lacks, or the number of arrays or a shape is wrong. Nothing is copied then.

    Example:
        >>> import numpy as np
        >>> from recur.nn import GRU
        >>> layer = GRU(8, 16)
        >>> from_keras(layer, [np.ones((8, 48)), np.ones((16, 48)), np.zeros((2, 48))])
        >>> layer.weight_ih_l0.sum().item()
        384.0
    """
    owner = _check(layer, "from_keras", "Keras", _KERAS)
    places = _places(layer)
    each = 3 if layer.bias else 2
    if not isinstance(weights, list | tuple):
        raise TypeError(
            f"{owner}: weights must be the list that get_weights() of Keras gives, but is {type(weights).__name__}."
        )
    if len(weights) != each * len(places):
        told = "kernel, recurrent_kernel" + (" and bias" if layer.bias else "; it has bias=False")
        raise ValueError(
            f"{owner}: weights has {len(weights)} arrays, but {each * len(places)} are needed, {each} for each of "
            f"{len(places)} layers and directions: {told}."
        )
    copies: list[tuple[str, Array]] = []
    for place in places:
        begin = place.number * each
        given = [_array(owner, f"weights[{k}]", weights[k]) for k in range(begin, begin + each)]
        copies += zip(place.names, _read_keras(owner, place, given), strict=True)
    _copy(layer, owner, copies)


def to_keras(layer: GatedLayer) -> list[Array]:
    """Return a layer's weights as `set_weights` of Keras takes them.

    Args:
        layer: `RNN`, `GRU` or `LSTM`; the layer of Keras must have its reset_after and activation, and use_bias.

    Returns:
        The arrays of each layer and direction, one list after the other, as `from_keras` takes them: one `SimpleRNN`,
        `GRU` or `LSTM`, or one `Bidirectional`, takes all of them when there is one layer, else each takes its part.

    Raises:
        TypeError: The layer is of another kind.
        ValueError: The layer has what Keras lacks.
    """
    _check(layer, "to_keras", "Keras", _KERAS)
    found: list[Array] = []
    for place in _places(layer):
        weight_ih, weight_hh, *biases = place.arrays()
        found += [_blocks(layer, weight_ih).T.copy(), _blocks(layer, weight_hh).T.copy()]
        if biases:
            both = [_blocks(layer, bias) for bias in biases]
            found.append(np.stack(both) if _has_two_biases(layer) else both[0] + both[1])
    return found


def from_flax(layer: GatedLayer, params: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Copy the parameters of Flax cells, linen's or nnx's, into a layer's parameters, which stay the same tensors.

    Args:
        layer: `RNN` for a `SimpleCell`, `GRU` with reset_after for a `GRUCell`, `LSTM` for an `LSTMCell` or
            `OptimizedLSTMCell`. Activations, and a `SimpleCell`'s residual, are not in the parameters.
        params: The cell's parameters, arrays by the name of its Dense or Linear and "kernel" or "bias", such as
            `variables["params"]` of linen, or `nnx.to_pure_dict(nnx.state(cell, nnx.Param))`. Where there are several
            layers or directions a list of them in torch's order: of each layer the forward one, then the backward one.

    Raises:
        TypeError: The layer is of another kind, or something is no mapping or no array of numbers.
        ValueError: The layer has what Flax lacks, a name is missing or not known, or a shape is wrong. Nothing is
            copied then.
    """
    owner = _check(layer, "from_flax", "Flax", {spec.op: name for name, spec in _FLAX.items()})
    places = _places(layer)
    cells = [params] if isinstance(params, Mapping) else list(params)
    if len(cells) != len(places):
        raise ValueError(
            f"{owner}: params has the parameters of {len(cells)} cells, but there are {len(places)} layers and "
            "directions. Give a list with one mapping for each."
        )
    copies: list[tuple[str, Array]] = []
    for place, cell in zip(places, cells, strict=True):
        if not isinstance(cell, Mapping):
            raise TypeError(f"{owner}: params of {place.label} must be a mapping, but is {type(cell).__name__}.")
        copies += zip(place.names, _read_flax(owner, place, cell), strict=True)
    _copy(layer, owner, copies)


def to_flax(layer: GatedLayer, cell: FlaxCell) -> list[FlaxParams]:
    """Return a layer's weights as the parameters of cells of Flax.

    Args:
        layer: `RNN`, `GRU` with reset_after, or `LSTM`.
        cell: Which cell they are for, such as "linen.GRUCell" or "nnx.OptimizedLSTMCell".

    Returns:
        For each layer and direction, in torch's order, arrays by the name of the Dense or Linear and "kernel" or
        "bias". linen takes one as `{"params": ...}`, nnx by `nnx.update(its_cell, ...)`.

    Raises:
        TypeError: The layer is of another kind.
        ValueError: The layer has what the cell lacks, or there is no such cell.

    Example:
        >>> from recur.nn import GRU
        >>> (params,) = to_flax(GRU(8, 16), "linen.GRUCell")
        >>> params["ir"]["kernel"].shape, list(params["hr"]), list(params["hn"])
        ((8, 16), ['kernel'], ['kernel', 'bias'])
    """
    owner = _check(layer, "to_flax", "Flax", {spec.op: name for name, spec in _FLAX.items()})
    fitting = [name for name, spec in _FLAX.items() if spec.op == layer._op]
    if cell not in fitting:
        raise ValueError(f"{owner}: cell is {cell!r}, but must be one of {', '.join(map(repr, fitting))}.")
    return [_written_flax(owner, place, cell) for place in _places(layer)]


def _check(layer: Any, function: str, library: str, ops: Mapping[str, str]) -> str:
    """Return who complains, or raise when the other library has no layer that computes what `layer` does."""
    owner = f"{function}: {type(layer).__name__}"
    if not isinstance(layer, GatedLayer) or layer._op not in ops:
        if isinstance(layer, torch.nn.RNNBase):
            ours = f"recur.nn.{layer.mode.partition('_')[0]}"
            raise TypeError(f"{owner} is torch's; take {ours}, which loads its state_dict, or call recur.accelerate.")
        raise TypeError(f"{owner} has no counterpart in {library}; RNN, GRU and LSTM have.")
    form = layer._form
    lacks = {name: getattr(form, name) for name in ("layer_norm", "peephole", "coupled", "cell_clip", "output_clip")}
    lacks |= {"proj_size": layer.proj_size, "skip": layer.skip}
    odd = [f"{name}={value!r}" for name, value in lacks.items() if value]
    odd += [f"zoneout={layer.zoneout!r}"] if any(layer.zoneout) else []
    odd += [f"dilation={list(layer.dilations)!r}"] if set(layer.dilations) != {1} else []
    odd += [f"initial_state={layer.initial_state!r}"] if layer.initial_state != "zeros" else []
    if library == "Flax" and layer._op == "gru" and not form.reset_after:
        odd.append("reset_after=False")
    if odd:
        raise ValueError(f"{owner} has {', '.join(odd)}, which {library} lacks. Convert a layer without.")
    return owner


def _places(layer: GatedLayer) -> list[_Place]:
    return [_Place(layer, number) for number in range(layer._num_states)]


def _array(owner: str, name: str, value: Any) -> Array:
    """Return a value as numbers that torch can take, whatever kind of float and of array it was."""
    try:
        found = np.asarray(value)
        # In float64 every kind of float fits, and bfloat16, which torch does not take from NumPy, becomes one it does.
        if found.dtype.kind == "c":
            raise TypeError("it is complex")
        return found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{owner}: {name} must be an array of real numbers: {error}.") from None


def _expect(owner: str, name: str, array: Array, shape: tuple[int, ...], hint: str = "") -> None:
    if array.shape != shape:
        raise ValueError(f"{owner}: {name} must have shape {shape}, but has {array.shape}.{hint}")


def _copy(layer: GatedLayer, owner: str, copies: Sequence[tuple[str, Array]]) -> None:
    for name, _ in copies:
        if name not in layer._parameters:
            raise ValueError(
                f"{owner}: {name} is parametrized, so there is no parameter to copy into. Take the parametrization off "
                "with torch.nn.utils.parametrize.remove_parametrizations, and put it on again afterwards."
            )
    with torch.no_grad():
        for name, array in copies:
            getattr(layer, name).copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _has_two_biases(layer: GatedLayer) -> bool:
    return layer._op == "gru" and layer._form.reset_after


def _blocks(layer: GatedLayer, array: Array) -> Array:
    """Return an array with its blocks of rows in the order of the other side; its own inverse."""
    parts = np.split(array, len(layer._cell.gates))
    return np.concatenate([parts[k] for k in _KERAS_BLOCKS[layer._op]])


def _read_keras(owner: str, place: _Place, given: Sequence[Array]) -> Iterator[Array]:
    layer, (inputs, units) = place.layer, place.sizes
    rows = len(layer._cell.gates) * units
    first = place.number * len(given)
    two = _has_two_biases(layer)
    hint = ""
    if layer._op == "gru" and len(given) == 3 and given[2].shape == ((rows,) if two else (2, rows)):
        hint = f" These weights are of a GRU with reset_after={not two}; make the layer so."
    shapes = [(inputs, rows), (units, rows), (2, rows) if two else (rows,)]
    names = ("kernel", "recurrent_kernel", "bias")
    for k, (name, array, shape) in enumerate(zip(names, given, shapes, strict=False)):
        _expect(owner, f"weights[{first + k}], the {name} of {place.label},", array, shape, hint)
    yield _blocks(layer, given[0].T)
    yield _blocks(layer, given[1].T)
    if len(given) == 3:
        one, other = given[2] if two else (given[2], np.zeros_like(given[2]))
        yield _blocks(layer, one)
        yield _blocks(layer, other)


def _flax_names(layer: GatedLayer, prefix: str, mark: str = "") -> dict[str, str]:
    """Return for each gate the name of its Dense: ii, hf; of the one without gates i and h."""
    if layer._op == "rnn":
        return {"h": prefix}
    return {gate: f"i{gate}{mark}" if prefix + gate == "if" else prefix + gate for gate in layer._cell.gates}


def _read_flax(owner: str, place: _Place, params: Mapping[str, Any]) -> Iterator[Array]:
    layer, (inputs, units) = place.layer, place.sizes
    rows, known, products = len(layer._cell.gates) * units, set(), []
    for prefix, width in (("i", inputs), ("h", units)):
        if "dense_i" in params:
            named = {f"dense_{prefix}": rows}
        else:
            mark = "_" if "if_" in params else ""
            named = dict.fromkeys(_flax_names(layer, prefix, mark).values(), units)
        known |= set(named)
        pairs = [_read_dense(owner, place, params, name, width, columns) for name, columns in named.items()]
        products.append([np.concatenate(parts, -1) for parts in zip(*pairs, strict=True)])
    for name in params:
        if name not in known:
            raise ValueError(f"{owner}: {place.label} has no {name!r}; its products are {', '.join(sorted(known))}.")
    (kernel_i, bias_i), (kernel_h, bias_h) = products
    yield kernel_i.T
    yield kernel_h.T
    if layer.bias:
        yield bias_i
        yield bias_h
    elif bias_i.any() or bias_h.any():
        raise ValueError(f"{owner}: params of {place.label} has biases, but the layer has bias=False. Pass bias=True.")


def _read_dense(
    owner: str, place: _Place, params: Mapping[str, Any], name: str, inputs: int, outputs: int
) -> tuple[Array, Array]:
    """Return the kernel and the bias of a Dense or Linear, zeros where it has none."""
    dense = params.get(name)
    if not isinstance(dense, Mapping) or dense.get("kernel") is None:
        raise ValueError(f"{owner}: params of {place.label} has no [{name!r}]['kernel']; it has {', '.join(params)}.")
    kernel = _array(owner, f"[{name!r}]['kernel'] of {place.label}", dense["kernel"])
    _expect(owner, f"[{name!r}]['kernel'] of {place.label}", kernel, (inputs, outputs))
    if dense.get("bias") is None:
        return kernel, np.zeros(outputs)
    bias = _array(owner, f"[{name!r}]['bias'] of {place.label}", dense["bias"])
    _expect(owner, f"[{name!r}]['bias'] of {place.label}", bias, (outputs,))
    return kernel, bias


def _written_flax(owner: str, place: _Place, cell: str) -> FlaxParams:
    layer, spec = place.layer, _FLAX[cell]
    weight_ih, weight_hh, *biases = place.arrays()
    gates = layer._cell.gates
    zeros = np.zeros(len(weight_ih), weight_ih.dtype)
    bias_i, bias_h = (np.split(bias, len(gates)) for bias in biases or (zeros, zeros))
    found: FlaxParams = {}
    for prefix, weight, has_bias in (("i", weight_ih, spec.input_bias), ("h", weight_hh, spec.state_bias)):
        kernels, vectors = np.split(weight.T, len(gates), 1), {}
        for k, gate in enumerate(gates):
            # A GRU's two biases of n are not one: the reset gate multiplies that of the state.
            is_parted = (layer._op, gate) == ("gru", "n")
            if is_parted and gate not in spec.state_bias and bias_h[k].any():
                raise ValueError(
                    f"{owner} has a bias on the state in its gate n, the last third of bias_hh, which {cell} lacks. "
                    "Take linen.GRUCell, or a layer in which it is zero."
                )
            if gate in has_bias:
                vectors[gate] = (bias_i if prefix == "i" else bias_h)[k] if is_parted else bias_i[k] + bias_h[k]
        if spec.dense:
            found[f"dense_{prefix}"] = {"kernel": np.concatenate(kernels, 1)} | (
                {"bias": np.concatenate(list(vectors.values()))} if vectors else {}
            )
            continue
        for gate, name in _flax_names(layer, prefix, spec.mark).items():
            kernel = {"kernel": kernels[gates.index(gate)].copy()}
            found[name] = kernel | ({"bias": vectors[gate]} if gate in vectors else {})
    return found
