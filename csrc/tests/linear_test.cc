#include "linear_test.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cases.h"
#include "check.h"
#include "linear.h"
#include "trial.h"

namespace recur {
namespace tests {
namespace {

struct Size {
  std::int64_t steps, batch, inputs, outputs;
};

// Which gradients are wanted, and whether there is a bias.
enum Parts { kInput = 1, kWeight = 2, kBias = 4, kAll = 7 };

using Values = std::vector<double>;

Values numbers(Random& random, std::int64_t count) {
  Values values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.number();
  return values;
}

// Rows with `gap` numbers between them that are none; with `is_batch_first` the steps of a row lie side by side.
template <class T>
Sequence<const T> laid_out(Buffer<T>& to, const Values& values, const Size& s, std::int64_t width, std::int64_t gap,
                           bool is_batch_first) {
  const std::int64_t row = width + gap;
  const Sequence<const T> place{to.data(), is_batch_first ? row : s.batch * row, is_batch_first ? s.steps * row : row};
  for (std::int64_t t = 0; t < s.steps; ++t) {
    for (std::int64_t b = 0; b < s.batch; ++b) {
      for (std::int64_t i = 0; i < width; ++i) {
        const_cast<T*>(place.at(t, b))[i] =
            static_cast<T>(values[static_cast<std::size_t>((t * s.batch + b) * width + i)]);
      }
    }
  }
  return place;
}

template <class T>
void copy(Buffer<T>& to, const Values& values) {
  for (std::size_t i = 0; i < values.size(); ++i) to.data()[i] = static_cast<T>(values[i]);
}

template <class T>
void check(const char* name, Buffer<T>& found, const Values& expected, std::int64_t terms) {
  CHECK(found.count() == static_cast<std::int64_t>(expected.size()));
  const double tolerance = static_cast<double>(terms + 8) * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double away = std::fabs(static_cast<double>(found.data()[i]) - expected[i]);
    if (!(away <= tolerance)) fail(__FILE__, __LINE__, std::string(name) + "[" + std::to_string(i) + "] is off");
  }
}

template <class T>
bool is_same(Buffer<T>& a, Buffer<T>& b) {
  return std::memcmp(a.data(), b.data(), sizeof(T) * static_cast<std::size_t>(a.count())) == 0;
}

// A kept weight gives the same numbers, also from its transpose and from memory that is gone; and it can be added.
template <class T>
void try_packed(Linear<T> call, Buffer<T>& y, const Values& weight, const Size& s, int threads) {
  const std::int64_t I = s.inputs, O = s.outputs;
  Buffer<T> found(y.count());
  for (const bool is_across : {false, true}) {
    auto turned = std::make_unique<Buffer<T>>(O * I);
    for (std::int64_t o = 0; o < O; ++o) {
      for (std::int64_t i = 0; i < I; ++i) {
        const T value = static_cast<T>(weight[static_cast<std::size_t>(o * I + i)]);
        turned->data()[is_across ? i * O + o : o * I + i] = value;
      }
    }
    Linear<T> layer;
    layer.inputs = I;
    layer.outputs = O;
    layer.weight = turned->data();
    layer.is_across = is_across;
    const PackedLinear<T> packed(layer, threads);
    turned.reset();
    call.weight = nullptr;
    call.y = found.data();
    for (int times = 0; times < 2; ++times) {
      poison_scratch();
      packed.multiply(call, threads);
      CHECK(is_same(y, found));
    }
    if (call.bias != nullptr) continue;
    Buffer<T> sum(y.count());
    for (std::int64_t n = 0; n < y.count(); ++n) sum.data()[n] = T{1};
    Linear<T> more = call;
    more.y = sum.data();
    more.adds = true;
    packed.multiply(more, threads);
    for (std::int64_t n = 0; n < y.count(); ++n) {
      const double away = static_cast<double>(sum.data()[n]) - 1 - static_cast<double>(y.data()[n]);
      CHECK(std::fabs(away) <= static_cast<double>(I + 8) * static_cast<double>(std::numeric_limits<T>::epsilon()));
    }
  }
}

template <class T>
void try_one(const Size& s, int threads, int parts, std::uint64_t seed) {
  context() = "linear, T=" + std::to_string(s.steps) + " B=" + std::to_string(s.batch) +
              " I=" + std::to_string(s.inputs) + " O=" + std::to_string(s.outputs) + " parts=" + std::to_string(parts) +
              " seed=" + std::to_string(seed) + " threads=" + std::to_string(threads) +
              " bytes=" + std::to_string(sizeof(T));
  Random random(seed);
  const std::int64_t N = s.steps * s.batch, I = s.inputs, O = s.outputs;
  const Values x = numbers(random, N * I), weight = numbers(random, O * I), bias = numbers(random, O);
  const Values dy = numbers(random, N * O);
  const auto at = [](const Values& values, std::int64_t row, std::int64_t width, std::int64_t column) {
    return values[static_cast<std::size_t>(row * width + column)];
  };
  Values y(dy.size()), dx(x.size()), dweight(weight.size()), dbias(bias.size());
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t o = 0; o < O; ++o) {
      double sum = (parts & kBias) != 0 ? bias[static_cast<std::size_t>(o)] : 0;
      const double d = at(dy, n, O, o);
      for (std::int64_t i = 0; i < I; ++i) {
        sum += at(x, n, I, i) * at(weight, o, I, i);
        dx[static_cast<std::size_t>(n * I + i)] += d * at(weight, o, I, i);
        dweight[static_cast<std::size_t>(o * I + i)] += d * at(x, n, I, i);
      }
      y[static_cast<std::size_t>(n * O + o)] = sum;
      dbias[static_cast<std::size_t>(o)] += d;
    }
  }

