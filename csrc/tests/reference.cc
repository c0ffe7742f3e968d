#include <algorithm>
#include <cmath>

#include "cases.h"

namespace recur {
namespace tests {
namespace {

using Row = std::vector<double>;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double clamped(double x, double bound) { return std::min(std::max(x, -bound), bound); }

// One row's state, as it goes from step to step, and what a step leaves behind.
struct Step {
  const Case& c;
  const Arrays& arrays;
  std::int64_t b;
  Row h, c_state;
  Row gates[kMaxGates];

  Step(const Case& c_, const Data& data, std::int64_t row) : c(c_), arrays(data.arrays), b(row) {
    h = slice("h0", b, c.state_size());
    if (c.has_cell_state()) c_state = slice("c0", b, c.units);
  }

  bool has(const char* name) const { return arrays.count(name) != 0; }
  Row slice(const char* name, std::int64_t number, std::int64_t width) const {
    const Row& all = arrays.at(name);
    return Row(all.begin() + number * width, all.begin() + (number + 1) * width);
  }
  double at(const char* name, std::int64_t place) const { return arrays.at(name)[static_cast<std::size_t>(place)]; }
  // (rows, width) from `first_row` on, times a vector.
  Row product(const char* name, std::int64_t first_row, std::int64_t rows, const Row& by) const {
    const Row& matrix = arrays.at(name);
    const std::size_t width = by.size();
    Row found(static_cast<std::size_t>(rows));
    for (std::size_t r = 0; r < found.size(); ++r) {
      const double* row = matrix.data() + (static_cast<std::size_t>(first_row) + r) * width;
      for (std::size_t k = 0; k < width; ++k) found[r] += row[k] * by[k];
    }
    return found;
  }
  static Row normalised(const Row& values) {
    const double count = static_cast<double>(values.size());
    double mean = 0, variance = 0;
    for (const double value : values) mean += value / count;
    for (const double value : values) variance += (value - mean) * (value - mean) / count;
    Row found = values;
    for (double& value : found) value = (value - mean) / std::sqrt(variance + 1e-5);
    return found;
  }
  // Gates `first` to `first + count` of a product: normalised together, times gain, plus bias.
  Row finished(Row values, const char* gain, const char* bias, std::int64_t first) const {
    const std::int64_t offset = first * c.units;
    if (c.layer_norm && !c.norms_sum()) {
      values = normalised(values);
      for (std::size_t u = 0; u < values.size(); ++u) values[u] *= at(gain, offset + static_cast<std::int64_t>(u));
    }
    if (c.bias) {
      for (std::size_t u = 0; u < values.size(); ++u) values[u] += at(bias, offset + static_cast<std::int64_t>(u));
    }
    return values;
  }
  Row input(const Row& x, std::int64_t first, std::int64_t count) const {
    return finished(product("weight_ih", first * c.units, count * c.units, x), "norm_ih", "bias_ih", first);
  }
  Row hidden(const Row& by, std::int64_t first, std::int64_t count) const {
    return finished(product("weight_hh", first * c.units, count * c.units, by), "norm_hh", "bias_hh", first);
  }
  double activated(double a) const { return c.relu ? std::max(a, 0.0) : std::tanh(a); }

