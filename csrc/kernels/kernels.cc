// The kernels of one instruction set: compiled once for each, with RECUR_ISA as its name and the compiler's flags for
// it.

#include "kernels/backward.h"
#include "kernels/fingerprint.h"
#include "kernels/forward.h"
#include "kernels/linear_passes.h"
#include "kernels/table.h"

namespace recur {
namespace RECUR_ISA {
namespace {

template <class T>
std::int64_t forward_shared(const Recurrence<T>& call) {
  Plan<T> plan(call);
  Pieces pieces(nullptr);
  place_forward(plan, pieces);
  return pieces.used();
}

template <class T>
std::int64_t forward_part(const Recurrence<T>& call, std::int64_t rows) {
  Pieces pieces(nullptr);
  ForwardScratch<T> scratch(Plan<T>(call), rows, pieces);
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
void run_forward(const Recurrence<T>& call, const std::int64_t* rows, std::int64_t count, void* shared, void* memory) {
  Plan<T> plan(call);
  Pieces pieces(shared), own(memory);
  place_forward(plan, pieces);
  const ForwardScratch<T> scratch(plan, count, own);
  const Share share{rows, count};
  Forward<T>{plan, call, share, scratch}.run();
}

template <class T>
std::uint64_t fingerprint(const Recurrence<T>& call, int part, int parts) {
  return fingerprint_part(Plan<T>(call), part, parts);
}

template <class T>
std::int64_t backward_shared(const Recurrence<T>& call) {
  Pieces pieces(nullptr);
  place_backward(Plan<T>(call), pieces);
  return pieces.used();
}

template <class T>
std::int64_t backward_part(const Recurrence<T>& call, std::int64_t rows) {
  Pieces pieces(nullptr);
  BackwardScratch<T> scratch(Plan<T>(call), rows, pieces);
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
void run_backward(const Recurrence<T>& call, const std::int64_t* rows, std::int64_t count, void* shared, void* memory) {
  const Plan<T> plan(call);
  Pieces pieces(shared), own(memory);
  const BackwardPanels<T> panels = place_backward(plan, pieces);
  const BackwardScratch<T> scratch(plan, count, own);
  const Share share{rows, count};
  Backward<T>{plan, call, panels, share, scratch}.run();
}

template <class T>
void reduce_parts(const Recurrence<T>& call, int part, int parts, void* const* scratch) {
  const Plan<T> plan(call);
  Pieces pieces(scratch[0]);
  reduce(plan, Sums<T>(plan, pieces), scratch, parts, {part, parts});
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
  return {{forward_shared<T>, forward_part<T>, pack_forward_part<T>, run_forward<T>, nullptr},
          {backward_shared<T>, backward_part<T>, pack_backward_part<T>, run_backward<T>, reduce_parts<T>},
          saved_sizes_of<T>,
          fingerprint<T>,
          work<T>,
          linear_pass<T, LinearForward<T>>(),
          linear_pass<T, LinearBackward<T>>()};
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
