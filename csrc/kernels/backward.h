// The loop over time, backward: the steps of a chunk from its last to its first, then the gradients of its inputs and
// its part of the weights' gradients.

#pragma once

#include "kernels/plan.h"
#include "kernels/sums.h"

namespace recur {
namespace RECUR_ISA {

// --- packed weights, shared by all threads ---------------------------------------------------------------------------

// The weights as factors of gradients: (gates, inputs) instead of (inputs, gates).
template <class T>
struct BackwardPanels {
  Panels<T> input, hidden, second, projection;
};

template <class T>
BackwardPanels<T> place_backward(const Plan<T>& plan, Pieces& pieces) {
  const auto place = [&](Index depth, Index columns) {
    Panels<T> panels;
    plan.place(panels, depth, columns, false, pieces);
    return panels;
  };
  BackwardPanels<T> panels;
  if (plan.call.dx) panels.input = place(plan.gate_row(), plan.call.input_size);
  if (!plan.cell.is_elementwise) panels.hidden = place(plan.cell.hidden_count * plan.padded, plan.outputs);
  if (plan.has_second()) panels.second = place(plan.padded, plan.outputs);
  if (plan.is_projected) panels.projection = place(plan.outputs, plan.units);
  return panels;
}

template <class T>
void pack_backward(const Plan<T>& plan, const BackwardPanels<T>& panels, const PanelShare& share, void* scratch) {
  const T** rows = static_cast<const T**>(scratch);
  const WeightsOf<const T>& w = plan.call.weights;
  const auto pack = [&](const Panels<T>& all, Stretch own) {
    const Panels<T> to = all.run(own.begin, own.count());
    if (to.row_at != nullptr) {
      // These are not columns, and the same for all parts.
      const bool is_first = share.thread == 0 && plan.team.part == 0;
      for (Index k = 0; k < to.depth && is_first; ++k) const_cast<const T**>(to.row_at)[k] = rows[k];
    } else {
      pack_rows<T>(rows, nullptr, own.begin, to, share.begin(to.count()), share.end(to.count()));
    }
  };
  if (plan.call.dx) {
    plan.rows_of(w.weight_ih, plan.call.input_size, plan.input_order(), 0, plan.cell.gates, rows);
    pack(panels.input, plan.part_of(plan.call.input_size));
  }
  if (!plan.cell.is_elementwise) {
    plan.rows_of(w.weight_hh, plan.outputs, nullptr, 0, plan.cell.hidden_count, rows);
    pack(panels.hidden, plan.own_outputs());
  }
  if (plan.has_second()) {
    plan.rows_of(w.weight_hh, plan.outputs, nullptr, plan.second_gate(), 1, rows);
    pack(panels.second, plan.own_outputs());
  }
  if (plan.is_projected) {
    for (Index p = 0; p < plan.outputs; ++p) rows[p] = w.weight_hr + p * plan.units;
    pack(panels.projection, {0, plan.units});
  }
}

// --- a thread's scratch ----------------------------------------------------------------------------------------------

template <class T>
struct BackwardScratch {
  Sums<T> sums;                                      // First, where `reduce` finds them.
  T *dgates, *dinput = nullptr, *dhidden = nullptr;  // Of a chunk.
  T *dh, *dc = nullptr;                              // Carried from step to step.
  T* through = nullptr;                              // Gradients of the state as the products see it.
  T* spare = nullptr;
  T* gated = nullptr;  // Of a chunk: what the second product saw.
  T *doutput = nullptr, *projected = nullptr, *dprojected = nullptr;
  T *packed, *pairs;
  const T** left;
  T** right;
  const T** other;
  const T** factors;

