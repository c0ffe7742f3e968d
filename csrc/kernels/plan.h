// What the forward and the backward loop know of a call: its cell, its sizes, its packed weights, its shares of rows.

#pragma once

#include "asan.h"
#include "kernels/cells.h"
#include "kernels/products.h"
#include "kernels/table.h"
#include "recurrence.h"

namespace recur {
namespace RECUR_ISA {

// Hands out pieces of one block of memory; without a block it only counts. Under AddressSanitizer bytes that no one may
// touch follow each piece.
class Pieces {
 public:
  explicit Pieces(void* block) : block_(static_cast<char*>(block)) {}
  template <class E>
  E* take(Index count) {
    const Index bytes = count * static_cast<Index>(sizeof(E)), room = round_up(bytes, 64) + kRedZone;
    E* piece = block_ == nullptr ? nullptr : reinterpret_cast<E*>(block_ + used_);
    if (block_ != nullptr) {
      ASAN_UNPOISON_MEMORY_REGION(piece, static_cast<std::size_t>(bytes));
      ASAN_POISON_MEMORY_REGION(block_ + used_ + bytes, static_cast<std::size_t>(room - bytes));
    }
    used_ += room;
    return piece;
  }
  Index used() const { return used_; }

 private:
#if defined(RECUR_ASAN)
  static constexpr Index kRedZone = 64;
#else
  static constexpr Index kRedZone = 0;
#endif
  char* block_;
  Index used_ = 0;
};

// One kind of cell: how the products meet its slots, and its pointwise functions. The slots of a product lie side by
// side.
template <class T>
struct CellOf {
  int gates;                       // Blocks of H rows of the weights.
  int slots;                       // Blocks of H in a saved row.
  int input_first;                 // Slots that the product with the input gives, one for each gate,
  int input_gates[kMaxGates];      // and the gate of each.
  int hidden_first, hidden_count;  // Slots to which the product with the state adds: the first gates, in order.
  int second_first;                // The slot of the last gate, whose product is with the gated state; -1 for none.
  int record_slots[kMaxGates];     // Where each gate's value ends up.
  int groups, group_gates[2];      // Gates that layer normalisation takes together.
  bool has_cell_state, is_elementwise, norms_sum;
  void (*forward)(const Constants<T>&, const ForwardRow<T>&);
  void (*backward)(const Constants<T>&, const BackwardRow<T>&);
  void (*between)(const Constants<T>&, T*, const T*, T*);
  void (*between_backward)(const Constants<T>&, const BackwardRow<T>&, const T*, T*);
};

// A cell of so many gates, each with a slot of its own to which both products add.
template <class T, class Pointwise>
CellOf<T> simple_cell(int gates) {
  CellOf<T> cell{};
  cell.gates = cell.slots = cell.hidden_count = gates;
  for (int gate = 0; gate < gates; ++gate) cell.input_gates[gate] = cell.record_slots[gate] = gate;
  cell.second_first = -1;
  cell.groups = 1;
  cell.group_gates[0] = gates;
  cell.forward = Pointwise::template forward<T>;
  cell.backward = Pointwise::template backward<T>;
  return cell;
}

// The same, but the last gate's product is with the state that the others have gated.
template <class T, class Pointwise>
CellOf<T> two_product_cell(int gates) {
  CellOf<T> cell = simple_cell<T, Pointwise>(gates);
  cell.hidden_count = cell.second_first = gates - 1;
  cell.groups = 2;
  cell.group_gates[0] = gates - 1;
  cell.group_gates[1] = 1;
  cell.between = Pointwise::template between<T>;
  cell.between_backward = Pointwise::template between_backward<T>;
  return cell;
}

// A new cell is its pointwise functions in cells.h and an entry here.
template <class T>
CellOf<T> cell_of(CellKind kind) {
  CellOf<T> cell{};
  switch (kind) {
    case CellKind::rnn:
      cell = simple_cell<T, Simple>(1);
      cell.norms_sum = true;
      break;
    case CellKind::indrnn:
      cell = simple_cell<T, Simple>(1);
      cell.norms_sum = cell.is_elementwise = true;
      break;
    case CellKind::lstm:
      cell = simple_cell<T, Lstm<false>>(4);
      cell.has_cell_state = true;
      break;
    case CellKind::lstm_coupled:
      cell = simple_cell<T, Lstm<true>>(3);
      cell.has_cell_state = true;
      break;
    case CellKind::gru:
      // The candidate has two slots, for its products meet only after the reset gate: n of the input, r, z, n of the
      // state.
      cell = simple_cell<T, Gru>(3);
      cell.slots = 4;
      cell.hidden_first = 1;
      for (int slot = 0; slot < 3; ++slot) {
        cell.input_gates[slot] = (slot + 2) % 3;
        cell.record_slots[slot] = (slot + 1) % 3;
      }
      cell.groups = 2;
      cell.group_gates[0] = 2;
      cell.group_gates[1] = 1;
      break;
    case CellKind::gru_reset_before:
      cell = two_product_cell<T, GruResetBefore>(3);
      break;
    case CellKind::mgu:
      cell = two_product_cell<T, Mgu>(2);
      break;
    case CellKind::ligru:
      cell = simple_cell<T, LiGru>(2);
      cell.groups = 2;
      cell.group_gates[0] = cell.group_gates[1] = 1;
      break;
  }
  return cell;
}

constexpr int kScales = 4;  // Of a saved row: of the input's groups, then of the state's.

// Hidden units that one thread computes, or other elements: from `begin` to before `end`.
struct Stretch {
  Index begin, end;
  Index count() const { return begin < end ? end - begin : 0; }
  Stretch below(Index bound) const { return {begin, least(end, bound)}; }
};

// The rows that one thread computes, those with the most steps first.
struct Share {
  const Index* rows;
  Index count;
};

template <class T>
struct Plan {
  const Recurrence<T>& call;
  CellOf<T> cell;
  Constants<T> constants;
  Team team;
  Index units, padded;  // H, and as slots have it
  Stretch own;          // Of `padded`: the units that this thread computes, in whole pieces.
  Index outputs, outputs_padded;
  bool is_normed, norms_sum, is_projected, has_cell_state, is_saving, is_paired;