  // The new value of h before it is projected, clipped and held back; sets the cell state likewise.
  Row value(const Row& x, const Row& candidate_mask, const Row& old) {
    const std::size_t H = static_cast<std::size_t>(c.units);
    Row seen = h;
    if (c.state_mask) {
      for (std::size_t p = 0; p < seen.size(); ++p)
        seen[p] *= at("state_mask", b * c.state_size() + static_cast<std::int64_t>(p));
    }
    for (std::int64_t g = 0; g < c.gates(); ++g) gates[g].assign(H, 0);
    Row found(H);
    switch (c.cell) {
      case CellKind::rnn:
      case CellKind::indrnn: {
        Row a = product("weight_ih", 0, c.units, x);
        const Row past = c.is_elementwise() ? Row() : product("weight_hh", 0, c.units, seen);
        for (std::size_t u = 0; u < H; ++u) a[u] += c.is_elementwise() ? arrays.at("weight_hh")[u] * seen[u] : past[u];
        if (c.layer_norm) {
          a = normalised(a);
          for (std::size_t u = 0; u < H; ++u) a[u] *= arrays.at("norm_ih")[u];
        }
        for (std::size_t u = 0; u < H; ++u) {
          if (c.bias) a[u] += arrays.at("bias_ih")[u] + arrays.at("bias_hh")[u];
          found[u] = activated(a[u]);
        }
        break;
      }
      case CellKind::gru:
      case CellKind::gru_reset_before: {
        const bool is_after = c.cell == CellKind::gru;
        const Row xs = input(x, 0, 2), xn = input(x, 2, 1), hs = hidden(seen, 0, 2);
        for (std::size_t u = 0; u < H; ++u) {
          gates[0][u] = sigmoid(xs[u] + hs[u]);
          gates[1][u] = sigmoid(xs[H + u] + hs[H + u]);
        }
        if (!is_after) {
          for (std::size_t u = 0; u < H; ++u) seen[u] *= gates[0][u];
        }
        const Row hn = hidden(seen, 2, 1);
        for (std::size_t u = 0; u < H; ++u) {
          gates[2][u] = std::tanh(xn[u] + (is_after ? gates[0][u] : 1) * hn[u]);
          found[u] = (1 - gates[1][u]) * gates[2][u] * candidate_mask[u] + gates[1][u] * old[u];
        }
        break;
      }
      case CellKind::mgu: {
        const Row xf = input(x, 0, 1), xn = input(x, 1, 1), hf = hidden(seen, 0, 1);
        for (std::size_t u = 0; u < H; ++u) gates[0][u] = sigmoid(xf[u] + hf[u]);
        for (std::size_t u = 0; u < H; ++u) seen[u] *= gates[0][u];
        const Row hn = hidden(seen, 1, 1);
        for (std::size_t u = 0; u < H; ++u) {
          gates[1][u] = std::tanh(xn[u] + hn[u]);
          found[u] = (1 - gates[0][u]) * old[u] + gates[0][u] * gates[1][u] * candidate_mask[u];
        }
        break;
      }
      case CellKind::ligru: {
        const Row xz = input(x, 0, 1), xn = input(x, 1, 1), hz = hidden(seen, 0, 1), hn = hidden(seen, 1, 1);
        for (std::size_t u = 0; u < H; ++u) {
          gates[0][u] = sigmoid(xz[u] + hz[u]);
          gates[1][u] = activated(xn[u] + hn[u]);
          found[u] = gates[0][u] * old[u] + (1 - gates[0][u]) * gates[1][u] * candidate_mask[u];
        }
        break;
      }
      case CellKind::lstm:
      case CellKind::lstm_coupled:
        lstm(x, seen, candidate_mask, found);
        break;
    }
    return found;
  }

  void lstm(const Row& x, const Row& seen, const Row& candidate_mask, Row& found) {
    const bool is_coupled = c.cell == CellKind::lstm_coupled;
    const std::size_t H = static_cast<std::size_t>(c.units), F = is_coupled ? 0 : 1, G = F + 1, O = F + 2;
    const Row xs = input(x, 0, c.gates()), hs = hidden(seen, 0, c.gates());
    const auto eye = [&](std::size_t number, std::size_t u) {
      return c.peephole ? arrays.at("weight_ch")[number * H + u] : 0;
    };
    const auto sum = [&](std::size_t gate, std::size_t u) { return xs[gate * H + u] + hs[gate * H + u]; };
    Row next(H);
    for (std::size_t u = 0; u < H; ++u) {
      gates[F][u] = sigmoid(sum(F, u) + eye(F, u) * c_state[u]);
      const double i = is_coupled ? 1 - gates[F][u] : sigmoid(sum(0, u) + eye(0, u) * c_state[u]);
      if (!is_coupled) gates[0][u] = i;
      gates[G][u] = std::tanh(sum(G, u));
      next[u] = clamped(gates[F][u] * c_state[u] + i * gates[G][u] * candidate_mask[u], c.cell_clip);
      gates[O][u] = sigmoid(sum(O, u) + eye(F + 1, u) * next[u]);
    }
    Row shown = next;
    if (c.layer_norm) {
      shown = normalised(next);
      for (std::size_t u = 0; u < H; ++u) {
        shown[u] = shown[u] * arrays.at("norm_c")[u] + (has("norm_c_bias") ? arrays.at("norm_c_bias")[u] : 0);
      }
    }
    for (std::size_t u = 0; u < H; ++u) found[u] = gates[O][u] * std::tanh(shown[u]);
    next_cell = next;
  }
  Row next_cell;

