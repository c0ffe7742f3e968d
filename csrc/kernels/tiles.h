// Products of pairs by tiles (Intel AMX): one instruction multiplies 16 rows of 16 pairs by 16 levels of 16 columns.
//
// Panels in pairs are what it wants on the right; on the left, rows in pairs, side by side. There are eight tiles, so
// two by two sums and two factors on each side.

#pragma once

#include "asan.h"
#include "kernels/panels.h"

namespace recur {
namespace RECUR_ISA {

#if defined(__AMX_BF16__)

// What tells the processor how large its tiles are.
struct TileShapes {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileShapes) == 64);
alignas(64) constexpr TileShapes kTileShapes;

constexpr Index kSumRow = 2 * kTileSize;  // Of the sums of two tiles side by side.

#if defined(RECUR_ASAN)
inline void expect_readable(const float* from, Index count) {
  if (__asan_region_is_poisoned(const_cast<float*>(from), static_cast<std::size_t>(count) * sizeof(float)) != nullptr) {
    __builtin_trap();
  }
}
#endif

// sums = R tiles of rows times V tiles of columns. a_row, w_row: How far apart rows and levels are.
template <int R, int V>
void tile_block(const float* a, Index a_row, const float* w, Index w_row, Index levels, float* sums) {
  const Index float_bytes = sizeof(float);
  _tile_zero(0);
  if constexpr (V > 1) _tile_zero(1);
  if constexpr (R > 1) _tile_zero(2);
  if constexpr (R > 1 && V > 1) _tile_zero(3);
  for (Index k = 0; k < levels; k += kTileSize) {
    const float* right = w + k * w_row;
    _tile_loadd(4, a + k, a_row * float_bytes);
    _tile_loadd(6, right, w_row * float_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (V > 1) {
      _tile_loadd(7, right + kTileSize, w_row * float_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (R > 1) {
      _tile_loadd(5, a + kTileSize * a_row + k, a_row * float_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (R > 1 && V > 1) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, kSumRow * float_bytes);
  if constexpr (V > 1) _tile_stored(1, sums + kTileSize, kSumRow * float_bytes);
  if constexpr (R > 1) _tile_stored(2, sums + kTileSize * kSumRow, kSumRow * float_bytes);
  if constexpr (R > 1 && V > 1) _tile_stored(3, sums + kTileSize * kSumRow + kTileSize, kSumRow * float_bytes);
}

// row(i)[n] = start + sum over k of a[i][k] w[k][n], for n below w.columns, as `multiply`.
//
// a: Rows in pairs, `a_row` apart, as many as whole tiles have; what lies in those past `rows` does not count.
template <class Row>
void multiply_tiles(const float* a, Index a_row, Index rows, const Panels<float>& w, Row row, Start start,
                    const float* bias, bool fills) {
  constexpr int W = kWidth<float>;
  const Index levels = w.levels();
#if defined(RECUR_ASAN)
  // What the instructions read is hidden from it.
  for (Index i = 0; i < round_up(rows, kTileSize); ++i) expect_readable(a + i * a_row, levels);
  expect_readable(w.data, w.size());
#endif
  alignas(64) float sums[kSumRow * kSumRow];
  _tile_loadconfig(&kTileShapes);
  // The compiler does not know what they read and write.
  asm volatile("" ::: "memory");
  const auto rows_by_panel = [&](Index i, Index p) {
    const int vectors = w.vectors(p);
    const Index column = p * Panels<float>::width, together = least(rows - i, 2 * kTileSize);
    const Lanes<float> last(fills ? W : w.columns - column - (vectors - 1) * W);
    for (int v = 0; v < vectors; v += 2) {
      const bool is_wide = v + 1 < vectors, is_high = together > kTileSize;
      const auto block =
          is_high ? (is_wide ? tile_block<2, 2> : tile_block<2, 1>) : (is_wide ? tile_block<1, 2> : tile_block<1, 1>);
      block(a + i * a_row, a_row, w.panel(p) + v * W, vectors * W, levels, sums);
      asm volatile("" ::: "memory");
      for (Index r = 0; r < together; ++r) {
        float* to = row(i + r) + column + v * W;
        for (int u = v; u < v + (is_wide ? 2 : 1); ++u, to += W) {
          const Lanes<float> lanes = u == vectors - 1 ? last : Lanes<float>(W);
          const Vector<float> first = start == Start::zero   ? Vector<float>{}
                                      : start == Start::bias ? load(bias + column + u * W)
                                                             : load(to, lanes);
          store(to, first + load(sums + r * kSumRow + (u - v) * W), lanes);
        }
      }
    }
  };
  // The larger factor is gone through once.
  if (rows * a_row > w.size()) {
    for (Index i = 0; i < rows; i += 2 * kTileSize) {
      for (Index p = 0; p < w.count(); ++p) rows_by_panel(i, p);
    }
  } else {
    for (Index n = 0; n < w.count(); ++n) {
      for (Index i = 0; i < rows; i += 2 * kTileSize) rows_by_panel(i, w.is_turned ? w.count() - 1 - n : n);
    }
  }
  _tile_release();
}

#endif

}  // namespace RECUR_ISA
}  // namespace recur