  // common: What threads that share the units have together; else the same as `pieces`.
  // parts: That the rows are cut into.
  BackwardScratch(const Plan<T>& plan, Index rows, int parts, Pieces& common, Pieces& pieces)
      : sums(plan, parts, common) {
    const Index chunk = plan.steps_of_chunk(rows) * rows;
    dgates = common.take<T>(chunk * plan.apart(plan.slot_row()));
    if (plan.is_normed || plan.norms_sum) dinput = pieces.take<T>(chunk * plan.apart(plan.gate_row()));
    if (plan.is_normed) dhidden = pieces.take<T>(chunk * plan.apart(plan.gate_row()));
    dh = pieces.take<T>(rows * plan.outputs_padded);
    if (plan.has_cell_state) dc = pieces.take<T>(rows * plan.padded);
    if (plan.has_second() || plan.call.state_mask != nullptr) through = pieces.take<T>(rows * plan.outputs_padded);
    spare = pieces.take<T>(rows * plan.padded);
    if (plan.has_second()) gated = common.take<T>(chunk * plan.outputs_padded);
    if (plan.is_projected) {
      doutput = pieces.take<T>(chunk * plan.apart(plan.outputs));
      projected = pieces.take<T>(chunk * plan.padded);
      dprojected = pieces.take<T>(rows * plan.padded);
    }
    Index widest = plan.call.input_size > plan.outputs ? plan.call.input_size : plan.outputs;
    if (plan.units > widest) widest = plan.units;
    packed = pieces.take<T>(Panels<T>::size(Panels<T>::levels_of(chunk, plan.is_paired), widest));
    pairs = plan.place_pairs(chunk, true, pieces);
    const Index pointers = plan.gate_row() > plan.outputs ? plan.gate_row() : plan.outputs;
    left = pieces.take<const T*>(chunk > pointers ? chunk : pointers);
    right = pieces.take<T*>(chunk);
    other = pieces.take<const T*>(chunk);
    factors = pieces.take<const T*>(chunk);
  }
};

// --- the loop --------------------------------------------------------------------------------------------------------

template <class T>
struct Backward {
  const Plan<T>& plan;
  const Recurrence<T>& call;
  const BackwardPanels<T>& panels;
  const Share& share;
  const BackwardScratch<T>& scratch;
  Index first = 0, end = 0;  // Of the chunk's steps.

  Index place(Index s, Index i) const { return (s - first) * share.count + i; }
  T* dgates(Index s, Index i) const { return scratch.dgates + place(s, i) * plan.apart(plan.slot_row()); }
  // Rows whose product with the weights gives the gradient of the input, or the state.
  T* dinput(Index s, Index i) const {
    if (plan.is_normed || plan.norms_sum) return scratch.dinput + place(s, i) * plan.apart(plan.gate_row());
    return dgates(s, i) + plan.cell.input_first * plan.padded;
  }
  T* dhidden(Index s, Index i) const {
    if (plan.is_normed) return scratch.dhidden + place(s, i) * plan.apart(plan.gate_row());
    return plan.norms_sum ? dinput(s, i) : dgates(s, i) + plan.cell.hidden_first * plan.padded;
  }
  T* doutput(Index s, Index i) const { return scratch.doutput + place(s, i) * plan.apart(plan.outputs); }
  // Where the second product's slot lies in such a row.
  Index second_from() const {
    return (plan.is_normed ? plan.second_gate() : plan.cell.second_first - plan.cell.hidden_first) * plan.padded;
  }
  Index saved_row(Index s, Index i) const { return plan.time(s) * call.batch + share.rows[i]; }
  T* dh(Index i) const { return scratch.dh + i * plan.outputs_padded; }
  T* dc(Index i) const { return plan.has_cell_state ? scratch.dc + i * plan.padded : nullptr; }

  void run() {
    scratch.sums.clear(plan);
    begin();
    const Index chunk = plan.steps_of_chunk(share.count);
    for (end = call.steps; end > 0; end = first) {
      // Chunks as they were forward, so the first may be the short one.
      first = (end - 1) / chunk * chunk;
      plan.await(call.steps - first);
      for (Index s = end - 1; s >= first; --s) step(s, plan.active(share, plan.time(s)));
      // The gradient of the inputs is of all units.
      if (plan.cell.is_elementwise) plan.team.meet();
      whole_chunk();
      plan.tell(call.steps - first);
      // The next chunk lies where this one did.
      if (first > 0) plan.team.meet();
    }
    // Weights have a gradient of no steps too.
    if (call.steps == 0) whole_chunk();
    finish();
  }

  // Sets padded elements to zero, or to those of `from` and zero where they end.
  static void begin_with(T* to, Stretch padded, const T* from, Stretch part) {
    std::memset(to + padded.begin, 0, sizeof(T) * static_cast<std::size_t>(padded.count()));
    if (from != nullptr)
      std::memcpy(to + part.begin, from + part.begin, sizeof(T) * static_cast<std::size_t>(part.count()));
  }
  Stretch own_padded_outputs() const { return plan.is_projected ? Stretch{0, plan.outputs_padded} : plan.own; }

