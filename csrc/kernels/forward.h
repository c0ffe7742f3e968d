// The loop over time, forward.
//
// Time is cut into chunks of about a hundred rows: first the product of all inputs of a chunk, then its steps, while
// what was computed is still near.

#pragma once

#include "kernels/plan.h"

namespace recur {
namespace RECUR_ISA {

// --- packed weights, shared by all threads ---------------------------------------------------------------------------

template <class T>
void place_forward(Plan<T>& plan, Pieces& pieces) {
  const auto place = [&](Panels<T>& panels, Index depth, Index columns) {
    plan.place(panels, depth, columns, true, pieces);
  };
  const CellOf<T>& cell = plan.cell;
  place(plan.input, plan.call.input_size, plan.gate_row());
  if (!cell.is_elementwise) place(plan.hidden, plan.outputs, cell.hidden_count * plan.padded);
  if (plan.has_second()) place(plan.second, plan.outputs, plan.padded);
  if (plan.is_projected) place(plan.projection, plan.units, plan.outputs);
  plan.bias = pieces.take<T>(plan.slot_row());
}

template <class T>
void pack_forward(const Plan<T>& plan, const PanelShare& share, void* scratch) {
  const T** rows = static_cast<const T**>(scratch);
  const WeightsOf<const T>& w = plan.call.weights;
  const CellOf<T>& cell = plan.cell;
  const auto pack = [&](const Panels<T>& all, Index first, Index count) {
    const Panels<T> to = all.run(first, count);
    if (to.column_at != nullptr) {
      for (Index n = 0; n < count && share.thread == 0; ++n) const_cast<const T**>(to.column_at)[n] = rows[first + n];
    } else {
      pack_columns(rows + first, to, share.begin(to.count()), share.end(to.count()));
    }
  };
  const auto pack_gates = [&](const Panels<T>& to, int gates) {
    plan.each_run(gates, [&](Index first, Index count) { pack(to, first, count); });
  };
  plan.rows_of(w.weight_ih, plan.call.input_size, plan.input_order(), 0, cell.gates, rows);
  pack_gates(plan.input, cell.gates);
  if (!cell.is_elementwise) {
    plan.rows_of(w.weight_hh, plan.outputs, nullptr, 0, cell.hidden_count, rows);
    pack_gates(plan.hidden, cell.hidden_count);
  }
  if (plan.has_second()) {
    plan.rows_of(w.weight_hh, plan.outputs, nullptr, plan.second_gate(), 1, rows);
    pack_gates(plan.second, 1);
  }
  if (plan.is_projected) {
    for (Index p = 0; p < plan.outputs; ++p) rows[p] = w.weight_hr + p * plan.units;
    pack(plan.projection, 0, plan.outputs);
  }
  if (share.thread != 0) return;
  plan.each_run(cell.slots, [&](Index first, Index count) {
    for (Index i = first; i < first + count; ++i) plan.bias[i] = 0;
  });
  if (w.bias_ih == nullptr) return;
  const Stretch own = plan.own.below(plan.units);
  for (int gate = 0; gate < cell.gates; ++gate) {
    T* input = plan.bias + plan.input_slot(gate) * plan.padded;
    T* hidden = plan.bias + plan.hidden_slot(gate) * plan.padded;
    for (Index u = own.begin; u < own.end; ++u) input[u] += w.bias_ih[gate * plan.units + u];
    for (Index u = own.begin; u < own.end; ++u) hidden[u] += w.bias_hh[gate * plan.units + u];
  }
}

template <class T>
Index packing_pointers(const Plan<T>& plan) {
  const Index rows = plan.gate_row();
  return rows > plan.outputs ? rows : plan.outputs;
}

// --- a thread's scratch ----------------------------------------------------------------------------------------------

template <class T>
struct ForwardScratch {
  T *gates = nullptr, *input_hat = nullptr, *hidden_hat = nullptr;  // In inference.
  T *masked = nullptr, *gated = nullptr, *unprojected = nullptr;
  T* pairs;
  const T** left;  // Rows of products.
  T** right;
  const T** h;