  const std::int64_t gap = static_cast<std::int64_t>(seed % 3);
  const bool is_batch_first = seed % 2 == 1;
  Buffer<T> x_in(N * (I + gap)), weight_in(O * I), bias_in(O), dy_in(N * (O + gap));
  copy(weight_in, weight);
  copy(bias_in, bias);
  Linear<T> call;
  call.steps = s.steps;
  call.batch = s.batch;
  call.inputs = I;
  call.outputs = O;
  call.x = laid_out(x_in, x, s, I, gap, is_batch_first);
  call.weight = weight_in.data();
  if ((parts & kBias) != 0) call.bias = bias_in.data();
  Buffer<T> y_out(N * O), again(N * O);
  call.y = y_out.data();
  poison_scratch();
  forward(call, threads);
  check("y", y_out, y, I);
  call.y = again.data();
  forward(call, threads);
  CHECK(is_same(y_out, again));
  if (N > 0) try_packed(call, y_out, weight, s, threads);

  Buffer<T> dx_out(N * I), dweight_out(O * I), dbias_out(O), dweight_again(O * I);
  call.dy = laid_out(dy_in, dy, s, O, gap, !is_batch_first);
  // What is not needed for a gradient is not looked at.
  if ((parts & kWeight) == 0) call.x = {};
  if ((parts & kInput) == 0) call.weight = nullptr;
  if ((parts & kInput) != 0) call.dx = dx_out.data();
  if ((parts & kWeight) != 0) call.dweight = dweight_out.data();
  if ((parts & kBias) != 0) call.dbias = dbias_out.data();
  poison_scratch();
  backward(call, threads);
  if ((parts & kInput) != 0) check("dx", dx_out, dx, O);
  if ((parts & kBias) != 0) check("dbias", dbias_out, dbias, N);
  if ((parts & kWeight) == 0) return;
  check("dweight", dweight_out, dweight, N);
  call.dweight = dweight_again.data();
  backward(call, threads);
  CHECK(is_same(dweight_out, dweight_again));
}

}  // namespace

void linear(int cases) {
  const Size sizes[] = {
      {1, 1, 1, 1},       {1, 0, 3, 2},                   // No rows: the weights' gradients are zero.
      {1, 3, 0, 2},                                       // No inputs: the bias alone.
      {1, 2, 3, 0},       {3, 5, 7, 65}, {1, 97, 64, 6},  // One row more than are taken at once.
      {2, 129, 17, 49},                                   // Of rows for a gradient, and of rows of a tile.
      {1, 9, 513, 3},                                     // More inputs than a packed piece has,
      {1, 7, 5, 515},                                     // and more outputs.
      {1, 8, 300, 900},                                   // Each thread some columns,
      {4, 33, 520, 530},                                  // with several pieces; and a gradient in tiles.
      {1, 40, 1030, 260},
  };
  std::uint64_t seed = 0;
  for (const Size& size : sizes) {
    for (const int threads : {1, 3}) {
      try_one<double>(size, threads, kAll, ++seed);
      try_one<float>(size, threads, kAll, ++seed);
    }
  }
  // More of x than is packed at once.
  try_one<float>({1, 129, 26300, 5}, 2, kAll, ++seed);
  for (int n = 0; n < cases; ++n) {
    Random random(static_cast<std::uint64_t>(n) + 1000);
    const Size size{1 + random.below(4), 1 + random.below(60), 1 + random.below(150), 1 + random.below(150)};
    try_one<double>(size, 1 + n % 3, n % 8, ++seed);
    try_one<float>(size, 1 + n % 3, n % 8, ++seed);
  }
}

}  // namespace tests
}  // namespace recur
