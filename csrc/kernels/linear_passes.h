// A linear layer: its product, and the products that are its gradients.

#pragma once

#include "kernels/plan.h"
#include "kernels/sums.h"
#include "linear.h"

namespace recur {
namespace RECUR_ISA {

// A factor w (depth, columns) of products, in pieces of so many rows that a panel of one stays in the nearest caches.
template <class T>
struct Factor {
  static constexpr Index kDepth = 512;
  static constexpr Index width = Panels<T>::width;

  T* data = nullptr;
  Index depth = 0, columns = 0;

  static Index size(Index depth, Index columns) { return Panels<T>::size(depth, columns); }
  // At least one, so that a sum of nothing is written too.
  Index pieces() const { return depth <= kDepth ? 1 : (depth + kDepth - 1) / kDepth; }
  Index begin(Index piece) const { return depth * piece / pieces(); }
  Index panels() const { return (columns + width - 1) / width; }
  // Some of the panels of a piece.
  Panels<T> at(Index piece, Index first, Index end) const {
    Panels<T> panels;
    panels.depth = begin(piece + 1) - begin(piece);
    panels.columns = least(columns - first * width, (end - first) * width);
    panels.data = data + begin(piece) * round_up(columns, kWidth<T>) + first * width * panels.depth;
    return panels;
  }
};

// Where the elements of a factor come from: W (O, I) itself, or its transpose.
template <class T>
struct Source {
  const T* weight;
  Index inputs;
  bool is_transposed;

  // Packs rows from `from` on, columns from `column` on.
  void pack(Index from, Index column, const Panels<T>& to) const {
    const T* at[Factor<T>::kDepth > Panels<T>::width ? Factor<T>::kDepth : Panels<T>::width];
    if (!is_transposed) {
      for (Index k = 0; k < to.depth; ++k) at[k] = weight + (from + k) * inputs + column;
      return pack_rows<T>(at, nullptr, 0, to, 0, to.count());
    }
    for (Index p = 0; p < to.count(); ++p) {
      Panels<T> panel = to;
      panel.data = to.panel(p);
      panel.columns = least(to.columns - p * to.width, to.width);
      for (Index j = 0; j < panel.columns; ++j) at[j] = weight + (column + p * to.width + j) * inputs + from;
      pack_columns<T>(at, panel, 0, 1);
    }
  }
};

constexpr Index kGroup = 4;        // Panels that are multiplied one after the other by the same rows.
constexpr Index kRowsAtOnce = 96;  // So many rows stay in the nearest caches meanwhile.

// c (N, columns) = a (N, depth) w + bias.
//
// Each part takes some of the rows, and all share the packed factor. Where there are few rows and many columns, each
// takes some of the columns instead, and packs a piece of them just before it is used: a large factor then crosses
// memory once.
template <class T>
struct Product {
  const Sequence<const T>& a;
  Index batch, rows;
  T* c;
  Source<T> source;
  Factor<T> factor;
  const T* bias = nullptr;
  bool by_columns = false, adds = false;
  T* own = nullptr;  // A piece of a group.
  T* whole_bias = nullptr;
  const T** left = nullptr;
  T** right = nullptr;

  Product(const Sequence<const T>& a_, Index batch_, Index rows_, T* c_, Source<T> source_, Index depth, Index columns,
          const T* bias_, int parts)
      : a(a_), batch(batch_), rows(rows_), c(c_), source(source_), bias(bias_) {
    factor.depth = depth;
    factor.columns = columns;
    by_columns = rows < kFewRows && factor.panels() >= 2 * parts && depth * columns >= kLargeFactor;
  }
  static constexpr Index kFewRows = 1024, kLargeFactor = 1 << 17;

  void place_shared(Pieces& pieces) {
    if (!by_columns) factor.data = pieces.take<T>(Factor<T>::size(factor.depth, factor.columns));
  }
  void place_own(Pieces& pieces) {
    if (by_columns)
      own = pieces.take<T>(Panels<T>::size(least(factor.depth, Factor<T>::kDepth), kGroup * Factor<T>::width));
    if (bias != nullptr) whole_bias = pieces.take<T>(round_up(factor.columns, kWidth<T>));
    left = pieces.take<const T*>(kRowsAtOnce);
    right = pieces.take<T*>(kRowsAtOnce);
  }