  void begin() const {
    const auto clear = [](T* rows, Index at, Stretch part) {
      if (rows != nullptr) std::memset(rows + at + part.begin, 0, sizeof(T) * static_cast<std::size_t>(part.count()));
    };
    const Stretch outputs = plan.own_outputs(), units = plan.own_units();
    for (Index i = 0; i < share.count; ++i) {
      const Index b = share.rows[i];
      begin_with(dh(i), own_padded_outputs(), call.dhn == nullptr ? nullptr : call.dhn + b * plan.outputs, outputs);
      if (plan.has_cell_state)
        begin_with(dc(i), plan.own, call.dcn == nullptr ? nullptr : call.dcn + b * plan.units, units);
      clear(call.dh0, b * plan.outputs, outputs);
      clear(call.dh_anew, b * plan.outputs, outputs);
      clear(call.dc0, b * plan.units, units);
      clear(call.dc_anew, b * plan.units, units);
      if (!call.dx) continue;
      for (Index t = plan.length(b); t < call.steps; ++t) clear(call.dx.at(t, b), 0, plan.part_of(call.input_size));
    }
  }

  void finish() const {
    for (Index i = 0; i < share.count; ++i) {
      const Index b = share.rows[i];
      add(call.dh0 == nullptr ? nullptr : call.dh0 + b * plan.outputs, dh(i), plan.own_outputs());
      if (plan.has_cell_state) add(call.dc0 == nullptr ? nullptr : call.dc0 + b * plan.units, dc(i), plan.own_units());
    }
  }

  static void add(T* to, const T* from, Stretch part) {
    if (to == nullptr) return;
    for (Index p = part.begin; p < part.end; p += kWidth<T>) {
      const Lanes<T> lanes(part.end - p);
      store(to + p, load(to + p, lanes) + load(from + p, lanes), lanes);
    }
  }

  void step(Index s, Index active) const {
    const Index t = plan.time(s);
    const CellOf<T>& cell = plan.cell;
    if (plan.is_projected) through_projection(s, active);
    for (Index i = 0; i < active; ++i) {
      fetch_ahead(s, i);
      cell.backward(plan.constants, row(s, t, i));
    }
    // The gradient of a state is of what all units give back.
    if (!cell.is_elementwise) plan.team.meet();
    if (plan.has_second()) second_product(s, t, active);
    if (plan.is_normed) normalise_products(s, active, 0);
    if (plan.norms_sum) {
      for (Index i = 0; i < active; ++i) {
        T* d = dinput(s, i);
        std::memcpy(d, dgates(s, i), sizeof(T) * static_cast<std::size_t>(plan.padded));
        normalise_backward<T>(d, call.input_hat + saved_row(s, i) * plan.gate_row(), call.weights.norm_ih,
                              scratch.sums.norm_ih, call.scales[saved_row(s, i) * kScales], plan.units, 1, plan.padded);
      }
    }
    if (cell.is_elementwise) {
      for (Index i = 0; i < active; ++i) own_past(s, t, i);
    } else {
      hidden_product(s, active);
    }
    for (Index i = 0; i < active; ++i) hand_back(t, i);
  }

  // Lets what was saved of the step that comes next (the one before, in time) be on its way: it lies far apart, a row
  // here and a row there, and in an order that no processor foresees.
  void fetch_ahead(Index s, Index i) const {
    if (s == 0) return;
    const Index saved = saved_row(s - 1, i);
    const auto fetch = [](const T* from, Stretch part) {
      for (Index u = part.begin; u < part.end; u += Plan<T>::kPiece) {
        __builtin_prefetch(from + u, 0, 2);
        // GCC takes a loop of prefetches alone for one that does nothing.
        asm volatile("");
      }
    };
    plan.each_run(plan.cell.slots,
                  [&](Index run, Index count) { fetch(call.gates + saved * plan.slot_row(), {run, run + count}); });
    if (call.dy) fetch(call.dy.at(plan.time(s - 1), share.rows[i]), plan.own_outputs());
    if (s < 2) return;
    const Index b = share.rows[i], t = plan.time(s - 2);
    if (plan.has_cell_state) fetch(call.cells + (t * call.batch + b) * plan.units, plan.own_units());
    fetch(call.y.at(t, b), plan.own_outputs());
  }

