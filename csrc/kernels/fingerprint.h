// A number that stands for the weights that a forward pass packs.

#pragma once

#include "kernels/plan.h"

namespace recur {
namespace RECUR_ISA {

// 64 bits that stand for a piece of memory: other than before when any one word has changed, and when several have but
// for a chance in 2^64. Not against someone who looks for pieces that agree.
//
// There are two sums, for a multiplication moves a change of the highest bit nowhere: in the first alone, numbers whose
// signs change could make up for each other.
inline std::uint64_t fingerprint_of(const void* data, Index bytes, std::uint64_t seed) {
  typedef std::uint64_t Words __attribute__((vector_size(kVectorBytes)));
  constexpr int kSums = 8, kWords = kVectorBytes / 8;
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  Words first{}, sums[kSums], turned[kSums];
  for (int j = 0; j < kWords; ++j) first[j] = seed + kOdd * static_cast<std::uint64_t>(j + 1);
  for (int i = 0; i < kSums; ++i) turned[i] = sums[i] = first ^ (Words{} + static_cast<std::uint64_t>(i));
  const char* at = static_cast<const char*>(data);
  const auto add = [&](const char* from) {
    RECUR_UNROLL for (int i = 0; i < kSums; ++i) {
      Words words;
      std::memcpy(&words, from + i * kVectorBytes, sizeof(words));
      // Each of these can be undone, so a change of one word stays one.
      sums[i] ^= words;
      sums[i] ^= sums[i] >> 29;
      sums[i] *= kOdd;
      turned[i] = (turned[i] << 1 | turned[i] >> 63) + words;
    }
  };
  for (; bytes >= Index{sizeof(sums)}; bytes -= Index{sizeof(sums)}, at += sizeof(sums)) add(at);
  if (bytes > 0) {
    char rest[sizeof(sums)] = {};
    std::memcpy(rest, at, static_cast<std::size_t>(bytes));
    add(rest);
  }
  std::uint64_t all = seed;
  for (int i = 0; i < kSums; ++i) {
    for (int j = 0; j < kWords; ++j) {
      const std::uint64_t both[] = {sums[i][j], turned[i][j]};
      for (const std::uint64_t word : both) {
        all ^= word;
        all ^= all >> 32;
        all *= kOdd;
      }
    }
  }
  return all ^ all >> 29;
}

// One part's share of the fingerprint of all that `pack_forward` reads and that says how it packs; the whole is the sum
// over the parts, however many there are.
template <class T>
std::uint64_t fingerprint_part(const Plan<T>& plan, int part, int parts) {
  constexpr Index kPiece = Index{1} << 15;
  const WeightsOf<const T>& w = plan.call.weights;
  const CellOf<T>& cell = plan.cell;
  const Index rows = cell.gates * plan.units;
  const Index form[] = {static_cast<Index>(plan.call.form.cell),
                        plan.call.form.layer_norm,
                        plan.is_paired,
                        plan.call.input_size,
                        plan.units,
                        plan.outputs,
                        w.bias_ih != nullptr,
                        plan.is_projected};
  const struct {
    const void* data;
    Index bytes;
  } arrays[] = {{form, Index{sizeof(form)}},
                {w.weight_ih, rows * plan.call.input_size * Index{sizeof(T)}},
                // Else it is not packed.
                {w.weight_hh, cell.is_elementwise ? 0 : rows * plan.outputs * Index{sizeof(T)}},
                {w.bias_ih, w.bias_ih == nullptr ? 0 : rows * Index{sizeof(T)}},
                {w.bias_hh, w.bias_hh == nullptr ? 0 : rows * Index{sizeof(T)}},
                {w.weight_hr, plan.is_projected ? plan.outputs * plan.units * Index{sizeof(T)} : 0}};
  std::uint64_t sum = 0;
  Index number = 0;
  for (const auto& array : arrays) {
    for (Index from = 0; from < array.bytes; from += kPiece) {
      if (number++ % parts != part) continue;
      sum += fingerprint_of(static_cast<const char*>(array.data) + from, least(kPiece, array.bytes - from),
                            static_cast<std::uint64_t>(number) << 32);
    }
  }
  return sum;
}

}  // namespace RECUR_ISA
}  // namespace recur
