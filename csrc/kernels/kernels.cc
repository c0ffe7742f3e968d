// The kernels of one instruction set: compiled once for each, with RECUR_ISA as its name and the compiler's flags for
// it.

#include "kernels/backward.h"
#include "kernels/denormals.h"
#include "kernels/fingerprint.h"
#include "kernels/forward.h"
#include "kernels/linear_passes.h"
#include "kernels/random.h"
#include "kernels/table.h"

namespace recur {
namespace RECUR_ISA {
namespace {

template <class T>
std::int64_t forward_shared(const Recurrence<T>& call, const Parts& cut) {
  Plan<T> plan(call);
  Pieces pieces(nullptr), own(nullptr);
  place_forward(plan, pieces);
  if (cut.are_units) ForwardScratch<T>(plan, call.batch, pieces, own);
  return pieces.used();
}

template <class T>
std::int64_t forward_part(const Recurrence<T>& call, std::int64_t rows, const Parts& cut) {
  Pieces common(nullptr), pieces(nullptr);
  ForwardScratch<T>(Plan<T>(call), rows, cut.are_units ? common : pieces, pieces);
  return pieces.used();
}

template <class T>
void pack_forward_part(const Recurrence<T>& call, int part, int parts, void* shared, void* memory) {
  Plan<T> plan(call);
  Pieces pieces(shared);
  place_forward(plan, pieces);
  Pieces own(memory);
  pack_forward(plan, {part, parts}, own.take<const T*>(packing_pointers(plan)));
}

template <class T>
void run_forward(const Recurrence<T>& call, const std::int64_t* rows, std::int64_t count, int, void* shared,
                 void* memory) {
  Plan<T> plan(call);
  Pieces pieces(shared), own(memory);
  place_forward(plan, pieces);
  const ForwardScratch<T> scratch(plan, count, own, own);
  const Share share{rows, count};
  Forward<T>{plan, call, share, scratch}.run();
}

template <class T>
void run_forward_units(const Recurrence<T>& call, const std::int64_t* rows, const Team& team, void* shared,
                       void* memory, void* packed) {
  Plan<T> plan(call, team);
  Pieces pieces(shared), kept(packed), own(memory);
  place_forward(plan, pieces);
  const ForwardScratch<T> scratch(plan, call.batch, pieces, own);
  if (packed == nullptr) {
    pack_forward(plan, {0, 1}, scratch.left);
  } else {
    place_forward(plan, kept);
  }
  const Share share{rows, call.batch};
  Forward<T>{plan, call, share, scratch}.run();
}

// What a part of a team packs, before there is the team.
template <class T>
void pack_forward_units(const Recurrence<T>& call, int part, int parts, void* shared, void* memory) {
  Plan<T> plan(call, {part, parts, nullptr});
  Pieces pieces(shared), own(memory);
  place_forward(plan, pieces);
  pack_forward(plan, {0, 1}, own.take<const T*>(packing_pointers(plan)));
}

template <class T>
std::uint64_t fingerprint(const Recurrence<T>& call, int part, int parts) {
  return fingerprint_part(Plan<T>(call), part, parts);
}

template <class T>
std::int64_t backward_shared(const Recurrence<T>& call, const Parts& cut) {
  const Plan<T> plan(call);
  Pieces pieces(nullptr), own(nullptr);
  place_backward(plan, pieces);
  if (cut.are_units) BackwardScratch<T>(plan, call.batch, 1, pieces, own);
  return pieces.used();
}

template <class T>
std::int64_t backward_part(const Recurrence<T>& call, std::int64_t rows, const Parts& cut) {
  Pieces common(nullptr), pieces(nullptr);
  BackwardScratch<T>(Plan<T>(call), rows, cut.are_units ? 1 : cut.count, cut.are_units ? common : pieces, pieces);
  return pieces.used();
}

template <class T>
void pack_backward_part(const Recurrence<T>& call, int part, int parts, void* shared, void* memory) {
  const Plan<T> plan(call);
  Pieces pieces(shared), own(memory);
  const BackwardPanels<T> panels = place_backward(plan, pieces);
  pack_backward(plan, panels, {part, parts}, own.take<const T*>(packing_pointers(plan)));
}

template <class T>
void run_backward(const Recurrence<T>& call, const std::int64_t* rows, std::int64_t count, int parts, void* shared,
                  void* memory) {
  const FlushDenormals flush;
  const Plan<T> plan(call);
  Pieces pieces(shared), own(memory);
  const BackwardPanels<T> panels = place_backward(plan, pieces);
  const BackwardScratch<T> scratch(plan, count, parts, own, own);
  const Share share{rows, count};
  Backward<T>{plan, call, panels, share, scratch}.run();
}

template <class T>
void reduce_parts(const Recurrence<T>& call, int part, int parts, void* const* scratch) {
  const FlushDenormals flush;
  const Plan<T> plan(call);
  Pieces pieces(scratch[0]);
  const PanelShare share{part, parts};
  reduce(plan, Sums<T>(plan, parts, pieces), scratch, parts, {share.begin(plan.units), share.end(plan.units)},
         {share.begin(plan.outputs), share.end(plan.outputs)});
}

template <class T>
void run_backward_units(const Recurrence<T>& call, const std::int64_t* rows, const Team& team, void* shared,
                        void* memory, void*) {
  const FlushDenormals flush;
  const Plan<T> plan(call, team);
  Pieces pieces(shared), own(memory);
  const BackwardPanels<T> panels = place_backward(plan, pieces);
  const BackwardScratch<T> scratch(plan, call.batch, 1, pieces, own);
  pack_backward(plan, panels, {0, 1}, scratch.left);
  // Where rows lie one part has written, for all.
  if (!plan.is_packed()) team.meet();
  const Share share{rows, call.batch};
  Backward<T>{plan, call, panels, share, scratch}.run();
  reduce(plan, scratch.sums, &shared, 1, plan.own_units(), {0, 0});
}

template <class T>
UnitSplit unit_split_of(const Recurrence<T>& call) {
  const Plan<T> plan(call);
  const CellOf<T>& cell = plan.cell;
  const bool has_split = !call.form.layer_norm && !plan.is_projected;
  return {has_split ? plan.padded / Plan<T>::kPiece : 0, plan.is_paired ? plan.weights() / 2 : plan.weights(),
          cell.is_elementwise ? 0
          : plan.has_second() ? 2
                              : 1,
          plan.is_packed()};
}

template <class T>
SavedSizes saved_sizes_of(const Recurrence<T>& call) {
  const Plan<T> plan(call);
  const Index rows = call.steps * call.batch;
  SavedSizes sizes{};
  sizes.gates = rows * plan.slot_row();
  sizes.cells = plan.has_cell_state ? rows * plan.units : 0;
  sizes.input_hat = call.form.layer_norm ? rows * plan.gate_row() : 0;
  sizes.hidden_hat = plan.is_normed ? rows * plan.gate_row() : 0;
  sizes.scales = call.form.layer_norm ? rows * kScales : 0;
  sizes.raw_output = plan.is_projected && plan.constants.has_output_clip ? rows * plan.outputs : 0;
  sizes.slots = plan.cell.slots;
  sizes.padded_size = plan.padded;
  for (int gate = 0; gate < kMaxGates; ++gate) sizes.slot_of_gate[gate] = plan.cell.record_slots[gate];
  return sizes;
}

template <class T>
std::int64_t work(std::int64_t rounds, T* sink) {
  constexpr int kSums = kPanelVectors == 4 ? 24 : 12;
  Vector<T> sums[kSums];
  RECUR_UNROLL for (int i = 0; i < kSums; ++i) sums[i] = splat(static_cast<T>(i));
  const Vector<T> a = splat(sink[0]), b = splat(sink[1]);
  for (std::int64_t n = 0; n < rounds; ++n) {
    RECUR_UNROLL for (int i = 0; i < kSums; ++i) sums[i] = sums[i] * a + b;
  }
  Vector<T> total{};
  RECUR_UNROLL for (int i = 0; i < kSums; ++i) total += sums[i];
  sink[0] = sum_of<T>(total);
  return rounds * kSums * kWidth<T> * 2;
}

template <class T, class Run>
constexpr LinearPass<T> linear_pass() {
  return {[](const Linear<T>& call, int parts) { return Run(call, 0, parts, nullptr, nullptr).shared_bytes(); },
          [](const Linear<T>& call, int parts) { return Run(call, 0, parts, nullptr, nullptr).part_bytes(); },
          [](const Linear<T>& call, int parts) { return Run(call, 0, parts, nullptr, nullptr).stages(); },
          [](const Linear<T>& call, int stage, int part, int parts, void* shared, void* const* scratch) {
            Run(call, part, parts, shared, scratch).run(stage);
          }};
}

template <class T>
constexpr Kernels<T> table() {
  return {{forward_shared<T>, forward_part<T>, pack_forward_part<T>, run_forward<T>, nullptr, pack_forward_units<T>,
           run_forward_units<T>},
          {backward_shared<T>, backward_part<T>, pack_backward_part<T>, run_backward<T>, reduce_parts<T>, nullptr,
           run_backward_units<T>},
          saved_sizes_of<T>,
          fingerprint<T>,
          unit_split_of<T>,
          work<T>,
          linear_pass<T, LinearForward<T>>(),
          linear_pass<T, LinearBackward<T>>(),
          draw_part<T>};
}

}  // namespace

extern const Kernels<float> kernels_float32;
const Kernels<float> kernels_float32 = table<float>();
#if !defined(__AVX512BF16__)
// What that has more is of no use to them.
extern const Kernels<double> kernels_float64;
const Kernels<double> kernels_float64 = table<double>();
#endif

}  // namespace RECUR_ISA
}  // namespace recur
