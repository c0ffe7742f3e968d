// The weights' gradients as sums over rows and steps: each thread's part of them, and putting the parts together.

#pragma once

#include "kernels/plan.h"

namespace recur {
namespace RECUR_ISA {

// --- a thread's part of the weights' gradients -----------------------------------------------------------------------

// Matrices have padded rows, in the order in which the products have them.
template <class T>
struct Sums {
  T *input = nullptr, *hidden = nullptr, *second = nullptr, *projection = nullptr, *bias = nullptr;
  // To these each step adds by itself. They are of the chunk; what all chunks come to lies `small` elements behind.
  T *own_past = nullptr, *weight_ch = nullptr;
  T *norm_ih = nullptr, *norm_hh = nullptr, *norm_c = nullptr, *norm_c_bias = nullptr;
  T* first_small = nullptr;
  Index small = 0;
  Index input_stride = 0, output_stride = 0, unit_stride = 0;

  // parts: Of which each adds up its rows; where there is one, matrices are added up where they belong.
  Sums(const Plan<T>& plan, int parts, Pieces& pieces) {
    const WeightsOf<T>& wanted = plan.call.dweights;
    const Index unit = kUnitBytes / static_cast<Index>(sizeof(T));
    input_stride = round_up(plan.call.input_size, unit);
    output_stride = plan.outputs_padded;
    unit_stride = plan.padded;
    const bool adds = parts > 1;
    if (wanted.weight_ih != nullptr && adds) input = pieces.take<T>(plan.gate_row() * input_stride);
    if (wanted.weight_hh != nullptr && !plan.cell.is_elementwise && adds) {
      hidden = pieces.take<T>(plan.cell.hidden_count * plan.padded * output_stride);
      if (plan.has_second()) second = pieces.take<T>(plan.padded * output_stride);
    }
    if (wanted.weight_hr != nullptr && adds) projection = pieces.take<T>(plan.outputs * unit_stride);
    if (wanted.bias_ih != nullptr || wanted.bias_hh != nullptr) bias = pieces.take<T>(plan.slot_row());
    const Index gates = plan.cell.gates * plan.units;
    const bool has_past = wanted.weight_hh != nullptr && plan.cell.is_elementwise;
    // To this one cells add without asking.
    const Index eyes = plan.call.weights.weight_ch != nullptr ? 3 * plan.units : 0;
    const Index counts[] = {has_past ? plan.padded : 0,
                            eyes,
                            wanted.norm_ih != nullptr ? gates : 0,
                            wanted.norm_hh != nullptr ? gates : 0,
                            wanted.norm_c != nullptr ? plan.units : 0,
                            wanted.norm_c_bias != nullptr ? plan.units : 0};
    T** const places[] = {&own_past, &weight_ch, &norm_ih, &norm_hh, &norm_c, &norm_c_bias};
    for (const Index count : counts) small += round_up(count, unit);
    first_small = pieces.take<T>(2 * small);
    Index at = 0;
    for (int n = 0; n < 6; ++n) {
      if (counts[n] > 0) *places[n] = first_small + at;
      at += round_up(counts[n], unit);
    }
  }

  // Calls act(first, count) for the runs of this thread's units in what each step adds to.
  template <class Act>
  void each_small(const Plan<T>& plan, Act act) const {
    if (plan.own.count() == plan.padded) return act(0, small);
    const Stretch own = plan.own_units();
    if (own_past != nullptr) act(own_past - first_small + own.begin, own.count());
    for (Index number = 0; number < 3 && weight_ch != nullptr; ++number) {
      act(weight_ch - first_small + number * plan.units + own.begin, own.count());
    }
  }

  // Ends a chunk. Beside the sum over all time each of its terms would be rounded as coarsely as that.
  void keep(const Plan<T>& plan) const {
    each_small(plan, [&](Index first, Index count) {
      for (Index n = first; n < first + count; n += kWidth<T>) {
        const Lanes<T> lanes(first + count - n);
        T* const sum = first_small + small + n;
        store(sum, load(sum, lanes) + load(first_small + n, lanes), lanes);
        store(first_small + n, Vector<T>{}, lanes);
      }
    });
  }