  // common: What threads that share the units have together; else the same as `pieces`.
  ForwardScratch(const Plan<T>& plan, Index rows, Pieces& common, Pieces& pieces) {
    const Index chunk = plan.steps_of_chunk(rows) * rows;
    if (!plan.is_saving) {
      gates = pieces.take<T>(chunk * plan.slot_row());
      if (plan.is_normed || plan.norms_sum) input_hat = pieces.take<T>(chunk * plan.gate_row());
      if (plan.is_normed) hidden_hat = pieces.take<T>(rows * plan.gate_row());
    }
    if (plan.call.state_mask != nullptr) masked = pieces.take<T>(rows * plan.outputs);
    if (plan.has_second()) gated = common.take<T>(rows * plan.outputs_padded);
    if (plan.is_projected) unprojected = pieces.take<T>(rows * plan.padded);
    pairs = plan.place_pairs(chunk, false, pieces);
    left = pieces.take<const T*>(chunk > packing_pointers(plan) ? chunk : packing_pointers(plan));
    right = pieces.take<T*>(chunk);
    h = pieces.take<const T*>(rows);
  }
};

// --- the loop --------------------------------------------------------------------------------------------------------

template <class T>
struct Forward {
  const Plan<T>& plan;
  const Recurrence<T>& call;
  const Share& share;
  const ForwardScratch<T>& scratch;
  Index first = 0;  // Of the chunk's steps.

  // Rows that are saved, or a chunk's.
  T* saved(T* whole, T* chunk, Index width, Index s, Index i) const {
    if (plan.is_saving) return whole + (plan.time(s) * call.batch + share.rows[i]) * width;
    return chunk + ((s - first) * share.count + i) * width;
  }
  T* gates(Index s, Index i) const { return saved(call.gates, scratch.gates, plan.slot_row(), s, i); }
  T* input_hat(Index s, Index i) const { return saved(call.input_hat, scratch.input_hat, plan.gate_row(), s, i); }
  T* hidden_hat(Index s, Index i) const {
    return plan.is_saving ? saved(call.hidden_hat, nullptr, plan.gate_row(), s, i)
                          : scratch.hidden_hat + i * plan.gate_row();
  }
  void keep_scale(Index s, Index i, int which, T scale) const {
    if (plan.is_saving) call.scales[(plan.time(s) * call.batch + share.rows[i]) * kScales + which] = scale;
  }

  void run() {
    clear_padding();
    if (plan.has_cell_state && !plan.is_saving) copy_rows(call.c0, call.cn);
    const Index chunk = plan.steps_of_chunk(share.count);
    for (first = 0; first < call.steps; first += chunk) {
      const Index end = least(call.steps, first + chunk);
      plan.await(end);
      inputs(end);
      for (Index s = first; s < end; ++s) {
        step(s, plan.active(share, plan.time(s)));
        // The next step sees the whole state.
        if (!plan.cell.is_elementwise) plan.team.meet();
      }
      plan.tell(end);
    }
    final_states();
  }

  static void copy(T* to, const T* from, Stretch part) {
    // They are the same array where steps follow upon each other in place.
    std::memmove(to + part.begin, from + part.begin, sizeof(T) * static_cast<std::size_t>(part.count()));
  }

  void copy_rows(const T* from, T* to) const {
    for (Index i = 0; i < share.count; ++i) {
      const Index b = share.rows[i];
      copy(to + b * plan.units, from + b * plan.units, plan.own_units());
    }
  }

  void clear_padding() const {
    const Stretch own = plan.own_outputs();
    for (Index i = 0; i < share.count; ++i) {
      const Index b = share.rows[i];
      for (Index t = plan.length(b); t < call.steps; ++t) {
        std::memset(call.y.at(t, b) + own.begin, 0, sizeof(T) * static_cast<std::size_t>(own.count()));
      }
    }
  }

  // Whether a run is the first: what the others have as left factor is then in pairs already.
  bool is_first(Index run) const { return run == plan.own.begin; }