  BackwardRow<T> row(Index s, Index t, Index i) const {
    const Index b = share.rows[i], saved = saved_row(s, i);
    BackwardRow<T> r{};
    r.gates = call.gates + saved * plan.slot_row();
    r.dgates = dgates(s, i);
    r.h = plan.h_before(t, b);
    r.c = plan.c_before(t, b);
    r.dy = plan.is_projected ? scratch.dprojected + i * plan.padded : call.dy ? call.dy.at(t, b) : nullptr;
    r.dh = dh(i);
    r.dc = dc(i);
    r.projected = plan.is_projected ? scratch.projected + place(s, i) * plan.padded : nullptr;
    r.spare = scratch.spare + i * plan.padded;
    r.candidate = plan.candidate(t, b);
    r.zoneout_h = plan.zoneout(call.zoneout_h, t, b);
    r.zoneout_c = plan.zoneout(call.zoneout_c, t, b);
    for (int g = 0; g < kMaxGates; ++g)
      r.drecord[g] = call.dgates[g] == nullptr ? nullptr : call.dgates[g] + saved * plan.units;
    r.dcells = call.dcells == nullptr ? nullptr : call.dcells + saved * plan.units;
    r.dweight_ch = scratch.sums.weight_ch;
    r.dnorm_c = scratch.sums.norm_c;
    r.dnorm_c_bias = scratch.sums.norm_c_bias;
    return r;
  }

  // From the output to what was projected; what zoneout takes stays in dh.
  void through_projection(Index s, Index active) const {
    const Index t = plan.time(s);
    const Constants<T>& k = plan.constants;
    for (Index i = 0; i < active; ++i) {
      const Index b = share.rows[i];
      T* d = doutput(s, i);
      for (Index p = 0; p < plan.outputs; p += kWidth<T>) {
        const Lanes<T> lanes(plan.outputs - p);
        Vector<T> gradient = load(dh(i) + p) + (call.dy ? load(call.dy.at(t, b) + p, lanes) : Vector<T>{});
        const Vector<T> direct =
            take_old_share(gradient, plan.zoneout(call.zoneout_h, t, b), k.zoneout_h_unit, p, lanes);
        store(dh(i) + p, within(direct, lanes));
        if (k.has_output_clip) {
          gradient =
              unclamped(gradient, load(call.raw_output + saved_row(s, i) * plan.outputs + p, lanes), k.output_clip);
        }
        store(d + p, within(gradient, lanes));
      }
      scratch.left[i] = d;
      scratch.right[i] = scratch.dprojected + i * plan.padded;
    }
    multiply<T>(scratch.left, 0, scratch.right, 0, active, panels.projection, Start::zero, nullptr, true,
                scratch.pairs);
  }

  // The state as the products see it, this thread's units.
  const T* h_seen(Index t, Index i, T* room) const {
    const Index b = share.rows[i];
    const T* h = plan.h_before(t, b);
    if (call.state_mask == nullptr) return h;
    const T* mask = call.state_mask + b * plan.outputs;
    const Stretch own = plan.own_outputs();
    for (Index p = own.begin; p < own.end; p += kWidth<T>) {
      const Lanes<T> lanes(plan.outputs - p);
      store(room + p, load(h + p, lanes) * load(mask + p, lanes), lanes);
    }
    return room;
  }

  void second_product(Index s, Index t, Index active) const {
    if (plan.is_normed) normalise_products(s, active, 1);
    for (Index i = 0; i < active; ++i) {
      scratch.left[i] = dhidden(s, i);
      scratch.right[i] = scratch.through + i * plan.outputs_padded;
    }
    own_columns(second_from(), active, panels.second.for_step(s), Start::zero);
    const Stretch own = plan.own_outputs();
    for (Index i = 0; i < active; ++i) {
      T* gated = scratch.gated + place(s, i) * plan.outputs_padded;
      const T* h = h_seen(t, i, gated);
      const BackwardRow<T> r = row(s, t, i);
      plan.cell.between_backward(plan.constants, r, h, scratch.through + i * plan.outputs_padded);
      // The gate of the first slot is what the state was gated with, in either such cell.
      for (Index p = own.begin; p < own.end; p += kWidth<T>) {
        const Lanes<T> lanes(plan.outputs - p);
        store(gated + p, load(h + p, lanes) * load(r.gates + p), lanes);
      }
    }
    plan.team.meet();
  }