  Panels<T> input, hidden, second, projection;
  T* bias = nullptr;  // One number for each element of a row of slots.

  // team: Of threads that share the hidden units.
  explicit Plan(const Recurrence<T>& c, const Team& t = {}) : call(c), cell(cell_of<T>(c.form.cell)), team(t) {
    const Form& form = c.form;
    units = c.hidden_size;
    padded = round_up(units, kPiece);
    own = part_of(padded);
    outputs = c.out_size;
    outputs_padded = round_up(outputs, kPiece);
    is_projected = c.weights.weight_hr != nullptr;
    norms_sum = form.layer_norm && cell.norms_sum;
    is_normed = form.layer_norm && !cell.norms_sum;
    has_cell_state = cell.has_cell_state || c.c0 != nullptr;
    is_saving = c.gates != nullptr;
    is_paired = kHasPairs<T> && form.bfloat16 && is_packed();
    constants.units = units;
    constants.padded = padded;
    constants.begin = own.begin;
    constants.end = own.end;
    constants.is_projected = is_projected;
    constants.is_relu = form.nonlinearity == Nonlinearity::relu;
    constants.has_cell_clip = form.cell_clip < kNoBound;
    constants.has_output_clip = form.output_clip < kNoBound;
    constants.cell_clip = static_cast<T>(form.cell_clip);
    constants.output_clip = static_cast<T>(form.output_clip);
    constants.weight_ch = c.weights.weight_ch;
    constants.norm_c = c.weights.norm_c;
    constants.norm_c_bias = c.weights.norm_c_bias;
    constants.zoneout_h_unit = c.zoneout_h.unit;
    constants.zoneout_c_unit = c.zoneout_c.unit;
  }

  static constexpr Index kPiece = kUnitBytes / static_cast<Index>(sizeof(T));
  // How far apart rows of so many elements lie of which products go through many, a few elements of each: an odd number
  // of pieces, since with a power of two all would share a few places of the nearest cache.
  static constexpr Index apart(Index elements) { return (round_up(elements, kPiece) / kPiece | 1) * kPiece; }

  // This thread's part of so many elements, in whole pieces but for the end.
  Stretch part_of(Index elements) const {
    const Index pieces = round_up(elements, kPiece) / kPiece;
    return {pieces * team.part / team.parts * kPiece, least(elements, pieces * (team.part + 1) / team.parts * kPiece)};
  }
  // Calls act(first, count) for the runs of this thread's units in so many slots, or gates, that lie side by side.
  template <class Act>
  void each_run(Index slots, Act act) const {
    if (own.count() == padded) {
      act(0, slots * padded);
    } else {
      for (Index slot = 0; slot < slots; ++slot) act(slot * padded + own.begin, own.count());
    }
  }
  // What this thread writes of a state, and of outputs, all of which one thread has where they are not the units.
  Stretch own_units() const { return own.below(units); }
  Stretch own_outputs() const { return is_projected ? Stretch{0, outputs} : own_units(); }

  Index slot_row() const { return cell.slots * padded; }
  Index gate_row() const { return cell.gates * padded; }
  Index rows_of_chunk() const { return units >= 1024 ? 256 : 128; }
  Index steps_of_chunk(Index rows) const {
    Index steps = rows_of_chunk() / (rows < 1 ? 1 : rows);
    // One that waits for another's chunks is late by one of them.
    const Index few = call.steps < 16 * kFewSteps ? kFewSteps : call.steps / 16;
    if (is_relayed() && steps > few) steps = few;
    return least(call.steps, steps < 1 ? 1 : steps);
  }
  static constexpr Index kFewSteps = 4;
  bool is_relayed() const { return call.below != nullptr || call.done != nullptr; }
  // So many steps are needed of what is read, and are there when this returns; and are written.
  void await(Index count) const {
    if (call.below != nullptr) await_steps(*call.below, count);
  }
  void tell(Index count) const {
    if (call.done != nullptr) tell_steps(*call.done, count);
  }
  bool has_second() const { return cell.second_first >= 0; }
  // The gate whose product is with the gated state.
  int second_gate() const { return cell.hidden_count; }
  int input_slot(int gate) const {
    for (int j = 0; j < cell.gates; ++j) {
      if (cell.input_gates[j] == gate) return cell.input_first + j;
    }
    return -1;
  }
  int hidden_slot(int gate) const { return gate < cell.hidden_count ? cell.hidden_first + gate : cell.second_first; }