  void inputs(Index end) const {
    Index count = 0;
    const bool is_hat = plan.is_normed || plan.norms_sum;
    for (Index s = first; s < end; ++s) {
      const Index t = plan.time(s), active = plan.active(share, t);
      for (Index i = 0; i < active; ++i, ++count) {
        scratch.left[count] = call.x.at(t, share.rows[i]);
        scratch.right[count] = is_hat ? input_hat(s, i) : gates(s, i);
      }
    }
    const Index from = is_hat ? 0 : plan.cell.input_first * plan.padded;
    plan.each_run(plan.cell.gates, [&](Index run, Index columns) {
      multiply<T>(scratch.left, 0, scratch.right, from + run, count, plan.input.run(run, columns),
                  is_hat ? Start::zero : Start::bias, plan.bias + from + run, true, scratch.pairs, !is_first(run));
    });
    if (plan.norms_sum) return;
    for (Index s = first; s < end; ++s) {
      const Index active = plan.active(share, plan.time(s));
      for (Index i = 0; i < active; ++i) {
        if (plan.is_normed) {
          std::memcpy(gates(s, i), plan.bias, sizeof(T) * static_cast<std::size_t>(plan.slot_row()));
          Index gate = 0;
          for (int group = 0; group < plan.cell.groups; ++group) {
            keep_scale(s, i, group,
                       add_normalised(input_hat(s, i), gate, plan.cell.group_gates[group], call.weights.norm_ih,
                                      gates(s, i), true));
            gate += plan.cell.group_gates[group];
          }
        } else {
          // Slots to which only the state's product goes.
          for (Index slot = plan.cell.input_first + plan.cell.gates; slot < plan.cell.slots; ++slot) {
            const Index at = slot * plan.padded + plan.own.begin;
            std::memcpy(gates(s, i) + at, plan.bias + at, sizeof(T) * static_cast<std::size_t>(plan.own.count()));
          }
        }
      }
    }
  }

  // Normalises some gates of a row in place, adds them times gain to their slots, and returns the scale.
  T add_normalised(T* hat, Index gate, int count, const T* gain, T* slots, bool is_input) const {
    const T scale = normalise(hat + gate * plan.padded, plan.units, count, plan.padded);
    for (Index g = gate; g < gate + count; ++g) {
      const int slot = is_input ? plan.input_slot(static_cast<int>(g)) : plan.hidden_slot(static_cast<int>(g));
      T* to = slots + slot * plan.padded;
      for (Index u = 0; u < plan.padded; u += kWidth<T>) {
        const Lanes<T> lanes(plan.units - u);
        store(to + u, load(to + u) + load(hat + g * plan.padded + u) * load(gain + g * plan.units + u, lanes));
      }
    }
    return scale;
  }

  void step(Index s, Index active) const {
    const Index t = plan.time(s);
    const CellOf<T>& cell = plan.cell;
    for (Index i = 0; i < active; ++i) {
      const Index b = share.rows[i];
      scratch.h[i] = plan.h_before(t, b);
      if (call.state_mask == nullptr) continue;
      T* masked = scratch.masked + i * plan.outputs;
      // Others' units may be written right now; only a product looks at those, behind a meeting.
      const Stretch seen = cell.is_elementwise ? plan.own_outputs() : Stretch{0, plan.outputs};
      for (Index p = seen.begin; p < seen.end; p += kWidth<T>) {
        const Lanes<T> lanes(plan.outputs - p);
        store(masked + p, load(scratch.h[i] + p, lanes) * load(call.state_mask + b * plan.outputs + p, lanes), lanes);
      }
      scratch.h[i] = masked;
    }
    if (cell.is_elementwise) {
      for (Index i = 0; i < active; ++i) add_own_past(plan.norms_sum ? input_hat(s, i) : gates(s, i), scratch.h[i]);
    } else {
      product(s, active, scratch.h, plan.hidden, cell.hidden_count, cell.hidden_first, 0);
    }
    if (plan.is_normed) normalise_products(s, active, 0);
    if (plan.norms_sum) {
      for (Index i = 0; i < active; ++i) {
        std::memcpy(gates(s, i), plan.bias, sizeof(T) * static_cast<std::size_t>(plan.slot_row()));
        keep_scale(s, i, 0, add_normalised(input_hat(s, i), 0, 1, call.weights.norm_ih, gates(s, i), true));
      }
    }
    if (plan.has_second()) {
      for (Index i = 0; i < active; ++i) {
        T* gated = scratch.gated + i * plan.outputs_padded;
        cell.between(plan.constants, gates(s, i), scratch.h[i], gated);
        scratch.h[i] = gated;
      }
      plan.team.meet();
      product(s, active, scratch.h, plan.second, 1, cell.second_first, plan.second_gate());
      if (plan.is_normed) normalise_products(s, active, 1);
    }
    for (Index i = 0; i < active; ++i) {
      const Index b = share.rows[i];
      T* c_out = !plan.has_cell_state ? nullptr
                 : plan.is_saving     ? call.cells + (t * call.batch + b) * plan.units
                                      : call.cn + b * plan.units;
      T* h_out = plan.is_projected ? scratch.unprojected + i * plan.padded : call.y.at(t, b);
      cell.forward(plan.constants,
                   {gates(s, i), plan.h_before(t, b), plan.c_before(t, b), h_out, c_out, plan.candidate(t, b),
                    plan.zoneout(call.zoneout_h, t, b), plan.zoneout(call.zoneout_c, t, b)});
    }
    if (plan.is_projected) project(t, active);
  }