  // This thread's columns of the product of rows of gates with a weight; rows are as `dh` has them.
  void own_columns(Index from, Index active, const Panels<T>& weight, Start start) const {
    const Stretch own = plan.own_outputs();
    multiply<T>(scratch.left, from, scratch.right, own.begin, active, weight.run(own.begin, own.count()), start,
                nullptr, true, scratch.pairs);
  }

  void normalise_products(Index s, Index active, int part) const {
    const int begin_group = part, end_group = plan.has_second() ? part + 1 : plan.cell.groups;
    for (Index i = 0; i < active; ++i) {
      Index gate = part == 0 ? 0 : plan.second_gate();
      for (int group = begin_group; group < end_group; ++group) {
        const int count = plan.cell.group_gates[group];
        for (Index g = gate; g < gate + count; ++g) {
          std::memcpy(dhidden(s, i) + g * plan.padded,
                      dgates(s, i) + plan.hidden_slot(static_cast<int>(g)) * plan.padded,
                      sizeof(T) * static_cast<std::size_t>(plan.padded));
        }
        normalise_backward<T>(dhidden(s, i) + gate * plan.padded,
                              call.hidden_hat + saved_row(s, i) * plan.gate_row() + gate * plan.padded,
                              call.weights.norm_hh + gate * plan.units,
                              scratch.sums.norm_hh == nullptr ? nullptr : scratch.sums.norm_hh + gate * plan.units,
                              call.scales[saved_row(s, i) * kScales + 2 + group], plan.units, count, plan.padded);
        gate += count;
      }
    }
  }

  // Adds what comes through the product with the state to dh.
  void hidden_product(Index s, Index active) const {
    for (Index i = 0; i < active; ++i) {
      scratch.left[i] = dhidden(s, i);
      scratch.right[i] = scratch.through == nullptr ? dh(i) : scratch.through + i * plan.outputs_padded;
    }
    const Start start = scratch.through != nullptr && !plan.has_second() ? Start::zero : Start::self;
    own_columns(0, active, panels.hidden.for_step(s), start);
    if (scratch.through == nullptr) return;
    const Stretch own = plan.own_outputs();
    for (Index i = 0; i < active; ++i) {
      const T* mask = call.state_mask == nullptr ? nullptr : call.state_mask + share.rows[i] * plan.outputs;
      for (Index p = own.begin; p < own.end; p += kWidth<T>) {
        const Lanes<T> lanes(plan.outputs - p);
        const Vector<T> d = load(scratch.through + i * plan.outputs_padded + p);
        store(dh(i) + p, load(dh(i) + p) + within(mask == nullptr ? d : d * load(mask + p, lanes), lanes));
      }
    }
  }

  // Of an IndRNN.
  void own_past(Index s, Index t, Index i) const {
    const Index b = share.rows[i];
    const T* d = dhidden(s, i);
    const T* h = plan.h_before(t, b);
    const T* mask = call.state_mask == nullptr ? nullptr : call.state_mask + b * plan.outputs;
    T* sum = scratch.sums.own_past;
    for (Index u = plan.own.begin; u < plan.own.end; u += kWidth<T>) {
      const Lanes<T> lanes(plan.units - u);
      const Vector<T> factor = mask == nullptr ? splat(T(1)) : load(mask + u, lanes), value = load(d + u);
      store(dh(i) + u, load(dh(i) + u) + within(value * load(call.weights.weight_hh + u, lanes) * factor, lanes));
      if (sum != nullptr) store(sum + u, load(sum + u) + within(value * load(h + u, lanes) * factor, lanes));
    }
  }

  void hand_back(Index t, Index i) const {
    const double bound = call.form.gradient_clip;
    if (bound < kNoBound) {
      clip(dh(i), own_padded_outputs(), static_cast<T>(bound));
      if (plan.has_cell_state) clip(dc(i), plan.own, static_cast<T>(bound));
    }
    const Index b = share.rows[i];
    if (!plan.is_reset(t, b)) return;
    add(call.dh_anew == nullptr ? nullptr : call.dh_anew + b * plan.outputs, dh(i), plan.own_outputs());
    begin_with(dh(i), own_padded_outputs(), nullptr, {});
    if (!plan.has_cell_state) return;
    add(call.dc_anew == nullptr ? nullptr : call.dc_anew + b * plan.units, dc(i), plan.own_units());
    begin_with(dc(i), plan.own, nullptr, {});
  }

