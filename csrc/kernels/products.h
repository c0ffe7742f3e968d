// Products of matrices whose rows are given by pointers, with one of them packed into panels.

#pragma once

#include "kernels/panels.h"
#include "kernels/tiles.h"

namespace recur {
namespace RECUR_ISA {

constexpr int kRows = 6;

// --- c[i] = start + a[i] w -------------------------------------------------------------------------------------------

template <class T>
struct BlockOf {
  const T* const* a;  // Rows of the left factor,
  Index a_from;       // from this element on.
  T* const* c;        // Rows of the result,
  Index c_from;       // from this element on.
  Index depth;        // In pairs half as many.
  const T* w;         // One panel.
  Start start;
  const T* bias;  // Of this panel, in whole vectors.
  Lanes<T> last;  // Of the last vector of the panel.
  // What comes next, fetched meanwhile from where it lies far: from here on so many bytes with each level, of which
  // `block` fetches no more than a line.
  const char* ahead;
  Index ahead_step;
};

template <class T, bool kPaired, int R, int V>
void block(const BlockOf<T>& b) {
  constexpr int W = kWidth<T>;
  Vector<T> sum[R][V];
  const T* a[R];
  RECUR_UNROLL for (int i = 0; i < R; ++i) a[i] = b.a[i] + b.a_from;
  RECUR_UNROLL for (int v = 0; v < V; ++v) {
    const Vector<T> first = b.start == Start::bias ? load(b.bias + v * W) : Vector<T>{};
    RECUR_UNROLL for (int i = 0; i < R; ++i) sum[i][v] = first;
  }
  // The result may be memory that nobody has touched yet; let it come while the sums are made.
  RECUR_UNROLL for (int i = 0; i < R; ++i) {
    RECUR_UNROLL for (int v = 0; v < V; ++v) __builtin_prefetch(b.c[i] + b.c_from + v * W, 1, 3);
  }
  const T* w = b.w;
  Index k = 0;
  if constexpr (R == 1) {
    // One row alone would wait for each sum; two sums for each vector keep the multipliers busy.
    Vector<T> other[V]{};
    for (; k + 2 <= b.depth; k += 2, w += 2 * V * W) {
      const Vector<T> s = spread<T, kPaired>(a[0] + k), t = spread<T, kPaired>(a[0] + k + 1);
      RECUR_UNROLL for (int v = 0; v < V; ++v) sum[0][v] = added<T, kPaired>(sum[0][v], s, load(w + v * W));
      RECUR_UNROLL for (int v = 0; v < V; ++v) other[v] = added<T, kPaired>(other[v], t, load(w + (V + v) * W));
    }
    RECUR_UNROLL for (int v = 0; v < V; ++v) sum[0][v] += other[v];
  }
  const char* ahead = b.ahead;
  for (; k < b.depth; ++k, w += V * W, ahead += b.ahead_step) {
    // One row alone waits for the panel itself.
    if constexpr (R > 1) __builtin_prefetch(ahead, 0, 2);
    Vector<T> wide[V];
    RECUR_UNROLL for (int v = 0; v < V; ++v) wide[v] = load(w + v * W);
    RECUR_UNROLL for (int i = 0; i < R; ++i) {
      const Vector<T> s = spread<T, kPaired>(a[i] + k);
      RECUR_UNROLL for (int v = 0; v < V; ++v) sum[i][v] = added<T, kPaired>(sum[i][v], s, wide[v]);
    }
  }
  if (b.start == Start::self) {
    // Last: had the sum begun with it, each of its terms would be rounded as coarsely as it.
    RECUR_UNROLL for (int i = 0; i < R; ++i) {
      const T* c = b.c[i] + b.c_from;
      RECUR_UNROLL for (int v = 0; v < V - 1; ++v) sum[i][v] += load(c + v * W);
      sum[i][V - 1] += load(c + (V - 1) * W, b.last);
    }
  }
  RECUR_UNROLL for (int i = 0; i < R; ++i) {
    T* c = b.c[i] + b.c_from;
    RECUR_UNROLL for (int v = 0; v < V - 1; ++v) store(c + v * W, sum[i][v]);
    store(c + (V - 1) * W, sum[i][V - 1], b.last);
  }
}

// The same for a few columns of a matrix that is not packed, given by its columns: vectors along the depth.
constexpr int kColumnsTogether = 4;
template <class T, int R>
void dots(const T* const* a, Index a_from, T* const* c, Index c_from, const Panels<T>& w, Index n, Start start,
          const T* bias) {
  constexpr int W = kWidth<T>;
  const int count = static_cast<int>(least(kColumnsTogether, w.columns - n));
  const T* at[kColumnsTogether];
  for (int j = 0; j < kColumnsTogether; ++j) at[j] = j < count ? w.column_at[n + j] : nullptr;
  Vector<T> sum[R][kColumnsTogether]{};
  Index k = 0;
  if (at[0] != nullptr && at[1] != nullptr && at[2] != nullptr && at[3] != nullptr) {
    for (; k + W <= w.depth; k += W) {
      RECUR_UNROLL for (int j = 0; j < kColumnsTogether; ++j) {
        const Vector<T> column = load(at[j] + k);
        RECUR_UNROLL for (int i = 0; i < R; ++i) sum[i][j] += load(a[i] + a_from + k) * column;
      }
    }
  }
  for (; k < w.depth; k += W) {
    const Lanes<T> lanes(w.depth - k);
    for (int j = 0; j < count; ++j) {
      if (at[j] == nullptr) continue;
      for (int i = 0; i < R; ++i) sum[i][j] += load(a[i] + a_from + k, lanes) * load(at[j] + k, lanes);
    }
  }
  for (int i = 0; i < R; ++i) {
    T* to = c[i] + c_from + n;
    for (int j = 0; j < count; ++j) {
      const T first = start == Start::zero ? T(0) : start == Start::bias ? bias[n + j] : to[j];
      to[j] = first + sum_of<T>(sum[i][j]);
    }
  }
}

// And for a few vectors of columns of one given by its rows, of which some.
constexpr int kVectorsTogether = 4;
template <class T, int R>
void rows_together(const T* const* a, Index a_from, T* const* c, Index c_from, const Panels<T>& w, Index n, Index from,
                   Index end, Start start) {
  constexpr int W = kWidth<T>;
  Vector<T> sum[R][kVectorsTogether]{};
  const bool is_whole = n + kVectorsTogether * W <= w.columns;
  for (Index k = from; k < end; ++k) {
    if (w.row_at[k] == nullptr) continue;
    const T* row = w.row_at[k] + w.row_from + n;
    Vector<T> wide[kVectorsTogether];
    RECUR_UNROLL for (int v = 0; v < kVectorsTogether; ++v) {
      wide[v] = is_whole ? load(row + v * W) : load(row + v * W, Lanes<T>(w.columns - n - v * W));
    }
    RECUR_UNROLL for (int i = 0; i < R; ++i) {
      const Vector<T> s = splat(a[i][a_from + k]);
      RECUR_UNROLL for (int v = 0; v < kVectorsTogether; ++v) sum[i][v] += s * wide[v];
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int v = 0; v < kVectorsTogether; ++v) {
      const Lanes<T> lanes(w.columns - n - v * W);
      T* to = c[i] + c_from + n + v * W;
      store(to, start == Start::zero ? sum[i][v] : load(to, lanes) + sum[i][v], lanes);
    }
  }
}

// Terms that are added up by themselves first: rounded beside what all of them come to, they would lose more. So many
// rows of a panel also stay in the nearest cache.
constexpr Index kLevels = 128;

// Each weight is read once from where it lies far.
template <class T>
void multiply_unpacked(const T* const* a, Index a_from, T* const* c, Index c_from, Index rows, const Panels<T>& w,
                       Start start, const T* bias) {
  constexpr Index kFew = 4;
  if (w.column_at != nullptr) {
    for (Index n = 0; n < w.columns; n += kColumnsTogether) {
      Index i = 0;
      for (; i + kFew <= rows; i += kFew) dots<T, kFew>(a + i, a_from, c + i, c_from, w, n, start, bias);
      for (; i < rows; ++i) dots<T, 1>(a + i, a_from, c + i, c_from, w, n, start, bias);
    }
    return;
  }
  for (Index n = 0; n < w.columns; n += kVectorsTogether * kWidth<T>) {
    for (Index from = 0; from == 0 || from < w.depth; from += kLevels) {
      const Index end = least(w.depth, from + kLevels);
      const Start now = from == 0 ? start : Start::self;
      Index i = 0;
      for (; i + kFew <= rows; i += kFew) rows_together<T, kFew>(a + i, a_from, c + i, c_from, w, n, from, end, now);
      for (; i < rows; ++i) rows_together<T, 1>(a + i, a_from, c + i, c_from, w, n, from, end, now);
    }
  }
}

template <class T>
using Block = void (*)(const BlockOf<T>&);

// By number of rows and of vectors, each from 1.
template <class T>
struct Blocks {
  Block<T> of[kRows][4];
};
template <class T, bool kPaired>
inline const Blocks<T>& blocks() {
#define RECUR_ROW(R)                                                                                    \
  {                                                                                                     \
    block<T, kPaired, R, 1>, block<T, kPaired, R, 2>, block<T, kPaired, R, kPanelVectors == 4 ? 3 : 1>, \
        block<T, kPaired, R, kPanelVectors>                                                             \
  }
  static constexpr Blocks<T> all = {
      {RECUR_ROW(1), RECUR_ROW(2), RECUR_ROW(3), RECUR_ROW(4), RECUR_ROW(5), RECUR_ROW(6)}};
#undef RECUR_ROW
  return all;
}

// How many of `rest` rows the next block takes, so that all blocks are as high as they can be, and alike.
inline int rows_of_block(Index rest) {
  if (rest <= kRows) return static_cast<int>(rest);
  const Index number = (rest + kRows - 1) / kRows;
  return static_cast<int>((rest + number - 1) / number);
}

// c[i][c_from + n] = start + sum over k of a[i][a_from + k] w[k][n], for n below w.columns.
//
// fills: Whether rows of c have room for whole vectors, of which all elements are then written.
// bias: In whole vectors; for Start::bias.
// pairs: Room for the left factor where w is in pairs; has_pairs: and it is there already.
template <class T>
void multiply(const T* const* a, Index a_from, T* const* c, Index c_from, Index rows, const Panels<T>& w, Start start,
              const T* bias, bool fills, T* pairs = nullptr, bool has_pairs = false) {
  if (rows == 0) return;
  if (w.data == nullptr) return multiply_unpacked(a, a_from, c, c_from, rows, w, start, bias);
  const Index stride = row_of_pairs<T>(w.depth);
  if (w.is_paired && !has_pairs) {
    for (Index i = 0; i < rows; ++i) pair_along(a[i] + a_from, w.depth, pairs + i * stride);
  }
  if constexpr (kHasTiles<T>) {
    if (w.is_paired) {
      const auto row = [&](Index i) { return c[i] + c_from; };
      return multiply_tiles(pairs, stride, rows, w, row, start, bias, fills);
    }
  }
  // A panel in pieces that stay in the nearest cache while all rows are multiplied with one.
  struct Piece {
    const T* data;
    Index panel, from, end;
    int vectors;
    Index bytes() const { return (end - from) * vectors * kVectorBytes; }
  };
  const Index levels = w.levels(), pieces = levels <= kLevels ? 1 : (levels + kLevels - 1) / kLevels;
  const Index count = w.count() * pieces, blocks_of_rows = (rows + kRows - 1) / kRows;
  const auto piece_at = [&](Index n) {
    const Index p = w.is_turned ? w.count() - 1 - n / pieces : n / pieces, from = levels * (n % pieces) / pieces;
    return Piece{w.panel(p) + from * w.vectors(p) * kWidth<T>, p, from, levels * (n % pieces + 1) / pieces,
                 w.vectors(p)};
  };
  for (Index n = 0; n < count; ++n) {
    const Piece piece = piece_at(n), next = piece_at(n + 1 < count ? n + 1 : n);
    const Index depth = piece.end - piece.from, column = piece.panel * Panels<T>::width;
    const Lanes<T> last(fills ? kWidth<T> : w.columns - column - (piece.vectors - 1) * kWidth<T>);
    // Each block of rows fetches as much of the next piece.
    const Index share = next.bytes() / blocks_of_rows;
    const char* ahead = reinterpret_cast<const char*>(next.data);
    for (Index i = 0; i < rows; ahead += share) {
      const int together = rows_of_block(rows - i);
      BlockOf<T> b{a + i,
                   a_from + piece.from,
                   c + i,
                   c_from + column,
                   depth,
                   piece.data,
                   piece.from == 0 ? start : Start::self,
                   bias == nullptr ? nullptr : bias + column,
                   last,
                   ahead,
                   depth > 0 ? (share + depth - 1) / depth : 0};
      const T* paired[kRows];
      if (w.is_paired) {
        for (int r = 0; r < together; ++r) paired[r] = pairs + (i + r) * stride;
        b.a = paired;
        b.a_from = piece.from;
      }
      const Blocks<T>& all = w.is_paired ? blocks<T, kHasPairs<T> && !kHasTiles<T>>() : blocks<T, false>();
      all.of[together - 1][piece.vectors - 1](b);
      i += together;
    }
  }
}

// --- c[m] = start + sum over k of a[k][m] b[k] -----------------------------------------------------------------------

// width: Of the last vector of the panel. Whole ones are stored without a mask, which takes less time.
template <class T, bool kPaired, int R, int V>
void outer_block(const T* const* a, Index from, Index depth, const T* b, T* c, Index stride, Start start, Index width) {
  constexpr int W = kWidth<T>;
  const bool is_whole = width == W;
  const Lanes<T> last(width);
  Vector<T> sum[R][V];
  RECUR_UNROLL for (int i = 0; i < R; ++i) { RECUR_UNROLL for (int v = 0; v < V; ++v) sum[i][v] = Vector<T>{}; }
  for (Index k = 0; k < depth; ++k, b += V * W) {
    Vector<T> wide[V];
    RECUR_UNROLL for (int v = 0; v < V; ++v) wide[v] = load(b + v * W);
    const T* row = a[k] + from;
    RECUR_UNROLL for (int i = 0; i < R; ++i) {
      const Vector<T> s = spread<T, kPaired>(row + i);
      RECUR_UNROLL for (int v = 0; v < V; ++v) sum[i][v] = added<T, kPaired>(sum[i][v], s, wide[v]);
    }
  }
  const bool is_added = start == Start::self;
  RECUR_UNROLL for (int i = 0; i < R; ++i) {
    T* to = c + i * stride;
    RECUR_UNROLL for (int v = 0; v < V; ++v, to += W) {
      if (v < V - 1 || is_whole) {
        store(to, is_added ? load(to) + sum[i][v] : sum[i][v]);
      } else {
        store(to, is_added ? load(to, last) + sum[i][v] : sum[i][v], last);
      }
    }
  }
}

template <class T>
using OuterBlock = void (*)(const T* const*, Index, Index, const T*, T*, Index, Start, Index);

template <class T>
struct OuterBlocks {
  OuterBlock<T> of[kRows][4];
};
template <class T, bool kPaired>
inline const OuterBlocks<T>& outer_blocks() {
#define RECUR_ROW(R)                                                                                      \
  {                                                                                                       \
    outer_block<T, kPaired, R, 1>, outer_block<T, kPaired, R, 2>,                                         \
        outer_block<T, kPaired, R, kPanelVectors == 4 ? 3 : 1>, outer_block<T, kPaired, R, kPanelVectors> \
  }
  static constexpr OuterBlocks<T> all = {
      {RECUR_ROW(1), RECUR_ROW(2), RECUR_ROW(3), RECUR_ROW(4), RECUR_ROW(5), RECUR_ROW(6)}};
#undef RECUR_ROW
  return all;
}

// So many rows of the result are made of all panels before the next ones, if the panels stay in a core's own cache:
// what is read of `a`, a little of each of its rows, is then fetched once.
constexpr Index kStrip = 8 * kRows, kStripBytes = 1 << 20;

// c[m][n] = start + sum over k of a[k][from + m] b[k][n], for m below `rows`, where start is zero or c itself, whose
// rows are `stride` apart. Where b is in pairs, so is a, half as many rows.
template <class T>
void multiply_outer(const T* const* a, Index from, Index rows, const Panels<T>& b, T* c, Index stride, Start start) {
  const Index height = b.size() * static_cast<Index>(sizeof(T)) <= kStripBytes ? kStrip : rows;
  for (Index strip = 0; strip < rows; strip += height) {
    const Index end = least(rows, strip + height);
    for (Index p = 0; p < b.count(); ++p) {
      const int vectors = b.vectors(p);
      const Index width = least(b.columns - p * Panels<T>::width - (vectors - 1) * kWidth<T>, kWidth<T>);
      for (Index m = strip; m < end;) {
        const int count = rows_of_block(end - m);
        const OuterBlock<T> act =
            (b.is_paired ? outer_blocks<T, kHasPairs<T> && !kHasTiles<T>>() : outer_blocks<T, false>())
                .of[count - 1][vectors - 1];
        act(a, from + m, b.levels(), b.panel(p), c + m * stride + p * Panels<T>::width, stride, start, width);
        m += count;
      }
    }
  }
}

// --- packing ---------------------------------------------------------------------------------------------------------

// Packs the rows of a matrix from an element on, each times `factor` of its own where there are any; a null row counts
// as zeros.
template <class T>
void pack_rows(const T* const* rows, const T* const* factors, Index from, const Panels<T>& to, Index first_panel,
               Index end_panel) {
  constexpr int W = kWidth<T>;
  for (Index p = first_panel; p < end_panel; ++p) {
    const int vectors = to.vectors(p);
    T* out = to.panel(p);
    const auto at = [&](Index k, Index column) {
      if (k >= to.depth || rows[k] == nullptr) return Vector<T>{};
      const Lanes<T> lanes(to.columns - column);
      const Vector<T> value = load(rows[k] + from + column, lanes);
      return factors == nullptr ? value : value * load(factors[k] + from + column, lanes);
    };
    for (Index level = 0; level < to.levels(); ++level) {
      for (int v = 0; v < vectors; ++v, out += W) {
        const Index column = p * Panels<T>::width + v * W;
        store(out, to.is_paired ? pairs_of<T>(at(2 * level, column), at(2 * level + 1, column)) : at(level, column));
      }
    }
  }
}

// Packs the transpose of a matrix given by its rows, each a column here; a null row counts as zeros.
template <class T>
void pack_columns(const T* const* columns, const Panels<T>& to, Index first_panel, Index end_panel) {
  constexpr int W = kWidth<T>;
  for (Index p = first_panel; p < end_panel; ++p) {
    const int vectors = to.vectors(p);
    for (int v = 0; v < vectors; ++v) {
      const Index column = p * Panels<T>::width + v * W;
      T* out = to.panel(p) + v * W;
      for (Index level = 0; level < to.levels(); level += W) {
        Vector<T> block[W];
        RECUR_UNROLL for (int i = 0; i < W; ++i) {
          const T* from = column + i < to.columns ? columns[column + i] : nullptr;
          if (from == nullptr) {
            block[i] = Vector<T>{};
          } else if (to.is_paired) {
            block[i] = pairs_along<T>(from + 2 * level, to.depth - 2 * level);
          } else {
            block[i] = load(from + level, Lanes<T>(to.depth - level));
          }
        }
        transpose<T>(block);
        RECUR_UNROLL for (int j = 0; j < W; ++j) {
          if (level + j < to.levels()) store(out + (level + j) * vectors * W, block[j]);
        }
      }
    }
  }
}

// Packs columns of a matrix given by its rows, from an element on: each becomes a row in pairs, in whole tiles.
template <class T>
void pair_columns(const T* const* rows, Index from, Index count, Index columns, T* to, Index stride) {
  constexpr int W = kWidth<T>;
  for (Index m = 0; m < columns; m += W) {
    const Lanes<T> lanes(columns - m);
    const auto at = [&](Index k) { return k < count ? load(rows[k] + from + m, lanes) : Vector<T>{}; };
    for (Index k = 0; k < count; k += 2 * W) {
      Vector<T> block[W];
      RECUR_UNROLL for (int j = 0; j < W; ++j) block[j] = pairs_of<T>(at(k + 2 * j), at(k + 2 * j + 1));
      transpose<T>(block);
      RECUR_UNROLL for (int j = 0; j < W; ++j) store(to + (m + j) * stride + k / 2, block[j]);
    }
  }
}

// Packs the left factor of `multiply_outer` in pairs: two rows, from an element on, into one of `stride`.
template <class T>
void pair_rows(const T* const* rows, Index from, Index count, Index columns, T* to, Index stride) {
  for (Index k = 0; k < count; k += 2, to += stride) {
    for (Index m = 0; m < columns; m += kWidth<T>) {
      const Lanes<T> lanes(columns - m);
      store(to + m, pairs_of<T>(load(rows[k] + from + m, lanes),
                                k + 1 < count ? load(rows[k + 1] + from + m, lanes) : Vector<T>{}));
    }
  }
}

}  // namespace RECUR_ISA
}  // namespace recur