  void pack(const PanelShare& share) const {
    if (by_columns) return;
    const Index panels = factor.panels(), count = factor.pieces() * panels;
    for (Index n = share.begin(count); n < share.end(count); ++n) {
      const Index piece = n / panels, p = n % panels;
      source.pack(factor.begin(piece), p * factor.width, factor.at(piece, p, p + 1));
    }
  }

  void begin() const {
    if (bias == nullptr) return;
    const Index whole = round_up(factor.columns, kWidth<T>);
    std::memcpy(whole_bias, bias, sizeof(T) * static_cast<std::size_t>(factor.columns));
    for (Index i = factor.columns; i < whole; ++i) whole_bias[i] = 0;
  }

  void run(const PanelShare& share) const {
    begin();
    if (!by_columns) return multiply_rows(share.begin(rows), share.end(rows));
    const Index panels = factor.panels(), end = share.end(panels);
    for (Index p = share.begin(panels); p < end; p += kGroup) {
      const Index next = least(end, p + kGroup);
      for (Index piece = 0; piece < factor.pieces(); ++piece) {
        Panels<T> panels_of = factor.at(piece, p, next);
        panels_of.data = own;
        source.pack(factor.begin(piece), p * factor.width, panels_of);
        for (Index i = 0; i < rows; i += kRowsAtOnce) {
          const Index count = point(i, rows);
          add_piece(count, p, piece, panels_of);
        }
      }
    }
  }

  // Sets the pointers to a chunk of rows; returns their number.
  Index point(Index from, Index end) const {
    const Index count = least(end - from, kRowsAtOnce);
    for (Index n = 0; n < count; ++n) {
      left[n] = a.at((from + n) / batch, (from + n) % batch);
      right[n] = c + (from + n) * factor.columns;
    }
    return count;
  }

  void add_piece(Index count, Index panel, Index piece, const Panels<T>& panels) const {
    const Index column = panel * factor.width;
    const Start start = piece > 0 || adds ? Start::self : bias == nullptr ? Start::zero : Start::bias;
    multiply<T>(left, factor.begin(piece), right, column, count, panels, start,
                bias == nullptr ? nullptr : whole_bias + column, false);
  }

  void multiply_rows(Index from, Index end) const {
    for (Index i = from; i < end; i += kRowsAtOnce) {
      const Index count = point(i, end);
      for (Index p = 0; p < factor.panels(); p += kGroup) {
        const Index next = least(factor.panels(), p + kGroup);
        for (Index piece = 0; piece < factor.pieces(); ++piece) add_piece(count, p, piece, factor.at(piece, p, next));
      }
    }
  }
};

template <class T>
struct LinearForward {
  PanelShare share;
  void *shared, *own;
  Product<T> product;

  LinearForward(const Linear<T>& call, int part, int parts, void* shared_, void* const* scratch)
      : share{part, parts},
        shared(shared_),
        own(scratch == nullptr ? nullptr : scratch[part]),
        product(call.x, call.batch, call.rows(), call.y,
                {call.weight, call.is_across ? call.outputs : call.inputs, !call.is_across}, call.inputs, call.outputs,
                call.bias, parts) {
    product.adds = call.adds;
    // What is packed just before it is used could not be kept.
    if (call.is_kept) product.by_columns = false;
  }

  Index shared_bytes() {
    Pieces pieces(shared);
    product.place_shared(pieces);
    return pieces.used();
  }
  Index part_bytes() {
    Pieces pieces(own);
    product.place_own(pieces);
    return pieces.used();
  }
  int stages() const { return 2; }
  void run(int stage) {
    shared_bytes();
    part_bytes();
    stage == 0 ? product.pack(share) : product.run(share);
  }
};

// --- backward --------------------------------------------------------------------------------------------------------

// The gradients of W and b are sums over rows. A small W has a sum for each part, of its rows, and these are added up
// in the end. Of a large one each part has some rows, and goes through all of x, which is packed before, so much of it
// at once as stays in the last cache.
template <class T>
struct LinearBackward {
  static constexpr Index kDepth = 128;               // Rows of x and dy that are taken together.
  static constexpr Index kTile = 48;                 // Rows of W that are summed up together.
  static constexpr Index kSmall = Index{1} << 19;    // Bytes of a small W.
  static constexpr Index kPacked = Index{12} << 20;  // Bytes of x that are packed at once.