  // Adds a product to slots, or lets it stand where it is normalised first.
  void product(Index s, Index active, const T* const* h, const Panels<T>& weights, int gates_of, int slot,
               int gate) const {
    for (Index i = 0; i < active; ++i) {
      scratch.right[i] = plan.is_normed ? hidden_hat(s, i) : plan.norms_sum ? input_hat(s, i) : gates(s, i);
    }
    const Index from = (plan.is_normed ? gate : plan.norms_sum ? 0 : slot) * plan.padded;
    plan.each_run(gates_of, [&](Index run, Index columns) {
      multiply<T>(h, 0, scratch.right, from + run, active, weights.run(run, columns).for_step(s),
                  plan.is_normed ? Start::zero : Start::self, nullptr, true, scratch.pairs, !is_first(run));
    });
  }

  // Without a second product all groups at once, else one after each product.
  void normalise_products(Index s, Index active, int part) const {
    const int begin = part, end = plan.has_second() ? part + 1 : plan.cell.groups;
    for (Index i = 0; i < active; ++i) {
      Index gate = part == 0 ? 0 : plan.second_gate();
      for (int group = begin; group < end; ++group) {
        keep_scale(s, i, 2 + group,
                   add_normalised(hidden_hat(s, i), gate, plan.cell.group_gates[group], call.weights.norm_hh,
                                  gates(s, i), false));
        gate += plan.cell.group_gates[group];
      }
    }
  }

  void add_own_past(T* sum, const T* h) const {
    for (Index u = plan.own.begin; u < plan.own.end; u += kWidth<T>) {
      const Lanes<T> lanes(plan.units - u);
      store(sum + u, load(sum + u) + load(call.weights.weight_hh + u, lanes) * load(h + u, lanes));
    }
  }

  void project(Index t, Index active) const {
    for (Index i = 0; i < active; ++i) {
      scratch.h[i] = scratch.unprojected + i * plan.padded;
      scratch.right[i] = call.y.at(t, share.rows[i]);
    }
    multiply<T>(scratch.h, 0, scratch.right, 0, active, plan.projection, Start::zero, nullptr, false, scratch.pairs);
    const Constants<T>& k = plan.constants;
    if (!k.has_output_clip && !call.zoneout_h.keep) return;
    for (Index i = 0; i < active; ++i) {
      const Index b = share.rows[i];
      T* y = call.y.at(t, b);
      for (Index p = 0; p < plan.outputs; p += kWidth<T>) {
        const Lanes<T> lanes(plan.outputs - p);
        Vector<T> value = load(y + p, lanes);
        if (call.raw_output != nullptr) store(call.raw_output + (t * call.batch + b) * plan.outputs + p, value, lanes);
        if (k.has_output_clip) value = clamped(value, k.output_clip);
        store(y + p, zoned(value, plan.h_before(t, b), plan.zoneout(call.zoneout_h, t, b), k.zoneout_h_unit, p, lanes),
              lanes);
      }
    }
  }

  void final_states() const {
    for (Index i = 0; i < share.count; ++i) {
      const Index b = share.rows[i], length = plan.length(b), last = call.form.reverse ? 0 : length - 1;
      const T* h = length == 0 ? call.h0 + b * plan.outputs : call.y.at(last, b);
      copy(call.hn + b * plan.outputs, h, plan.own_outputs());
      if (!plan.has_cell_state || !plan.is_saving) continue;
      const T* c = length == 0 ? call.c0 + b * plan.units : call.cells + (last * call.batch + b) * plan.units;
      copy(call.cn + b * plan.units, c, plan.own_units());
    }
  }
};

}  // namespace RECUR_ISA
}  // namespace recur