  Index length(Index b) const { return call.lengths == nullptr ? call.steps : call.lengths[b]; }
  // How many of a share's rows have a step at time t.
  Index active(const Share& share, Index t) const {
    if (call.lengths == nullptr) return share.count;
    Index low = 0, high = share.count;
    while (low < high) {
      const Index middle = (low + high) / 2;
      (call.lengths[share.rows[middle]] > t ? low : high) =
          (call.lengths[share.rows[middle]] > t ? middle + 1 : middle);
    }
    return low;
  }
  // The time of the s-th step that is computed.
  Index time(Index s) const { return call.form.reverse ? call.steps - 1 - s : s; }
  bool is_reset(Index t, Index b) const { return call.reset && *call.reset.at(t, b); }
  bool is_first(Index t, Index b) const { return call.form.reverse ? t == length(b) - 1 : t == 0; }
  Index before(Index t) const { return call.form.reverse ? t + 1 : t - 1; }

  // The state before a step.
  const T* h_before(Index t, Index b) const {
    if (is_reset(t, b)) return call.h_anew + b * outputs;
    return is_first(t, b) ? call.h0 + b * outputs : call.y.at(before(t), b);
  }
  const T* c_before(Index t, Index b) const {
    if (!has_cell_state) return h_before(t, b);
    if (is_reset(t, b)) return call.c_anew + b * units;
    if (is_first(t, b)) return call.c0 + b * units;
    return is_saving ? call.cells + (before(t) * call.batch + b) * units : call.cn + b * units;
  }
  const T* zoneout(const Zoneout<T>& zone, Index t, Index b) const { return zone.keep ? zone.keep.at(t, b) : nullptr; }
  const T* candidate(Index t, Index b) const { return call.candidate_mask ? call.candidate_mask.at(t, b) : nullptr; }

  // Multiplications of a step of one row.
  Index weights() const { return cell.gates * units * (call.input_size + (cell.is_elementwise ? 0 : outputs)); }
  bool is_packed() const {
    if (call.is_prepacked) return true;
    // Of a step by itself, in which they change after each, and large enough to lie far.
    const bool are_far = is_saving && !call.form.bfloat16 && call.steps == 1 && weights() >= kFarFrom;
    return call.steps * call.batch >= (are_far ? kPackedFarFrom : kPackedFrom);
  }

  // Gives a factor of products its place: panels, or where its columns (or rows) lie.
  void place(Panels<T>& panels, Index depth, Index columns, bool by_columns, Pieces& pieces) const {
    panels.depth = depth;
    panels.columns = columns;
    panels.is_paired = is_paired;
    if (is_packed()) {
      panels.data = pieces.take<T>(panels.size());
    } else if (by_columns) {
      panels.column_at = pieces.take<const T*>(columns);
    } else {
      panels.row_at = pieces.take<const T*>(depth);
    }
  }

  // Room for what a thread multiplies in pairs: so many rows, as the weights see them, or the columns of their gates'
  // gradients, each a row for tiles.
  T* place_pairs(Index rows, bool has_gradients, Pieces& pieces) const {
    if (!is_paired) return nullptr;
    const Index widths[] = {call.input_size, outputs_padded, padded, has_gradients ? gate_row() : 0};
    Index widest = 0;
    for (const Index width : widths) {
      if (width > widest) widest = width;
    }
    const Index along = round_up(rows, kTogether<T>) * row_of_pairs<T>(widest);
    const Index across =
        kHasTiles<T> ? round_up(widest, kTogether<T>) * row_of_pairs<T>(rows) : (rows + 1) / 2 * apart(widest);
    return pieces.take<T>(has_gradients && across > along ? across : along);
  }

  // The rows of a weight matrix in the order of gates `order`, H each, filled up with null; returns their number.
  Index rows_of(const T* weight, Index width, const int* order, int first, int count, const T** rows) const {
    for (int j = 0; j < count; ++j) {
      const Index gate = order == nullptr ? first + j : order[j];
      for (Index u = 0; u < padded; ++u)
        rows[j * padded + u] = u < units ? weight + (gate * units + u) * width : nullptr;
    }
    return count * padded;
  }
  const int* input_order() const { return is_normed || norms_sum ? nullptr : cell.input_gates; }
};

// The panels that one thread packs.
struct PanelShare {
  Index thread, threads;
  Index begin(Index count) const { return count * thread / threads; }
  Index end(Index count) const { return count * (thread + 1) / threads; }
};

}  // namespace RECUR_ISA
}  // namespace recur