  const Linear<T>& call;
  PanelShare share;
  void* shared;
  void* const* scratch;
  Product<T> product;
  Index stride;  // Of a row of sums.
  bool has_sums, is_small;
  Index rows_packed;  // Of x at once.

  // Of all.
  T* packed = nullptr;
  // Of a part. First what `reduce` has to find in each.
  T *sums = nullptr, *bias_sums = nullptr;
  T *tile = nullptr, *chunk = nullptr;
  const T** rows = nullptr;

  LinearBackward(const Linear<T>& call_, int part, int parts, void* shared_, void* const* scratch_)
      : call(call_),
        share{part, parts},
        shared(shared_),
        scratch(scratch_),
        product(call.dy, call.batch, call.rows(), call.dx, {call.weight, call.inputs, false}, call.outputs, call.inputs,
                nullptr, parts) {
    stride = round_up(call.inputs, kWidth<T>);
    has_sums = call.dweight != nullptr || call.dbias != nullptr;
    const Index bytes = static_cast<Index>(sizeof(T)) * stride;
    is_small = call.dweight == nullptr || call.outputs * bytes <= kSmall;
    rows_packed = least(call.rows(), round_up(bytes == 0 ? kDepth : kPacked / bytes + 1, kDepth));
  }

  bool has_input() const { return call.dx != nullptr; }
  Index rounds() const { return rows_packed == 0 ? 1 : (call.rows() + rows_packed - 1) / rows_packed; }

  Index shared_bytes() {
    Pieces pieces(shared);
    if (has_input()) product.place_shared(pieces);
    if (!is_small) packed = pieces.take<T>(rows_packed * stride);
    return pieces.used();
  }
  Index part_bytes() { return place(scratch == nullptr ? nullptr : scratch[share.thread]); }
  Index place(void* block) {
    Pieces pieces(block);
    const Index height = is_small ? call.outputs : kTile;
    if (call.dweight != nullptr) sums = pieces.take<T>(height * stride);
    if (call.dbias != nullptr) bias_sums = pieces.take<T>(round_up(height, kWidth<T>));
    if (has_sums) tile = pieces.take<T>(kDepth * kTile);
    if (is_small && call.dweight != nullptr) chunk = pieces.take<T>(kDepth * stride);
    if (has_sums) rows = pieces.take<const T*>(kDepth);
    if (has_input()) product.place_own(pieces);
    return pieces.used();
  }

  int stages() const { return 2 + (!has_sums ? 0 : is_small ? 1 : 2 * static_cast<int>(rounds())); }
  void run(int stage) {
    shared_bytes();
    part_bytes();
    if (stage == 0) {
      if (has_input()) product.pack(share);
    } else if (stage == 1) {
      if (has_input()) product.run(share);
      if (has_sums && is_small) sum_rows();
    } else if (is_small) {
      reduce();
    } else {
      const Index round = (stage - 2) / 2;
      stage % 2 == 0 ? pack_inputs(round) : sum_tiles(round);
    }
  }

  const T* row(const Sequence<const T>& of, Index n) const { return of.at(n / call.batch, n % call.batch); }

  // Packs some panels of some rows of x.
  void pack_rows_of_x(Index from, Index count, T* to, Index first, Index end) const {
    for (Index k = 0; k < count; ++k) rows[k] = row(call.x, from + k);
    Panels<T> panels;
    panels.data = to;
    panels.depth = count;
    panels.columns = call.inputs;
    pack_rows<T>(rows, nullptr, 0, panels, first, end);
  }

