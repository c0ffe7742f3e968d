// Calls to try: their options, and random numbers for everything that they read.

#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "recurrence.h"

namespace recur {
namespace tests {

constexpr double kFar = std::numeric_limits<double>::infinity();

enum class Layout { dense, batch_first, repeated };
// Of what a mask or a share of zoneout varies with.
enum class Per { none, number, step, row_and_unit, all };
enum class Lengths { full, ragged, zero };

struct Case {
  CellKind cell = CellKind::rnn;
  std::int64_t steps = 3, batch = 2, inputs = 3, units = 5, outputs = 0;  // Outputs: 0 without a projection.
  Layout layout = Layout::dense;
  bool layer_norm = false, relu = false, reverse = false, bias = true, peephole = false, cell_bias = true;
  bool bfloat16 = false;
  double cell_clip = kFar, output_clip = kFar, gradient_clip = kFar;
  Lengths lengths = Lengths::full;
  bool resets = false, anew_is_start = false;
  bool state_mask = false;
  Per candidate_mask = Per::none, zoneout_h = Per::none, zoneout_c = Per::none;
  bool records = false;
  std::uint64_t absent = 0;  // Which gradients are not asked for, or not given; bit by bit.
  std::uint64_t seed = 1;

  std::int64_t gates() const;
  bool is_lstm() const { return cell == CellKind::lstm || cell == CellKind::lstm_coupled; }
  bool is_elementwise() const { return cell == CellKind::indrnn; }
  bool norms_sum() const { return cell == CellKind::rnn || cell == CellKind::indrnn; }
  bool has_cell_state() const {
    return is_lstm() || (outputs != 0 && (cell == CellKind::gru || cell == CellKind::ligru));
  }
  bool has_second() const { return cell == CellKind::gru_reset_before || cell == CellKind::mgu; }
  bool can_project() const { return !is_elementwise() && !has_second(); }
  std::int64_t state_size() const { return outputs != 0 ? outputs : units; }
  std::string text() const;
};

// Every array by the name that `Recurrence` has for it, row-major, always (T, B, F) where it has steps. Gradients that
// are given are called dy, dhn, dcn, dgate0 and so on, dcells. Numbers of the kind T, so that both compute with the
// same.
using Arrays = std::map<std::string, std::vector<double>>;

struct Data {
  Arrays arrays;
  std::vector<std::int64_t> lengths;  // Of every row.
  std::vector<bool> reset;            // (T, B)

  std::int64_t length(const Case& c, std::int64_t b) const {
    return c.lengths == Lengths::full ? c.steps : lengths[static_cast<std::size_t>(b)];
  }
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint64_t next();
  // Below `count`.
  std::int64_t below(std::int64_t count) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(count));
  }
  bool one_in(std::int64_t count) { return below(count) == 0; }
  // From -1 to 1, exact in float.
  double number();
  template <class E>
  E of(std::initializer_list<E> choices) {
    return choices.begin()[below(static_cast<std::int64_t>(choices.size()))];
  }

 private:
  std::uint64_t state_;
};

constexpr CellKind kCells[] = {CellKind::rnn,  CellKind::gru,          CellKind::gru_reset_before,
                               CellKind::lstm, CellKind::lstm_coupled, CellKind::indrnn,
                               CellKind::mgu,  CellKind::ligru};

// A case of any form that the cell has, with options drawn at random.
Case random_case(CellKind cell, std::uint64_t seed);
Data random_data(const Case& c);

// The equations as src/recur/ops/*/README.md has them, a number at a time: y, hn, cn, gate0 and so on, cells. Steps
// past a row's end hold zeros.
Arrays reference(const Case& c, const Data& data);

}  // namespace tests
}  // namespace recur
