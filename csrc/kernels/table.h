// What the kernels of one instruction set offer to the code that is the same for all of them.

#pragma once

#include <cstdint>

#include "linear.h"
#include "recurrence.h"

namespace recur {

// Weights are packed where they multiply at least so many rows in all: it takes as long as multiplying some four.
constexpr std::int64_t kPackedFrom = 8;
// They are kept where packing counts beside the product, and a second copy is no burden.
constexpr std::int64_t kKeptTo = 256;
constexpr std::int64_t kMostKeptBytes = std::int64_t{64} << 20;

// Work is cut into parts, one for each thread: a part of the packing, which all of them share, then some rows of the
// batch, and backward a part of the sum of what the threads found. Memory is whole pieces of 64 bytes, at such
// addresses.
template <class T>
struct Pass {
  std::int64_t (*shared_bytes)(const Recurrence<T>& call);
  std::int64_t (*part_bytes)(const Recurrence<T>& call, std::int64_t rows);
  void (*pack)(const Recurrence<T>& call, int part, int parts, void* shared, void* scratch);
  void (*run)(const Recurrence<T>& call, const std::int64_t* rows, std::int64_t count, void* shared, void* scratch);
  // Null in the forward pass. scratch: Of every part.
  void (*reduce)(const Recurrence<T>& call, int part, int parts, void* const* scratch);
};

// A linear layer's work comes in stages, one after the other, each cut into the same number of parts.
template <class T>
struct LinearPass {
  std::int64_t (*shared_bytes)(const Linear<T>& call, int parts);
  std::int64_t (*part_bytes)(const Linear<T>& call, int parts);
  int (*stages)(const Linear<T>& call, int parts);
  // scratch: Of every part.
  void (*run)(const Linear<T>& call, int stage, int part, int parts, void* shared, void* const* scratch);
};

template <class T>
struct Kernels {
  Pass<T> forward, backward;
  SavedSizes (*saved_sizes)(const Recurrence<T>& call);
  // What the weights as a forward pass packs them are told by: the sum over all parts, which is the same for any number
  // of them.
  std::uint64_t (*fingerprint)(const Recurrence<T>& call, int part, int parts);
  // Multiplies and adds in registers, `rounds` times; returns how many floating-point operations that was.
  std::int64_t (*work)(std::int64_t rounds, T* sink);
  LinearPass<T> linear_forward, linear_backward;
};

}  // namespace recur
