// Pairs of bfloat16 numbers, which some processors multiply and add up in float32 in one instruction.
//
// A pair takes the place of one float32, and vectors of pairs pass for vectors of those. Numbers are rounded to the
// nearest, subnormal ones to zero. Without such instructions there are no pairs: `kHasPairs` says so.

#pragma once

#include "kernels/vectors.h"

namespace recur {
namespace RECUR_ISA {

template <class T>
constexpr bool kHasPairs = false;

// Whether it multiplies tiles of pairs, of so many rows and as many levels.
constexpr Index kTileSize = 16;
template <class T>
constexpr bool kHasTiles = false;
#if defined(__AMX_BF16__)
template <>
constexpr bool kHasTiles<float> = true;
static_assert(kWidth<float> == kTileSize);
#endif
// Rows of pairs, and levels of panels in pairs, come in such numbers.
template <class T>
constexpr Index kTogether = kHasTiles<T> ? kTileSize : 1;

template <class T>
RECUR_INLINE Vector<T> pairs_of(Vector<T> first, Vector<T>) {
  return first;
}
template <class T>
RECUR_INLINE Vector<T> pairs_along(const T*, Index) {
  return Vector<T>{};
}
template <class T>
RECUR_INLINE Vector<T> added_pairs(Vector<T> sum, Vector<T>, Vector<T>) {
  return sum;
}

#if defined(__AVX512BF16__)

template <>
constexpr bool kHasPairs<float> = true;

// Each lane of the one with the same lane of the other.
template <>
RECUR_INLINE Vector<float> pairs_of<float>(Vector<float> first, Vector<float> second) {
  typedef short Numbers __attribute__((vector_size(kVectorBytes)));
  const Numbers order = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                         8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return (Vector<float>)_mm512_permutexvar_epi16((__m512i)order,
                                                 (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first));
}

// The next numbers of an array of which `rest` remain, two by two.
template <>
RECUR_INLINE Vector<float> pairs_along<float>(const float* from, Index rest) {
  constexpr int W = kWidth<float>;
  const Vector<float> first = load(from, Lanes<float>(rest));
  const Vector<float> second = rest > W ? load(from + W, Lanes<float>(rest - W)) : Vector<float>{};
  return (Vector<float>)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

// Each lane plus the products of both numbers of a pair.
template <>
RECUR_INLINE Vector<float> added_pairs<float>(Vector<float> sum, Vector<float> a, Vector<float> b) {
  return (Vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

#endif

template <class T, bool kPaired>
RECUR_INLINE Vector<T> added(Vector<T> sum, Vector<T> a, Vector<T> b) {
  if constexpr (kPaired) {
    return added_pairs<T>(sum, a, b);
  } else {
    return sum + a * b;
  }
}

// Returns a number, or a pair, in every lane.
template <class T, bool kPaired>
RECUR_INLINE Vector<T> spread(const T* from) {
  if constexpr (kPaired) {
    // No arithmetic on what is not a number of this type.
    typename Bits<T>::type bits;
    std::memcpy(&bits, from, sizeof bits);
    const BitVector<T> all = bits - BitVector<T>{};
    Vector<T> value;
    std::memcpy(&value, &all, sizeof value);
    return value;
  } else {
    return splat(*from);
  }
}

// Room for so many numbers in pairs, in an odd number of whole vectors: with a power of two all rows would share a few
// places of the nearest cache.
template <class T>
RECUR_INLINE Index row_of_pairs(Index count) {
  return ((count + 2 * kWidth<T> - 1) / (2 * kWidth<T>) | 1) * kWidth<T>;
}

template <class T>
RECUR_INLINE void pair_along(const T* from, Index count, T* to) {
  for (Index k = 0; k < count; k += 2 * kWidth<T>, to += kWidth<T>) store(to, pairs_along<T>(from + k, count - k));
}

}  // namespace RECUR_ISA
}  // namespace recur
