// Random masks, each element by itself one value with a probability and else 0.
//
// Plain pointers and sizes; nothing here checks what it is given.

#pragma once

#include <cstdint>

#include "recurrence.h"

namespace recur {

template <class T>
struct Mask {
  std::uint64_t key = 0;  // Of all that is random.
  double share = 0;       // Probability of `value`, rounded up to a multiple of 2^-32; at 0 never and at 1 always.
  T value = 1;
  std::int64_t count = 0;
  T* data = nullptr;  // (count,)
};

// Elements of a mask that are drawn together; parts begin at multiples of it.
constexpr std::int64_t kMaskGroup = 64;

// Writes the mask. Each element depends on the key and on its place alone, neither on the number of threads nor on the
// instruction set.
//
// The random numbers are those of Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"),
// with block n of the stream of `key` in the first two words of the counter. A group has 16 blocks: first the first
// word of each, then the second of each, and so on.
template <class T>
void draw(const Mask<T>& mask, int threads);

}  // namespace recur
