// What the kernels of one instruction set offer to the code that is the same for all of them.

#pragma once

#include <cstdint>

#include "linear.h"
#include "mask.h"
#include "recurrence.h"

namespace recur {

// Weights are packed where they multiply at least so many rows in all: it takes as long as multiplying some four; and
// where there are so many of them that they are not in a cache, some thirty.
//
// Measured on two processors of AMD Zen 5, float32, learning one step, in milliseconds, packed / not: LSTM 512 with
// B = 16 3.1 / 2.2, B = 32 2.7 / 2.5, B = 64 3.6 / 4.5, LSTM 1024 with B = 32 11.9 / 10.3, GRU 1024 with B = 16
// 7.7 / 5.6, LSTM 256 with B = 16 0.35 / 0.39.
constexpr std::int64_t kPackedFrom = 8, kPackedFarFrom = 33, kFarFrom = std::int64_t{3} << 19;
// They are kept where packing counts beside the product, and a second copy is no burden.
constexpr std::int64_t kKeptTo = 256;
constexpr std::int64_t kMostKeptBytes = std::int64_t{64} << 20;

// How the hidden units of a call can be divided among threads.
struct UnitSplit {
  std::int64_t pieces;   // Which no two threads share; 0 where the form has no such split.
  std::int64_t weights;  // Multiplications of a step of one row; a pair of numbers counts as one.
  int meetings;          // Of all threads, in a step.
  bool is_packed;        // Whether the weights are packed; else each part by rows reads all of them where they lie.
};

class Barrier;
class Relay;

// Those of a relay, for the kernels, which know it by name only.
void await_steps(const Relay& relay, std::int64_t steps);
void tell_steps(Relay& relay, std::int64_t steps);

// A thread among those that compute a call together.
struct Team {
  int part = 0, parts = 1;
  Barrier* barrier = nullptr;

  // Returns when all of them have come here; what each has written before, all see then.
  void meet() const;
};

// How a call is cut among threads: the rows into so many parts, or the hidden units of all rows.
struct Parts {
  int count;
  bool are_units;
};

// Work is cut into parts, one for each thread: a part of the packing, which all of them share, then some rows of the
// batch, and backward a part of the sum of what the threads found. Memory is whole pieces of 64 bytes, at such
// addresses.
template <class T>
struct Pass {
  std::int64_t (*shared_bytes)(const Recurrence<T>& call, const Parts& cut);
  std::int64_t (*part_bytes)(const Recurrence<T>& call, std::int64_t rows, const Parts& cut);
  void (*pack)(const Recurrence<T>& call, int part, int parts, void* shared, void* scratch);
  // parts: That the rows are cut into; these are one of them.
  void (*run)(const Recurrence<T>& call, const std::int64_t* rows, std::int64_t count, int parts, void* shared,
              void* scratch);
  // Null in the forward pass. scratch: Of every part.
  void (*reduce)(const Recurrence<T>& call, int part, int parts, void* const* scratch);

  // Or each part has some hidden units of all rows, from the packing to the sums, and the parts run side by side.
  //
  // packed: What as many parts have packed before, or null; forward only.
  void (*pack_units)(const Recurrence<T>& call, int part, int parts, void* packed, void* scratch);
  void (*run_units)(const Recurrence<T>& call, const std::int64_t* rows, const Team& team, void* shared, void* scratch,
                    void* packed);
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
  UnitSplit (*unit_split)(const Recurrence<T>& call);
  // Multiplies and adds in registers, `rounds` times; returns how many floating-point operations that was.
  std::int64_t (*work)(std::int64_t rounds, T* sink);
  LinearPass<T> linear_forward, linear_backward;
  // Writes `count` elements of the mask, those from `first` on, a multiple of kMaskGroup.
  void (*draw)(const Mask<T>& mask, std::int64_t first, std::int64_t count, T* to);
};

}  // namespace recur