  static void clip(T* values, Stretch part, T bound) {
    for (Index p = part.begin; p < part.end; p += kWidth<T>) store(values + p, clamped<T>(load(values + p), bound));
  }

  // --- a chunk's products ---

  void whole_chunk() const {
    Index count = 0;
    for (Index s = first; s < end; ++s) {
      const Index t = plan.time(s), active = plan.active(share, t);
      for (Index i = 0; i < active; ++i, ++count) {
        if (plan.is_normed) normalise_input(s, i);
        if (call.dx) scratch.right[count] = call.dx.at(t, share.rows[i]);
        scratch.left[count] = dinput(s, i);
        scratch.other[count] = call.x.at(t, share.rows[i]);
      }
    }
    const Sums<T>& sums = scratch.sums;
    if (call.dx) {
      const Stretch own = plan.part_of(call.input_size);
      multiply<T>(scratch.left, 0, scratch.right, own.begin, count, panels.input.run(own.begin, own.count()),
                  Start::zero, nullptr, false, scratch.pairs);
    }
    const WeightsOf<T>& wanted = call.dweights;
    if (wanted.weight_ih != nullptr) {
      add_products(count, 0, {plan.input_order(), 0, plan.cell.gates}, nullptr, call.input_size,
                   {wanted.weight_ih, sums.input, sums.input_stride});
    }
    if (wanted.weight_hh != nullptr && !plan.cell.is_elementwise) {
      each(count, [&](Index at, Index s, Index t, Index i) {
        scratch.left[at] = dhidden(s, i);
        scratch.other[at] = plan.h_before(t, share.rows[i]);
        if (call.state_mask != nullptr) scratch.factors[at] = call.state_mask + share.rows[i] * plan.outputs;
      });
      const T* const* factors = call.state_mask == nullptr ? nullptr : scratch.factors;
      add_products(count, 0, {nullptr, 0, plan.cell.hidden_count}, factors, plan.outputs,
                   {wanted.weight_hh, sums.hidden, sums.output_stride});
      if (plan.has_second()) {
        each(count, [&](Index at, Index s, Index, Index i) {
          scratch.other[at] = scratch.gated + place(s, i) * plan.outputs_padded;
        });
        add_products(count, second_from(), {nullptr, plan.second_gate(), 1}, nullptr, plan.outputs,
                     {wanted.weight_hh, sums.second, sums.output_stride});
      }
    }
    if (wanted.weight_hr != nullptr) {
      each(count, [&](Index at, Index s, Index, Index i) {
        scratch.left[at] = doutput(s, i);
        scratch.other[at] = scratch.projected + place(s, i) * plan.padded;
      });
      const Panels<T> packed = packed_rows(count, nullptr, plan.units);
      if (sums.projection == nullptr) {
        add_product(0, plan.outputs, packed, wanted.weight_hr, plan.units);
      } else {
        add_product(0, plan.outputs, packed, sums.projection, sums.unit_stride);
      }
    }
    if (sums.bias != nullptr) {
      each(count, [&](Index at, Index s, Index, Index i) { scratch.left[at] = dgates(s, i); });
      plan.each_run(plan.cell.slots,
                    [&](Index run, Index width) { add_rows(scratch.left, count, sums.bias, run, width); });
    }
    sums.keep(plan);
  }

  template <class Do>
  void each(Index, Do act) const {
    Index at = 0;
    for (Index s = first; s < end; ++s) {
      const Index t = plan.time(s), active = plan.active(share, t);
      for (Index i = 0; i < active; ++i, ++at) act(at, s, t, i);
    }
  }

