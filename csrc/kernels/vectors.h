// Vectors of the width that the instruction set has, by the compiler's vector extensions, and the functions of gates.
//
// Included once for each instruction set, into a namespace of its own: nothing here may be shared between them, or the
// linker might keep the copy that the processor cannot run.

#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "recurrence.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace recur {
namespace RECUR_ISA {

using Index = std::int64_t;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// Which accumulators fit: 6 rows of 4 vectors with 32 registers, 6 rows of 2 with 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kPanelVectors = 4;
#else
constexpr int kPanelVectors = 2;
#endif

// Before loops of a few rounds over vectors that have to stay in registers.
#define RECUR_UNROLL _Pragma("GCC unroll 24")

template <class T>
struct Bits;
template <>
struct Bits<float> {
  using type = std::int32_t;
};
template <>
struct Bits<double> {
  using type = std::int64_t;
};

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef typename Bits<T>::type bits __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
using BitVector = typename VectorOf<T>::bits;

template <class T>
constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
RECUR_INLINE Vector<T> splat(T value) {
  return value - Vector<T>{};
}

template <class T>
RECUR_INLINE Vector<T> load(const T* from) {
  Vector<T> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
RECUR_INLINE void store(T* to, Vector<T> value) {
  std::memcpy(to, &value, sizeof value);
}

template <class T>
RECUR_INLINE Vector<T> select(BitVector<T> condition, Vector<T> yes, Vector<T> no) {
  return condition ? yes : no;
}

// The lanes of a vector that lie within an array of which `rest` elements remain; none when it is negative.
template <class T>
struct Lanes {
  RECUR_INLINE explicit Lanes(Index rest)
      : count(rest < kWidth<T> ? (rest < 0 ? 0 : static_cast<int>(rest)) : kWidth<T>) {}
  RECUR_INLINE bool all() const { return count == kWidth<T>; }
  RECUR_INLINE BitVector<T> mask() const {
    BitVector<T> number;
    for (int i = 0; i < kWidth<T>; ++i) number[i] = i;
    return number < static_cast<typename Bits<T>::type>(count);
  }
  int count;
};

#if defined(__AVX512F__)
RECUR_INLINE Vector<float> load(const float* from, Lanes<float> lanes) {
  return (Vector<float>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << lanes.count) - 1), from);
}
RECUR_INLINE Vector<double> load(const double* from, Lanes<double> lanes) {
  return (Vector<double>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << lanes.count) - 1), from);
}
RECUR_INLINE void store(float* to, Vector<float> value, Lanes<float> lanes) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << lanes.count) - 1), (__m512)value);
}
RECUR_INLINE void store(double* to, Vector<double> value, Lanes<double> lanes) {
  _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << lanes.count) - 1), (__m512d)value);
}
#else
template <class T>
RECUR_INLINE Vector<T> load(const T* from, Lanes<T> lanes) {
  if (lanes.all()) return load(from);
  Vector<T> value{};
  for (int i = 0; i < lanes.count; ++i) value[i] = from[i];
  return value;
}
template <class T>
RECUR_INLINE void store(T* to, Vector<T> value, Lanes<T> lanes) {
  if (lanes.all()) return store(to, value);
  for (int i = 0; i < lanes.count; ++i) to[i] = value[i];
}
#endif

// Returns `value`, and zero in the lanes outside.
template <class T>
RECUR_INLINE Vector<T> within(Vector<T> value, Lanes<T> lanes) {
  return lanes.all() ? value : select<T>(lanes.mask(), value, Vector<T>{});
}

// Halves are added to halves, so the order is the same for every compiler.
template <class T>
RECUR_INLINE T sum_of(Vector<T> value) {
  T part[kWidth<T>];
  store(part, value);
  RECUR_UNROLL for (int half = kWidth<T> / 2; half > 0; half /= 2) {
    RECUR_UNROLL for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

// Takes the lanes of two vectors in turns, from the first lanes on or from the middle.
template <class T, int kFrom, std::size_t... I>
RECUR_INLINE Vector<T> in_turns(Vector<T> a, Vector<T> b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (kFrom + static_cast<int>(I) / 2 + (I % 2 == 0 ? 0 : kWidth<T>))...);
}

// Turns as many vectors as they have lanes around: rows become columns.
template <class T>
RECUR_INLINE void transpose(Vector<T> (&rows)[kWidth<T>]) {
  constexpr int W = kWidth<T>;
  using All = std::make_index_sequence<W>;
  // Each round takes the vectors of both halves in turns; after log2 W of them every lane is where it belongs.
  RECUR_UNROLL for (int round = 1; round < W; round *= 2) {
    Vector<T> mixed[W];
    RECUR_UNROLL for (int i = 0; i < W / 2; ++i) {
      mixed[2 * i] = in_turns<T, 0>(rows[i], rows[i + W / 2], All{});
      mixed[2 * i + 1] = in_turns<T, W / 2>(rows[i], rows[i + W / 2], All{});
    }
    RECUR_UNROLL for (int i = 0; i < W; ++i) rows[i] = mixed[i];
  }
}

// NaN passes, as through torch.clamp.
template <class T>
RECUR_INLINE Vector<T> clamped(Vector<T> value, T bound) {
  value = select<T>(value > bound, splat(bound), value);
  return select<T>(value < -bound, splat(-bound), value);
}

// --- exponentials ---------------------------------------------------------------------------------------------------

// What exp needs to know of a type: x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts.
template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float magic = 12582912.f;  // 1.5 * 2^23: adding it rounds to a whole number, kept in the low bits.
  static constexpr float high = 0.693359375f, low = -2.12194440e-4f;
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float largest = 87.3f;    // 2^n is still finite, and normal for the opposite sign.
  static constexpr float overflow = 88.73f;  // exp is infinite from here on.
};
template <>
struct ExpConstants<double> {
  static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double largest = 708.0;
  static constexpr double overflow = 709.79;
};