  // Adds what rows from `from` on give to the sums of rows of W from `first` on; `to` and `to_bias` are of the first.
  void add(Index from, Index count, Index first, Index height, const T* packed_x, T* to, T* to_bias) const {
    constexpr int W = kWidth<T>;
    const Index whole = round_up(height, W);
    // Side by side: as they lie, rows of dy may share lines of the cache.
    for (Index u = 0; u < height; u += W) {
      const Lanes<T> lanes(height - u);
      Vector<T> total{};
      for (Index k = 0; k < count; ++k) {
        const Vector<T> value = load(row(call.dy, from + k) + first + u, lanes);
        total += value;
        store(tile + k * whole + u, value);
      }
      if (to_bias != nullptr) store(to_bias + u, load(to_bias + u) + total);
    }
    if (to == nullptr) return;
    for (Index k = 0; k < count; ++k) rows[k] = tile + k * whole;
    Panels<T> panels;
    panels.data = const_cast<T*>(packed_x);
    panels.depth = count;
    panels.columns = call.inputs;
    multiply_outer<T>(rows, 0, height, panels, to, stride, Start::self);
  }

  static void clear(T* values, Index count) {
    if (values != nullptr) std::memset(values, 0, sizeof(T) * static_cast<std::size_t>(count));
  }

  void sum_rows() const {
    clear(sums, call.outputs * stride);
    clear(bias_sums, round_up(call.outputs, kWidth<T>));
    const Index end = share.end(call.rows());
    for (Index n = share.begin(call.rows()); n < end; n += kDepth) {
      const Index count = least(kDepth, end - n);
      if (sums != nullptr) pack_rows_of_x(n, count, chunk, 0, (call.inputs + Panels<T>::width - 1) / Panels<T>::width);
      for (Index o = 0; o < call.outputs; o += kTile) {
        add(n, count, o, least(kTile, call.outputs - o), chunk, sums == nullptr ? nullptr : sums + o * stride,
            bias_sums == nullptr ? nullptr : bias_sums + o);
      }
    }
  }

  // Writes one part's stretch of the sums of all.
  void reduce() const {
    const auto total = [&](T* to, Index count, const T* first) {
      write_total(to, count, first, scratch, share.thread, share.threads);
    };
    const Index begin = share.begin(call.outputs), end = share.end(call.outputs);
    for (Index o = begin; o < end && sums != nullptr; ++o) {
      total(call.dweight + o * call.inputs, call.inputs, sums + o * stride);
    }
    if (bias_sums != nullptr) total(call.dbias + begin, end - begin, bias_sums + begin);
  }

  Index round_begin(Index round) const { return round * rows_packed; }
  Index round_end(Index round) const { return least(call.rows(), (round + 1) * rows_packed); }

  void pack_inputs(Index round) const {
    const Index from = round_begin(round), all = round_end(round) - from;
    const Index panels = (call.inputs + Panels<T>::width - 1) / Panels<T>::width;
    const Index chunks = (all + kDepth - 1) / kDepth;
    for (Index n = share.begin(chunks * panels); n < share.end(chunks * panels); ++n) {
      const Index at = n / panels * kDepth, p = n % panels;
      pack_rows_of_x(from + at, least(kDepth, all - at), packed + at * stride, p, p + 1);
    }
  }

  void sum_tiles(Index round) const {
    const Index from = round_begin(round), to = round_end(round), end = share.end(call.outputs);
    for (Index o = share.begin(call.outputs); o < end; o += kTile) {
      const Index height = least(kTile, end - o);
      clear(sums, height * stride);
      clear(bias_sums, round_up(height, kWidth<T>));
      for (Index n = from; n < to; n += kDepth) {
        add(n, least(kDepth, to - n), o, height, packed + (n - from) * stride, sums, bias_sums);
      }
      for (Index m = 0; m < height; ++m) {
        put(call.dweight + (o + m) * call.inputs, sums + m * stride, call.inputs, round);
      }
      if (call.dbias != nullptr) put(call.dbias + o, bias_sums, height, round);
    }
  }

  // Later rounds add to what the first has written.
  static void put(T* to, const T* from, Index count, Index round) {
    for (Index p = 0; p < count; p += kWidth<T>) {
      const Lanes<T> lanes(count - p);
      store(to + p, round == 0 ? load(from + p, lanes) : load(to + p, lanes) + load(from + p, lanes), lanes);
    }
  }
};

}  // namespace RECUR_ISA
}  // namespace recur