  // Sets to zero what this thread adds to. The first chunk writes the matrices.
  void clear(const Plan<T>& plan) const {
    const auto zeros = [](T* sum, Index first, Index count) {
      if (sum != nullptr) std::memset(sum + first, 0, sizeof(T) * static_cast<std::size_t>(count));
    };
    plan.each_run(plan.cell.slots, [&](Index run, Index count) { zeros(bias, run, count); });
    each_small(plan, [&](Index first, Index count) {
      zeros(first_small, first, count);
      zeros(first_small, small + first, count);
    });
  }
};

// --- putting the threads' sums together ------------------------------------------------------------------------------

// Writes the sums of all parts.
//
// first: In the scratch of `part`; those of the others lie alike.
template <class T>
void write_total(T* to, Index count, const T* first, void* const* scratch, Index part, Index parts) {
  const Index place = reinterpret_cast<const char*>(first) - static_cast<const char*>(scratch[part]);
  for (Index p = 0; p < count; p += kWidth<T>) {
    const Lanes<T> lanes(count - p);
    Vector<T> value{};
    for (Index n = 0; n < parts; ++n) {
      value += load(reinterpret_cast<const T*>(static_cast<const char*>(scratch[n]) + place) + p, lanes);
    }
    store(to + p, value, lanes);
  }
}

// Writes what belongs to some of the hidden units, and outputs, of every wanted gradient.
//
// scratch: Of every part; sums: of the first, and those of the others lie alike.
template <class T>
void reduce(const Plan<T>& plan, const Sums<T>& sums, void* const* scratch, int parts, Stretch own, Stretch outputs) {
  const WeightsOf<T>& d = plan.call.dweights;
  const auto total = [&](T* to, Index count, const T* first) { write_total(to, count, first, scratch, 0, parts); };
  const Index H = plan.units;
  for (Index unit = own.begin; unit < own.end; ++unit) {
    for (int j = 0; j < plan.cell.gates; ++j) {
      const int gate = plan.input_order() == nullptr ? j : plan.input_order()[j];
      if (sums.input != nullptr) {
        total(d.weight_ih + (gate * H + unit) * plan.call.input_size, plan.call.input_size,
              sums.input + (j * plan.padded + unit) * sums.input_stride);
      }
    }
    if (sums.hidden == nullptr) continue;
    for (int gate = 0; gate < plan.cell.hidden_count; ++gate) {
      total(d.weight_hh + (gate * H + unit) * plan.outputs, plan.outputs,
            sums.hidden + (gate * plan.padded + unit) * sums.output_stride);
    }
    if (plan.has_second()) {
      total(d.weight_hh + (plan.second_gate() * H + unit) * plan.outputs, plan.outputs,
            sums.second + unit * sums.output_stride);
    }
  }
  if (sums.projection != nullptr) {
    for (Index p = outputs.begin; p < outputs.end; ++p) {
      total(d.weight_hr + p * H, H, sums.projection + p * sums.unit_stride);
    }
  }
  // Some gates, H elements of each; `first` is an element of what each part has at `sum`.
  const auto vector = [&](T* to, Index gates, const T* sum, Index first) {
    for (Index at = own.begin; at < gates * H && to != nullptr; at += H) total(to + at, own.count(), sum + first + at);
  };
  if (plan.cell.is_elementwise) vector(d.weight_hh, 1, sums.own_past, sums.small);
  for (int gate = 0; gate < plan.cell.gates; ++gate) {
    const Index input = plan.input_slot(gate) * plan.padded, hidden = plan.hidden_slot(gate) * plan.padded;
    vector(d.bias_ih == nullptr ? nullptr : d.bias_ih + gate * H, 1, sums.bias, input);
    vector(d.bias_hh == nullptr ? nullptr : d.bias_hh + gate * H, 1, sums.bias, hidden);
  }
  vector(d.weight_ch, plan.call.form.cell == CellKind::lstm_coupled ? 2 : 3, sums.weight_ch, sums.small);
  vector(d.norm_ih, plan.cell.gates, sums.norm_ih, sums.small);
  vector(d.norm_hh, plan.cell.gates, sums.norm_hh, sums.small);
  vector(d.norm_c, 1, sums.norm_c, sums.small);
  vector(d.norm_c_bias, 1, sums.norm_c_bias, sums.small);
}

}  // namespace RECUR_ISA
}  // namespace recur