  // sum += every row; a few vectors at a time, which stay in registers. Some rows are added up by themselves first, and
  // all of them before what the sum has come to: beside that each would be rounded as coarsely as it.
  static void add_rows(const T* const* rows, Index count, T* sum, Index first, Index width) {
    constexpr int W = kWidth<T>;
    const Index end = first + width;
    Index u = first;
    for (; u + 4 * W <= end; u += 4 * W) add_vectors<4>(rows, count, sum, u);
    for (; u < end; u += W) add_vectors<1>(rows, count, sum, u);
  }
  template <int kTogether>
  static void add_vectors(const T* const* rows, Index count, T* sum, Index u) {
    constexpr Index kSome = 16;
    constexpr int W = kWidth<T>;
    Vector<T> total[kTogether]{};
    for (Index first = 0; first < count; first += kSome) {
      const Index end = least(count, first + kSome);
      Vector<T> some[kTogether]{};
      for (Index k = first; k < end; ++k) {
        RECUR_UNROLL for (int v = 0; v < kTogether; ++v) some[v] += load(rows[k] + u + v * W);
      }
      RECUR_UNROLL for (int v = 0; v < kTogether; ++v) total[v] += some[v];
    }
    RECUR_UNROLL for (int v = 0; v < kTogether; ++v) store(sum + u + v * W, load(sum + u + v * W) + total[v]);
  }

  // Some gates of a weight matrix, in the order in which the products have them.
  struct Gates {
    const int* order;  // Null where it is the order of the weights, from `first` on.
    int first, count;
  };
  // Where the gradient of a matrix goes: this part's sum, or where there is none, the gradient itself.
  struct Target {
    T *gradient, *sum;
    Index stride;  // Of `sum`.
  };

  // Adds to the gradient of some gates the rows of `left` from an element on, times those of `other`; this thread's
  // units.
  void add_products(Index count, Index from, const Gates& gates, const T* const* factors, Index columns,
                    const Target& to) const {
    const Panels<T> packed = packed_rows(count, factors, columns);
    if (to.sum != nullptr) {
      plan.each_run(gates.count, [&](Index run, Index rows) {
        add_product(from + run, rows, packed, to.sum + run * to.stride, to.stride);
      });
      return;
    }
    const Stretch own = plan.own_units();
    for (int j = 0; j < gates.count; ++j) {
      const Index gate = gates.order == nullptr ? gates.first + j : gates.order[j];
      add_product(from + j * plan.padded + own.begin, own.count(), packed,
                  to.gradient + (gate * plan.units + own.begin) * columns, columns);
    }
  }
  void add_product(Index from, Index rows, const Panels<T>& packed, T* to, Index stride) const {
    const Start start = end == call.steps ? Start::zero : Start::self;
    if (!packed.is_paired) return multiply_outer<T>(scratch.left, from, rows, packed, to, stride, start);
    if constexpr (kHasTiles<T>) {
      const Index row = row_of_pairs<T>(packed.depth);
      pair_columns(scratch.left, from, packed.depth, rows, scratch.pairs, row);
      multiply_tiles(scratch.pairs, row, rows, packed, [&](Index m) { return to + m * stride; }, start, nullptr, false);
    } else {
      const Index width = plan.apart(rows);
      pair_rows(scratch.left, from, packed.depth, rows, scratch.pairs, width);
      for (Index k = 0; k < packed.levels(); ++k) scratch.right[k] = scratch.pairs + k * width;
      multiply_outer<T>(scratch.right, 0, rows, packed, to, stride, start);
    }
  }

  // The rows of `other`, packed.
  Panels<T> packed_rows(Index count, const T* const* factors, Index columns) const {
    Panels<T> packed;
    packed.data = scratch.packed;
    packed.depth = count;
    packed.columns = columns;
    packed.is_paired = plan.is_paired;
    pack_rows<T>(scratch.other, factors, 0, packed, 0, packed.count());
    return packed;
  }

  void normalise_input(Index s, Index i) const {
    Index gate = 0;
    for (int group = 0; group < plan.cell.groups; ++group) {
      const int count = plan.cell.group_gates[group];
      for (Index g = gate; g < gate + count; ++g) {
        std::memcpy(dinput(s, i) + g * plan.padded, dgates(s, i) + plan.input_slot(static_cast<int>(g)) * plan.padded,
                    sizeof(T) * static_cast<std::size_t>(plan.padded));
      }
      normalise_backward<T>(dinput(s, i) + gate * plan.padded,
                            call.input_hat + saved_row(s, i) * plan.gate_row() + gate * plan.padded,
                            call.weights.norm_ih + gate * plan.units,
                            scratch.sums.norm_ih == nullptr ? nullptr : scratch.sums.norm_ih + gate * plan.units,
                            call.scales[saved_row(s, i) * kScales + group], plan.units, count, plan.padded);
      gate += count;
    }
  }
};

}  // namespace RECUR_ISA
}  // namespace recur