// exp(r) - 1 - r over r^2 on |r| <= ln 2 / 2: the coefficients of Cephes' expf.
RECUR_INLINE Vector<float> exp_rest(Vector<float> r) {
  Vector<float> p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  return p * r + 5.0000001201e-1f;
}
// The same by Taylor's series, whose next term is below 1e-17 there.
RECUR_INLINE Vector<double> exp_rest(Vector<double> r) {
  Vector<double> p = splat(1.0 / 6227020800.0);
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  return p * r + 0.5;
}

// Returns m and sets `scale` so that exp(x) = scale + scale * m; x within -largest and largest, or NaN, which passes.
template <class T>
RECUR_INLINE Vector<T> exp_parts(Vector<T> x, Vector<T>& scale) {
  using C = ExpConstants<T>;
  const Vector<T> shifted = x * static_cast<T>(1.44269504088896340736) + C::magic;
  const Vector<T> n = shifted - C::magic;
  const Vector<T> r = (x - n * C::high) - n * C::low;
  BitVector<T> bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << C::mantissa) + (static_cast<typename Bits<T>::type>(C::bias) << C::mantissa);
  std::memcpy(&scale, &bits, sizeof scale);
  return exp_rest(r) * (r * r) + r;
}

template <class T>
RECUR_INLINE Vector<T> sigmoid(Vector<T> x) {
  using C = ExpConstants<T>;
  Vector<T> scale;
  const Vector<T> m = exp_parts<T>(clamped<T>(-x, C::largest), scale);
  const Vector<T> y = T(1) / (T(1) + (scale + scale * m));
  // 1 / (1 + infinity) where exp(-x) is infinite.
  return select<T>(x < -C::overflow, Vector<T>{}, y);
}

template <class T>
RECUR_INLINE Vector<T> tanh(Vector<T> x);

template <>
RECUR_INLINE Vector<double> tanh<double>(Vector<double> x) {
  Vector<double> scale;
  // From 20 on tanh is 1.
  const Vector<double> m = exp_parts<double>(clamped<double>(x + x, 40.0), scale);
  const Vector<double> minus_one = scale * m + (scale - 1.0);
  return minus_one / (minus_one + 2.0);
}

// In float the same would be up to two and a half units off in the last place. Near zero the odd polynomial of Cephes'
// tanhf, whose first term is x itself; elsewhere what is missing from 1, whose error is small beside 1.
template <>
RECUR_INLINE Vector<float> tanh<float>(Vector<float> x) {
  BitVector<float> bits;
  std::memcpy(&bits, &x, sizeof bits);
  const BitVector<float> sign = bits & static_cast<std::int32_t>(0x80000000);
  bits ^= sign;
  Vector<float> size;
  std::memcpy(&size, &bits, sizeof size);
  // From 10 on tanh is 1.
  Vector<float> scale;
  const Vector<float> m = exp_parts<float>(clamped<float>(size + size, 20.f), scale);
  const Vector<float> far = 1.f - 2.f / (scale * m + (scale + 1.f));
  std::memcpy(&bits, &far, sizeof bits);
  bits |= sign;
  Vector<float> signed_far;
  std::memcpy(&signed_far, &bits, sizeof bits);
  const Vector<float> z = x * x;
  Vector<float> p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  return select<float>(size < 0.625f, p * z * x + x, signed_far);
}

// NaN passes, as through torch.relu.
template <class T>
RECUR_INLINE Vector<T> relu(Vector<T> x) {
  return select<T>(x < T(0), Vector<T>{}, x);
}

}  // namespace RECUR_ISA
}  // namespace recur
