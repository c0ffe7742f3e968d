"""A decoder with input feeding over all steps of known targets, in one forward and one backward pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recur.nn.attention.contract import Attention, Memory, softmax_over
from recur.nn.attention.dot import DotAttention
from recur.nn.attention.general import GeneralAttention
from recur.nn.gated import GatedLayer
from recur.nn.linear import Linear
from recur.nn.lstm import LSTM
from recur.ops.linear.op import linear
from recur.ops.linear.packed import PackedWeight


class FedSteps(NamedTuple):
    """What a decoder with input feeding makes of T steps of B rows.

    Attributes:
        states: (T, B, H), the outputs of its recurrent layer.
        contexts: (T, B, C).
        weights: (T, B, S), where each step looked.
        features: (T, B, F), the last of which a further step would be fed.
        cell: (B, H), the LSTM's cell state in the end.
    """

    states: Tensor
    contexts: Tensor
    weights: Tensor
    features: Tensor
    cell: Tensor


def takes_fed_steps(decoder: GatedLayer, attention: Attention | None) -> bool:
    """Return whether `fed_steps` can run a decoder: one LSTM layer, and attention by products, while it learns."""
    if type(decoder) is not LSTM or decoder.num_layers > 1 or type(attention) not in (DotAttention, GeneralAttention):
        return False
    is_plain = not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())
    kind = decoder.all_weights[0][0].device.type
    return is_plain and torch.is_grad_enabled() and not torch.is_autocast_enabled(kind)


def fed_steps(
    decoder: GatedLayer,
    mixture: Linear,
    memory: Memory,
    e_TBE: Tensor,
    state: tuple[Tensor, Tensor],
    fed: Tensor,
    kept: Tensor | None,
) -> FedSteps:
    """Return what the steps make of the vectors of tokens, by one product of these for all steps.

    ```text
    s_t, cell_t = LSTM([e_t, a_{t-1}], s_{t-1}, cell_{t-1})
    w_t = softmax(keys s_t);  c_t = sum of w_t values
    a_t = kept_t tanh(W_a [s_t, c_t] + b_a)
    ```

    Gradients of the weights, keys and values are sums over steps, which are products too; autograd would add a matrix
    of the weights' size at each step. They are the same but for rounding, and have no derivatives of their own.

    Args:
        decoder: For which `takes_fed_steps` holds.
        mixture: W_a and b_a.
        memory: Of the attention.
        e_TBE: (T, B, E).
        state: The LSTM's before, (1, B, H) both.
        fed: a_0, (B, F).
        kept: What dropout multiplies the features by, (T, B, F); None without.
    """
    size = e_TBE.shape[2]
    weight_ih, weight_hh, bias_ih, bias_hh = decoder.all_weights[0]
    x_TBG = linear(e_TBE, weight_ih[:, :size], bias_ih + bias_hh)
    recurrent = torch.cat([weight_ih[:, size:], weight_hh], 1)
    joined, weights_BTS, features, cell = _Steps.apply(  # type: ignore[no-untyped-call]
        x_TBG, state[0][0], state[1][0], fed, *memory, recurrent, mixture.weight, mixture.bias, kept
    )
    hidden = decoder.hidden_size
    return FedSteps(joined[..., :hidden], joined[..., hidden:], weights_BTS.transpose(0, 1), features, cell)


class _Steps(torch.autograd.Function):
    """Steps of an LSTM with gates in the order i, f, g, o, by attention and input feeding.

    Letters: T steps, B rows, H units, G = 4 H gates, F features fed, S steps looked at, C features of these.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TBG: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        fed_BF: Tensor,
        keys_BSH: Tensor,
        values_BSC: Tensor,
        mask_BS: Tensor,
        recurrent_GU: Tensor,
        mixture_FJ: Tensor,
        bias_F: Tensor,
        kept_TBF: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        num_steps, batch, _ = x_TBG.shape
        hidden, num_features = h_BH.shape[1], fed_BF.shape[1]
        gates = x_TBG.clone(memory_format=torch.contiguous_format)
        read = x_TBG.new_empty(num_steps + 1, batch, num_features + hidden)
        read[0, :, :num_features], read[0, :, num_features:] = fed_BF, h_BH
        cells = x_TBG.new_empty(num_steps + 1, batch, hidden)
        cells[0] = c_BH
        squashed = x_TBG.new_empty(num_steps, batch, hidden)
        joined = x_TBG.new_empty(num_steps, batch, mixture_FJ.shape[1])
        mixed = x_TBG.new_empty(num_steps, batch, num_features)
        weights = x_TBG.new_empty(batch, num_steps, keys_BSH.shape[1])
        recurrent, mixture = PackedWeight(recurrent_GU), PackedWeight(mixture_FJ)
        for t in range(num_steps):
            gate = recurrent.add_to(gates[t], read[t])
            of_each = gate.view(batch, 4, hidden)
            of_each[:, :2].sigmoid_()
            of_each[:, 2].tanh_()
            of_each[:, 3].sigmoid_()
            i, f, g, o = of_each.unbind(1)
            torch.mul(f, cells[t], out=cells[t + 1]).addcmul_(i, g)
            torch.tanh(cells[t + 1], out=squashed[t])
            h = read[t + 1, :, num_features:]
            torch.mul(o, squashed[t], out=h)
            weight = softmax_over(torch.bmm(keys_BSH, h[:, :, None])[..., 0], mask_BS)
            weights[:, t] = weight
            joined[t, :, :hidden] = h
            joined[t, :, hidden:] = torch.bmm(weight[:, None], values_BSC)[:, 0]
            mixture.times(joined[t], bias_F, out=mixed[t]).tanh_()
            fed = mixed[t] if kept_TBF is None else mixed[t] * kept_TBF[t]
            read[t + 1, :, :num_features] = fed
        ctx.save_for_backward(
            *(gates, read, cells, squashed, joined, mixed, weights),
            *(keys_BSH, values_BSC, recurrent_GU, mixture_FJ, kept_TBF),
        )
        ctx.set_materialize_grads(False)
        # A copy each, so that what is kept for the way back is nobody else's.
        return joined.clone(), weights.clone(), read[1:, :, :num_features].clone(), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        d_joined: Tensor | None,
        d_weights: Tensor | None,
        d_features: Tensor | None,
        d_cell: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        gates, read, cells, squashed, joined, mixed, weights, keys, values, recurrent, mixture, kept = ctx.saved_tensors
        num_steps, batch, hidden = squashed.shape
        num_features = mixed.shape[2]
        i, f, g, o = gates.view(num_steps, batch, 4, hidden).unbind(2)
        # What the gradient of the cell state, and for o that of the output, is multiplied by at each gate.
        slopes = torch.stack([g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g * g), squashed * o * (1 - o)], 2)
        from_output = o * (1 - squashed * squashed)
        from_fed = 1 - mixed * mixed if kept is None else kept * (1 - mixed * mixed)
        d_gates = torch.empty_like(slopes)
        d_mixed = torch.empty_like(mixed)
        d_contexts = values.new_empty(batch, num_steps, values.shape[2])
        d_scores = torch.empty_like(weights)
        d_read = read.new_zeros(batch, num_features + hidden)
        d_c = read.new_zeros(batch, hidden) if d_cell is None else d_cell
        through_recurrent, through_mixture = (PackedWeight(each, is_across=True) for each in (recurrent, mixture))
        for t in reversed(range(num_steps)):
            d_fed = d_read[:, :num_features] if d_features is None else d_read[:, :num_features] + d_features[t]
            d_joint = through_mixture.times(torch.mul(d_fed, from_fed[t], out=d_mixed[t]))
            if d_joined is not None:
                d_joint += d_joined[t]
            d_context = d_joint[:, hidden:]
            d_contexts[:, t] = d_context
            d_weight = torch.bmm(values, d_context[:, :, None])[..., 0]
            if d_weights is not None:
                d_weight += d_weights[:, t]
            d_weight *= weights[:, t]
            d_score = d_weight - weights[:, t] * d_weight.sum(1, keepdim=True)
            d_scores[:, t] = d_score
            d_h = torch.baddbmm(d_joint[:, None, :hidden], d_score[:, None], keys)[:, 0]
            d_h += d_read[:, num_features:]
            d_c = torch.addcmul(d_c, d_h, from_output[t])
            torch.mul(slopes[t, :, :3], d_c[:, None], out=d_gates[t, :, :3])
            torch.mul(slopes[t, :, 3], d_h, out=d_gates[t, :, 3])
            d_read = through_recurrent.times(d_gates[t].view(batch, -1))
            d_c = d_c * f[t]
        d_x = d_gates.flatten(2)
        of_rows, fed_of_rows = d_x.flatten(0, 1), d_mixed.flatten(0, 1)
        return (
            d_x,
            *(d_read[:, num_features:], d_c, d_read[:, :num_features]),
            torch.bmm(d_scores.mT, joined[..., :hidden].transpose(0, 1)),
            torch.bmm(weights.mT, d_contexts),
            None,
            of_rows.t() @ read[:-1].flatten(0, 1),
            fed_of_rows.t() @ joined.flatten(0, 1),
            fed_of_rows.sum(0),
            None,
        )
