// Layer normalisation of rows (Ba, Kiros and Hinton 2016), forward and backward.

#pragma once

#include "kernels/vectors.h"

namespace recur {
namespace RECUR_ISA {

constexpr double kEpsilon = 1e-5;

template <class T>
RECUR_INLINE T root(T value) {
  return static_cast<T>(__builtin_sqrt(static_cast<double>(value)));
}

template <class T>
struct Moments {
  T mean, scale;  // Scale: the reciprocal standard deviation.
};

// Over `blocks` stretches of `units` elements, `padded` apart.
template <class T>
Moments<T> moments_of(const T* row, Index units, int blocks = 1, Index padded = 0) {
  const T count = static_cast<T>(units * blocks);
  Vector<T> sum{};
  for (int b = 0; b < blocks; ++b) {
    for (Index u = 0; u < units; u += kWidth<T>) sum += load(row + b * padded + u, Lanes<T>(units - u));
  }
  const T mean = sum_of<T>(sum) / count;
  Vector<T> squares{};
  for (int b = 0; b < blocks; ++b) {
    for (Index u = 0; u < units; u += kWidth<T>) {
      const Lanes<T> lanes(units - u);
      const Vector<T> away = within(load(row + b * padded + u, lanes) - mean, lanes);
      squares += away * away;
    }
  }
  return {mean, T(1) / root<T>(sum_of<T>(squares) / count + static_cast<T>(kEpsilon))};
}

// Normalises `blocks` slots of a row in place, zero in the padding, and returns the scale.
template <class T>
T normalise(T* row, Index units, int blocks, Index padded) {
  const Moments<T> moments = moments_of<T>(row, units, blocks, padded);
  for (int b = 0; b < blocks; ++b) {
    for (Index u = 0; u < padded; u += kWidth<T>) {
      T* at = row + b * padded + u;
      store(at, within((load(at) - moments.mean) * moments.scale, Lanes<T>(units - u)));
    }
  }
  return moments.scale;
}

// From the gradients of normalised slots times gain to those of the slots themselves.
//
// hat: The normalised slots. gain: Of the first of them, `units` apart; dgain: sums, likewise, or null.
// d: In and out; the slots' gradients.
template <class T>
void normalise_backward(T* d, const T* hat, const T* gain, T* dgain, T scale, Index units, int blocks, Index padded) {
  Vector<T> sum{}, sum_with_hat{};
  for (int b = 0; b < blocks; ++b) {
    for (Index u = 0; u < padded; u += kWidth<T>) {
      const Lanes<T> lanes(units - u);
      const Vector<T> away = load(hat + b * padded + u), given = load(d + b * padded + u);
      if (dgain != nullptr) {
        T* at = dgain + b * units + u;
        store(at, load(at, lanes) + given * away, lanes);
      }
      const Vector<T> value = given * load(gain + b * units + u, lanes);
      sum += value;
      sum_with_hat += value * away;
      store(d + b * padded + u, value);
    }
  }
  const T count = static_cast<T>(units * blocks);
  const T mean = sum_of<T>(sum) / count, mean_with_hat = sum_of<T>(sum_with_hat) / count;
  for (int b = 0; b < blocks; ++b) {
    for (Index u = 0; u < padded; u += kWidth<T>) {
      const Vector<T> value = (load(d + b * padded + u) - mean - load(hat + b * padded + u) * mean_with_hat) * scale;
      store(d + b * padded + u, within(value, Lanes<T>(units - u)));
    }
  }
}

}  // namespace RECUR_ISA
}  // namespace recur
