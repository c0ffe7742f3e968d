// A matrix in the order in which products read it.

#pragma once

#include "kernels/pairs.h"
#include "kernels/vectors.h"

namespace recur {
namespace RECUR_ISA {

constexpr Index round_up(Index value, Index multiple) { return (value + multiple - 1) / multiple * multiple; }
constexpr Index least(Index a, Index b) { return a < b ? a : b; }

// A matrix (depth, columns) in panels of a few vectors of columns: [panel][depth][columns of the panel], the last panel
// narrower, the last vector filled up with zeros. In pairs, two numbers that follow upon each other along the depth
// take the place of one, and levels are filled up with zeros to whole tiles.
template <class T>
struct Panels {
  T* data = nullptr;
  Index depth = 0, columns = 0;
  bool is_paired = false;
  // Or, where so few rows are multiplied that packing would take longer than the product: where each column lies, or
  // each row; null stands for zeros.
  const T* const* column_at = nullptr;
  const T* const* row_at = nullptr;
  Index row_from = 0;      // The element of such a row at which the columns begin.
  bool is_turned = false;  // Whether a product begins with the last panel.

  static constexpr Index width = kPanelVectors * kWidth<T>;
  static Index levels_of(Index depth, bool is_paired) {
    return is_paired ? round_up((depth + 1) / 2, kTogether<T>) : depth;
  }
  Index levels() const { return levels_of(depth, is_paired); }
  static Index size(Index levels, Index columns) { return levels * round_up(columns, kWidth<T>); }
  Index size() const { return size(levels(), columns); }
  Index count() const { return (columns + width - 1) / width; }
  T* panel(Index number) const { return data + number * width * levels(); }
  int vectors(Index number) const {
    return static_cast<int>((least(columns - number * width, width) + kWidth<T> - 1) / kWidth<T>);
  }
  // Some of the columns as panels of their own, packed by themselves; `first` is a whole number of vectors.
  Panels run(Index first, Index count) const {
    Panels panels = *this;
    panels.columns = count;
    if (data != nullptr) panels.data += first * levels();
    if (column_at != nullptr) panels.column_at += first;
    panels.row_from += first;
    return panels;
  }
  // For products that follow upon each other: each begins with the panels that the one before has left in the caches,
  // which otherwise hold none of them where all together are a little larger.
  Panels for_step(Index s) const {
    Panels panels = *this;
    panels.is_turned = s % 2 != 0;
    return panels;
  }
};

// What the elements of a product are added to.
enum class Start { zero, bias, self };

}  // namespace RECUR_ISA
}  // namespace recur