  void run(const Row& x, const Data& data, std::int64_t t) {
    if (c.resets && data.reset[static_cast<std::size_t>(t * c.batch + b)]) {
      h = slice(c.anew_is_start ? "h0" : "h_anew", b, c.state_size());
      if (c.has_cell_state()) c_state = slice(c.anew_is_start ? "c0" : "c_anew", b, c.units);
    }
    const Row ones(static_cast<std::size_t>(c.units), 1.0);
    const Row mask = has("candidate_mask") ? slice("candidate_mask", t * c.batch + b, c.units) : ones;
    Row found = value(x, mask, c.has_cell_state() ? c_state : h);
    if (!c.is_lstm()) next_cell = found;
    if (c.outputs != 0) found = product("weight_hr", 0, c.outputs, found);
    for (std::size_t p = 0; p < found.size(); ++p) {
      found[p] = clamped(found[p], c.output_clip);
      const double keep =
          has("zoneout_h") ? at("zoneout_h", (t * c.batch + b) * c.state_size() + static_cast<std::int64_t>(p)) : 0;
      h[p] = keep * h[p] + (1 - keep) * found[p];
    }
    for (std::size_t u = 0; u < c_state.size(); ++u) {
      const double keep =
          has("zoneout_c") ? at("zoneout_c", (t * c.batch + b) * c.units + static_cast<std::int64_t>(u)) : 0;
      c_state[u] = keep * c_state[u] + (1 - keep) * next_cell[u];
    }
  }
};

}  // namespace

Arrays reference(const Case& c, const Data& data) {
  Arrays found;
  const auto room = [&](const std::string& name, std::int64_t count) {
    found[name].assign(static_cast<std::size_t>(count), 0);
  };
  const std::int64_t P = c.state_size(), H = c.units;
  room("y", c.steps * c.batch * P);
  room("hn", c.batch * P);
  if (c.has_cell_state()) room("cn", c.batch * H), room("cells", c.steps * c.batch * H);
  for (std::int64_t g = 0; g < c.gates(); ++g) room("gate" + std::to_string(g), c.steps * c.batch * H);
  const auto put = [&](const std::string& name, std::int64_t row, const Row& values) {
    std::copy(values.begin(), values.end(), found.at(name).begin() + row * static_cast<std::int64_t>(values.size()));
  };
  for (std::int64_t b = 0; b < c.batch; ++b) {
    Step step(c, data, b);
    const std::int64_t length = data.length(c, b);
    for (std::int64_t s = 0; s < length; ++s) {
      const std::int64_t t = c.reverse ? length - 1 - s : s, row = t * c.batch + b;
      step.run(step.slice("x", row, c.inputs), data, t);
      put("y", row, step.h);
      if (c.has_cell_state()) put("cells", row, step.c_state);
      for (std::int64_t g = 0; g < c.gates() && !c.norms_sum(); ++g)
        put("gate" + std::to_string(g), row, step.gates[g]);
    }
    put("hn", b, step.h);
    if (c.has_cell_state()) put("cn", b, step.c_state);
  }
  return found;
}

}  // namespace tests
}  // namespace recur
