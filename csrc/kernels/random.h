// Random masks by Philox4x32-10 (Salmon et al. 2011), many blocks at a time.

#pragma once

#include <cmath>
#include <cstring>

#include "kernels/vectors.h"
#include "mask.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace recur {
namespace RECUR_ISA {

// A block of the generator to each lane of 64 bits, so that a word and the product of two have room; what lies above a
// word means nothing.
typedef std::uint64_t Wide __attribute__((vector_size(kVectorBytes)));
typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));

constexpr int kRounds = 10;

RECUR_INLINE Wide wide(std::uint64_t value) { return Wide{} + value; }

// The products of the lower halves. Not `*`, for GCC would multiply the upper ones too.
RECUR_INLINE Wide product(Wide a, Wide b) {
#if defined(__AVX512F__)
  // With a mask that lets all through: GCC 12 warns of what `_mm512_mul_epu32` leaves undefined.
  return (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  return (Wide)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

struct RoundKeys {
  RECUR_INLINE explicit RoundKeys(std::uint64_t key) {
    std::uint32_t first = static_cast<std::uint32_t>(key), second = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < kRounds; ++round, first += 0x9e3779b9u, second += 0xbb67ae85u) {
      of[round][0] = wide(first);
      of[round][1] = wide(second);
    }
  }
  Wide of[kRounds][2];
};

struct PhiloxBlocks {
  // Those of these numbers.
  RECUR_INLINE PhiloxBlocks(Wide number, const RoundKeys& keys) : word{number, number >> 32, Wide{}, Wide{}} {
    RECUR_UNROLL for (int round = 0; round < kRounds; ++round) {
      const Wide one = product(word[0], wide(0xd2511f53u)), other = product(word[2], wide(0xcd9e8d57u));
      word[0] = other >> 32 ^ word[1] ^ keys.of[round][0];
      word[1] = other;
      word[2] = one >> 32 ^ word[3] ^ keys.of[round][1];
      word[3] = one;
    }
  }
  Wide word[4];
};

// How the words of twice as many blocks as there are lanes become elements, in the order of the blocks: which blocks
// the lanes have, and where their words are below the threshold, `value`, else 0.
template <class T>
struct MaskLanes;
template <>
struct MaskLanes<float> {
  // The even ones and the odd ones.
  static constexpr int kStep = 2, kSecond = 1;
  static RECUR_INLINE void put(float* to, Wide even, Wide odd, std::uint32_t threshold, Vector<float> value) {
    const Words both = (Words)((even & 0xffffffffu) | odd << 32);
    store(to, select<float>((BitVector<float>)(both < threshold), value, Vector<float>{}));
  }
};
template <>
struct MaskLanes<double> {
  // A half each.
  static constexpr int kStep = 1, kSecond = kWidth<double>;
  static RECUR_INLINE void put(double* to, Wide first, Wide second, std::uint32_t threshold, Vector<double> value) {
    const auto kept = [&](Wide word) {
      // Without a comparison, which SSE2 has none of: ones above where the difference is negative, else zeros.
      const Wide above = ((word & 0xffffffffu) - threshold) >> 32;
      return (Vector<double>)((Wide)value & (above << 32 | above));
    };
    store(to, kept(first));
    store(to + kWidth<double>, kept(second));
  }
};

// Elements from `first` on, a multiple of kMaskGroup, as many as `count`.
template <class T>
void draw_part(const Mask<T>& mask, Index first, Index count, T* to) {
  if (mask.share >= 1) {
    for (Index i = 0; i < count; ++i) to[i] = mask.value;
    return;
  }
  constexpr Index kBlocks = kMaskGroup / 4, kAtOnce = kWidth<float>;
  const double bound = std::ceil(mask.share * 4294967296.0);
  const std::uint32_t threshold = bound < 4294967295.0 ? static_cast<std::uint32_t>(bound) : 0xffffffffu;
  const Vector<T> value = splat(mask.value);
  const RoundKeys keys(mask.key);
  Wide lanes;
  for (int i = 0; i < kVectorBytes / 8; ++i) lanes[i] = static_cast<std::uint64_t>(i) * MaskLanes<T>::kStep;
  const auto draw_group = [&](Index from, T* at) {
    RECUR_UNROLL for (Index block = 0; block < kBlocks; block += kAtOnce) {
      const Wide numbers = lanes + static_cast<std::uint64_t>(from / 4 + block);
      const PhiloxBlocks one(numbers, keys), other(numbers + MaskLanes<T>::kSecond, keys);
      RECUR_UNROLL for (int word = 0; word < 4; ++word) {
        MaskLanes<T>::put(at + word * kBlocks + block, one.word[word], other.word[word], threshold, value);
      }
    }
  };
  Index i = 0;
  for (; i + kMaskGroup <= count; i += kMaskGroup) draw_group(first + i, to + i);
  if (i < count) {
    T rest[kMaskGroup];
    draw_group(first + i, rest);
    std::memcpy(to + i, rest, static_cast<std::size_t>(count - i) * sizeof(T));
  }
}

}  // namespace RECUR_ISA
}  // namespace recur
