#include "cases.h"

#include <cmath>

namespace recur {
namespace tests {

std::int64_t Case::gates() const {
  switch (cell) {
    case CellKind::lstm:
      return 4;
    case CellKind::lstm_coupled:
    case CellKind::gru:
    case CellKind::gru_reset_before:
      return 3;
    case CellKind::mgu:
    case CellKind::ligru:
      return 2;
    default:
      return 1;
  }
}

std::string Case::text() const {
  static const char* const names[] = {"rnn", "gru",  "gru_reset_before", "lstm", "lstm_coupled", "indrnn",
                                      "mgu", "ligru"};
  std::string text = names[static_cast<int>(cell)];
  const auto number = [&](const char* name, double value) {
    text += std::string(" ") + name + "=" + std::to_string(value);
  };
  const auto whole = [&](const char* name, std::int64_t value) {
    text += std::string(" ") + name + "=" + std::to_string(value);
  };
  whole("T", steps), whole("B", batch), whole("I", inputs), whole("H", units), whole("P", outputs);
  whole("layout", static_cast<int>(layout)), whole("lengths", static_cast<int>(lengths));
  const auto flag = [&](const char* name, bool is_set) {
    if (is_set) text += std::string(" ") + name;
  };
  flag("layer_norm", layer_norm), flag("relu", relu), flag("reverse", reverse), flag("no_bias", !bias),
      flag("peephole", peephole), flag("bfloat16", bfloat16);
  flag("no_cell_bias", !cell_bias), flag("resets", resets), flag("anew_is_start", anew_is_start);
  flag("state_mask", state_mask), flag("records", records);
  if (cell_clip < kFar) number("cell_clip", cell_clip);
  if (output_clip < kFar) number("output_clip", output_clip);
  if (gradient_clip < kFar) number("gradient_clip", gradient_clip);
  whole("candidate_mask", static_cast<int>(candidate_mask)), whole("zoneout_h", static_cast<int>(zoneout_h));
  whole("zoneout_c", static_cast<int>(zoneout_c)), whole("absent", static_cast<std::int64_t>(absent));
  whole("seed", static_cast<std::int64_t>(seed));
  return text;
}

// splitmix64
std::uint64_t Random::next() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double Random::number() { return static_cast<double>(below(1 << 21) - (1 << 20)) / (1 << 20); }

Case random_case(CellKind cell, std::uint64_t seed) {
  Random random(seed);
  Case c;
  c.cell = cell;
  c.seed = seed;
  c.steps = random.of<std::int64_t>({0, 1, 2, 3, 5, 9});
  c.batch = random.of<std::int64_t>({0, 1, 2, 3, 5, 7, 13});
  c.inputs = random.of<std::int64_t>({1, 2, 3, 8, 16, 17, 33});
  c.units = random.of<std::int64_t>({1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65});
  if (c.can_project() && random.one_in(3)) c.outputs = random.of<std::int64_t>({1, 3, 8, 17, c.units, c.units + 5});
  c.layout = random.of({Layout::dense, Layout::dense, Layout::batch_first, Layout::repeated});
  c.layer_norm = random.one_in(3);
  c.relu = (cell == CellKind::rnn || cell == CellKind::indrnn || cell == CellKind::ligru) && random.one_in(2);
  c.reverse = random.one_in(3);
  c.bias = !random.one_in(4);
  if (c.is_lstm()) {
    c.peephole = random.one_in(3);
    c.cell_bias = !random.one_in(3);
    if (random.one_in(4)) c.cell_clip = 0.25;
  }
  if (random.one_in(4)) c.output_clip = 0.125;
  c.lengths =
      random.of({Lengths::full, Lengths::full, Lengths::ragged, Lengths::ragged, Lengths::ragged, Lengths::zero});
  c.resets = random.one_in(3);
  c.anew_is_start = random.one_in(2);
  c.state_mask = random.one_in(3);
  if (!c.norms_sum() && random.one_in(3)) c.candidate_mask = random.of({Per::row_and_unit, Per::all});
  if (random.one_in(3)) c.zoneout_h = random.of({Per::number, Per::step, Per::row_and_unit, Per::all});
  if (c.has_cell_state() && random.one_in(3)) c.zoneout_c = random.of({Per::number, Per::step, Per::all});
  c.records = random.one_in(3);
  if (random.one_in(3)) c.absent = random.next() & 0xffffff;
  return c;
}

Data random_data(const Case& c) {
  Random random(c.seed + 1000003);
  Data data;
  const auto fill = [&](const std::string& name, std::int64_t count, double size, double middle = 0) {
    std::vector<double>& values = data.arrays[name];
    values.resize(static_cast<std::size_t>(count));
    for (double& value : values) value = static_cast<float>(middle + size * random.number());
  };
  const std::int64_t T = c.steps, B = c.batch, I = c.inputs, H = c.units, P = c.state_size(), G = c.gates();
  fill("x", T * B * I, 1);
  if (c.layout == Layout::repeated) {
    std::vector<double>& x = data.arrays["x"];
    for (std::size_t i = static_cast<std::size_t>(B * I); i < x.size(); ++i)
      x[i] = x[i - static_cast<std::size_t>(B * I)];
  }
  fill("h0", B * P, 1);
  if (c.has_cell_state()) fill("c0", B * H, 1);
  const double size = 1.5 / std::sqrt(static_cast<double>(P));
  fill("weight_ih", G * H * I, 1.5 / std::sqrt(static_cast<double>(I)));
  fill("weight_hh", c.is_elementwise() ? H : G * H * P, c.is_elementwise() ? 0.9 : size);
  if (c.bias) {
    fill("bias_ih", G * H, 0.5);
    fill("bias_hh", G * H, 0.5);
  }
  if (c.outputs != 0) fill("weight_hr", P * H, 1.5 / std::sqrt(static_cast<double>(H)));
  if (c.peephole) fill("weight_ch", (G - 1) * H, 0.5);
  if (c.layer_norm) {
    fill("norm_ih", G * H, 0.3, 0.8);
    if (!c.norms_sum()) fill("norm_hh", G * H, 0.3, 0.8);
    if (c.is_lstm()) {
      fill("norm_c", H, 0.3, 0.8);
      if (c.cell_bias) fill("norm_c_bias", H, 0.3);
    }
  }
  if (c.resets && !c.anew_is_start) {
    fill("h_anew", B * P, 1);
    if (c.has_cell_state()) fill("c_anew", B * H, 1);
  }
  if (c.state_mask) fill("state_mask", B * P, 0.5, 1);
  // Full, whatever it varies with.
  const auto spread = [&](const std::string& name, Per per, std::int64_t width, double middle) {
    if (per == Per::none) return;
    fill(name, T * B * width, 0.4, middle);
    std::vector<double>& values = data.arrays[name];
    for (std::int64_t at = 0; at < T * B * width; ++at) {
      const std::int64_t step = at / (B * width) * B * width;
      const std::int64_t source = per == Per::number         ? 0
                                  : per == Per::step         ? step
                                  : per == Per::row_and_unit ? at - step
                                                             : at;
      values[static_cast<std::size_t>(at)] = values[static_cast<std::size_t>(source)];
    }
  };
  spread("candidate_mask", c.candidate_mask, H, 1);
  spread("zoneout_h", c.zoneout_h, P, 0.5);
  spread("zoneout_c", c.zoneout_c, H, 0.5);
  for (std::int64_t b = 0; b < B; ++b) {
    // All of the row, none of it, or anything between.
    const std::int64_t length = random.of<std::int64_t>({T, 0, random.below(T + 1), random.below(T + 1)});
    data.lengths.push_back(c.lengths == Lengths::zero ? 0 : length);
  }
  for (std::int64_t at = 0; at < T * B; ++at) data.reset.push_back(random.one_in(3));
  fill("dy", T * B * P, 1);
  fill("dhn", B * P, 1);
  if (c.has_cell_state()) fill("dcn", B * H, 1);
  if (c.records && !c.norms_sum()) {
    for (std::int64_t g = 0; g < G; ++g) fill("dgate" + std::to_string(g), T * B * H, 1);
  }
  if (c.records && c.has_cell_state()) fill("dcells", T * B * H, 1);
  return data;
}

}  // namespace tests
}  // namespace recur
