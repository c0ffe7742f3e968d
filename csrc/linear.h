// A linear layer, y = x Wᵀ + b, and its gradients.
//
// Plain pointers and sizes; nothing here checks what it is given. Shapes use the letters N (rows), I (inputs), O
// (outputs). Arrays are row-major and dense but where a `Sequence` says how far rows lie apart. None may overlap one
// that is written.

#pragma once

#include <cstdint>

#include "memory.h"
#include "recurrence.h"

namespace recur {

template <class T>
struct Linear {
  std::int64_t steps = 0, batch = 0;  // N = steps * batch rows: those of the first step, then those of the next.
  std::int64_t inputs = 0, outputs = 0;

  Sequence<const T> x;        // (N, I)
  const T* weight = nullptr;  // (O, I)
  const T* bias = nullptr;    // (O,), or null for none.

  // Forward.
  T* y = nullptr;          // (N, O)
  bool is_across = false;  // The weight is (I, O), and y = x W.
  bool adds = false;       // y is added to, and there is no bias.
  bool is_kept = false;    // The packed weight is kept, see `PackedLinear`.

  // Backward: gradients, null where they are not wanted.
  Sequence<const T> dy;  // (N, O)
  T* dx = nullptr;       // (N, I)
  T* dweight = nullptr;  // (O, I)
  T* dbias = nullptr;    // (O,)

  RECUR_INLINE std::int64_t rows() const { return steps * batch; }
};

// Writes y. Bit for bit the same for a given number of threads.
//
// Throws std::bad_alloc.
template <class T>
void forward(const Linear<T>& call, int threads);

// Writes the gradients that are wanted, from x, weight and dy.
//
// Throws std::bad_alloc.
template <class T>
void backward(const Linear<T>& call, int threads);

template <class T>
struct LinearPass;

// A weight that is packed once for many products; what it was packed from may change then, or go away.
template <class T>
class PackedLinear {
 public:
  // layer: I, O, the weight, and whether it is across.
  //
  // Throws std::bad_alloc.
  PackedLinear(const Linear<T>& layer, int threads);

  // Writes y, or adds to it.
  //
  // call: T, B, x, bias, y, and whether it adds.
  //
  // Throws std::bad_alloc.
  void multiply(const Linear<T>& call, int threads) const;

 private:
  const LinearPass<T>* pass_;
  Linear<T> layer_;
  Block packed_;
};

}  // namespace recur
