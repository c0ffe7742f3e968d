// Tries the kernels of one instruction set: values against the equations, gradients against differences of them, and
// that nothing is read or written beside the arrays.
//
// kernels_test ISA [CASES [emulated]]: the instruction set that RECUR_CPU_ISA asks for, which must be the one that
// runs, and how many random calls of each cell to try. An emulator may not know how to start threads in the child of a
// fork.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <new>
#include <thread>

#include "barrier.h"
#include "cases.h"
#include "check.h"
#include "cpu_features.h"
#include "linear_test.h"
#include "mask_test.h"
#include "recurrence.h"
#include "trial.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

// Scratch is what asks for aligned memory, and here it can be refused.
namespace {
bool has_memory = true;
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  void* data = nullptr;
  if (!has_memory || posix_memalign(&data, static_cast<std::size_t>(alignment), bytes) != 0) throw std::bad_alloc();
  return data;
}
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }

namespace recur {
namespace tests {
namespace {

// How far `found` may lie from `expected`, as a part of the largest element.
void check_near(const Arrays& found, const Arrays& expected, double tolerance) {
  for (const auto& [name, values] : found) {
    const auto other = expected.find(name);
    if (other == expected.end()) continue;
    CHECK(values.size() == other->second.size());
    double largest = 1;
    for (const double value : other->second) largest = std::max(largest, std::fabs(value));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double away = std::fabs(values[i] - other->second[i]);
      if (!(away <= tolerance * largest)) {
        fail(__FILE__, __LINE__,
             name + "[" + std::to_string(i) + "] is " + std::to_string(values[i]) + ", not " +
                 std::to_string(other->second[i]) + "; away " + std::to_string(away / largest * 1e9) + "e-9");
      }
    }
  }
}

void check_same(const Arrays& found, const Arrays& expected) { check_near(found, expected, 0); }

// What the gradients that are given make of the outputs.
double loss(const Case& c, const Data& data, std::uint64_t absent) {
  const Arrays outputs = reference(c, data);
  double total = 0;
  const char* const names[] = {"y", "hn", "cn", "gate0", "gate1", "gate2", "gate3", "cells"};
  for (std::size_t n = 0; n < std::size(names); ++n) {
    const auto weight = data.arrays.find(std::string("d") + names[n]);
    if (weight == data.arrays.end() || (absent >> n & 1) != 0) continue;
    const std::vector<double>& values = outputs.at(names[n]);
    for (std::size_t i = 0; i < values.size(); ++i) total += weight->second[i] * values[i];
  }
  return total;
}

// Each gradient, along a random direction, against the difference of the equations there.
void check_gradients(const Case& c, const Data& data, const Arrays& gradients) {
  constexpr double kStep = 1e-6;
  Random random(c.seed + 7);
  for (const auto& [name, values] : data.arrays) {
    const auto gradient = gradients.find("d" + name);
    if (gradient == gradients.end()) continue;
    Data ahead = data, behind = data;
    double slope = 0, size = 1;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double along = random.number();
      ahead.arrays[name][i] += kStep * along;
      behind.arrays[name][i] -= kStep * along;
      slope += along * gradient->second[i];
      size += std::fabs(along * gradient->second[i]);
    }
    const double expected = (loss(c, ahead, c.absent) - loss(c, behind, c.absent)) / (2 * kStep);
    // The rounding of a loss that is a sum of so many terms, and the curvature that is left.
    if (!(std::fabs(slope - expected) <= 2e-6 * size)) {
      fail(__FILE__, __LINE__,
           "d" + name + " along a direction is " + std::to_string(slope) + ", not " + std::to_string(expected) +
               "; away " + std::to_string(std::fabs(slope - expected) / size));
    }
  }
}

// Whether the processor multiplies pairs of bfloat16 numbers.
bool has_pairs() { return chosen_isa() == Isa::avx512_bf16 || chosen_isa() == Isa::avx512_amx; }

template <class T>
Arrays forward_and_backward(const Case& c, const Data& data, int threads, SplitBy by = SplitBy::rows,
                            SplitBy by_back = SplitBy::rows) {
  Trial<T> trial(c, data);
  trial.forward(true, threads, by);
  trial.backward(threads, by_back);
  return trial.found();
}

template <class T>
Arrays inference(const Case& c, const Data& data, int threads, SplitBy by = SplitBy::rows,
                 KeptWeights<T>* kept = nullptr) {
  Trial<T> trial(c, data);
  trial.forward(false, threads, by, kept);
  return trial.found();
}

// Split by hidden units, each number is what one thread alone computes, bit for bit; and what one split has saved the
// other reads.
template <class T>
void try_units(const Case& c, const Data& data, int threads) {
  const SplitBy rows = SplitBy::rows, units = SplitBy::units;
  const Arrays alone = forward_and_backward<T>(c, data, 1);
  check_same(forward_and_backward<T>(c, data, threads, units, units), alone);
  check_same(inference<T>(c, data, threads, units), inference<T>(c, data, 1));
  const double tolerance = sizeof(T) == sizeof(float) ? 1e-3 : 1e-9;
  check_near(forward_and_backward<T>(c, data, threads, units, rows), alone, tolerance);
  check_near(forward_and_backward<T>(c, data, threads, rows, units), alone, tolerance);
}

std::int64_t work(const Case& c) { return c.steps * c.batch * c.gates() * c.units * (c.inputs + c.state_size()); }

// All that can be told of one call.
void try_case(const Case& c, int threads = 1) {
  context() = c.text() + " threads=" + std::to_string(threads);
  const Data data = random_data(c);
  const Arrays expected = reference(c, data);
  const Arrays full = forward_and_backward<double>(c, data, threads);
  check_near(full, expected, 1e-9);
  if (work(c) < 100000 && !(c.gradient_clip < kFar)) check_gradients(c, data, full);
  // A layer of few units that is normalised may divide by a small deviation.
  const double tolerance = c.layer_norm ? 1e-2 : 1e-3;
  const Arrays single = forward_and_backward<float>(c, data, threads);
  check_near(single, full, tolerance);
  // Nothing is kept in inference.
  check_near(inference<double>(c, data, threads), expected, 1e-9);
  const Arrays single_inference = inference<float>(c, data, threads);
  check_near(single_inference, expected, tolerance);
  // Bit for bit the same again.
  check_same(forward_and_backward<float>(c, data, threads), single);
  Case rounded = c;
  rounded.bfloat16 = true;
  context() = rounded.text() + " threads=" + std::to_string(threads);
  const Arrays coarse = forward_and_backward<float>(rounded, data, threads);
  if (has_pairs()) {
    // Over some steps; a bound, or a relu, falls on either side of what it divides.
    const bool is_smooth = !c.layer_norm && !c.relu && !(c.cell_clip < kFar) && !(c.output_clip < kFar);
    if (is_smooth && c.steps < 10) check_near(coarse, full, 0.05);
    check_same(forward_and_backward<float>(rounded, data, threads), coarse);
  } else {
    check_same(coarse, single);
  }
  // Bit for bit the same from weights that are packed now, from those that have been, and after those of another split.
  context() = c.text() + " of kept weights, threads=" + std::to_string(threads);
  const Arrays by_units = inference<float>(c, data, threads + 1, SplitBy::units);
  KeptWeights<float> kept;
  for (int time = 0; time < 2; ++time) {
    check_same(inference<float>(c, data, threads, SplitBy::rows, &kept), single_inference);
  }
  for (int time = 0; time < 2; ++time) {
    check_same(inference<float>(c, data, threads + 1, SplitBy::units, &kept), by_units);
  }
  check_same(inference<float>(c, data, threads, SplitBy::rows, &kept), single_inference);
  // A form without that split is split by rows.
  if (c.layer_norm || c.outputs != 0) return;
  context() = c.text() + " by units, threads=" + std::to_string(threads);
  c.seed % 2 == 0 ? try_units<double>(c, data, threads + 1) : try_units<float>(c, data, threads + 1);
  if (has_pairs()) try_units<float>(rounded, data, threads + 1);
}

Case plain(CellKind cell, std::int64_t T, std::int64_t B, std::int64_t I, std::int64_t H) {
  Case c;
  c.cell = cell;
  c.steps = T;
  c.batch = B;
  c.inputs = I;
  c.units = H;
  return c;
}

// Where factors are rounded to bfloat16, sums are not: numbers that it has come out as from float32.
void rounded_factors(CellKind cell) {
  if (!has_pairs()) return;
  Case c = plain(cell, 1, 9, 19, 37);
  Data data = random_data(c);
  const auto values = [&](bool is_rounded, const char* name) {
    c.bfloat16 = is_rounded;
    context() = c.text() + " with rounded factors";
    return Arrays{{name, forward_and_backward<float>(c, data, 1).at(name)}};
  };
  bool is_same = true;
  const Arrays fine = values(false, "dweight_ih"), coarse = values(true, "dweight_ih");
  for (std::size_t i = 0; i < fine.at("dweight_ih").size(); ++i) {
    is_same = is_same && fine.at("dweight_ih")[i] == coarse.at("dweight_ih")[i];
  }
  CHECK(!is_same);
  check_near(coarse, fine, 1e-2);
  for (auto& [name, numbers] : data.arrays) {
    for (double& number : numbers) number = std::round(number * 128) / 128;
  }
  // The gated state of a second product is none of these numbers.
  check_near(values(true, "y"), values(false, "y"), c.has_second() ? 1e-2 : 1e-5);
}

void edges(CellKind cell) {
  try_case(plain(cell, 1, 1, 1, 1));
  try_case(plain(cell, 0, 3, 2, 5));
  try_case(plain(cell, 4, 0, 2, 5));
  // Chunks of 128 rows: more steps than one holds, a step more, more rows than one holds.
  try_case(plain(cell, 129, 1, 3, 5));
  try_case(plain(cell, 130, 3, 2, 3));
  try_case(plain(cell, 3, 131, 3, 2));
  for (const std::int64_t H : {15, 16, 17, 48, 64, 100}) try_case(plain(cell, 2, 5, H + 1, H));
  for (const std::int64_t B : {6, 7, 11, 12, 13}) try_case(plain(cell, 2, B, 5, 9));
  for (const bool reverse : {false, true}) {
    for (const Lengths lengths : {Lengths::ragged, Lengths::zero}) {
      Case c = plain(cell, 140, 5, 4, 6);
      c.reverse = reverse;
      c.lengths = lengths;
      c.resets = true;
      try_case(c);
    }
  }
  if (Case c = plain(cell, 5, 3, 4, 6); c.can_project()) {
    for (const std::int64_t P : {1, 6, 19}) {
      c.outputs = P;
      c.output_clip = 0.25;
      c.zoneout_h = Per::all;
      try_case(c);
    }
  }
}

// Wide enough that the work is shared, with more threads than rows, and with rows that end early.
void many_threads(CellKind cell) {
  Case c = plain(cell, 30, 9, 31, 33);
  c.seed = 11;
  for (const int threads : {2, 3, 12}) {
    for (const Lengths lengths : {Lengths::full, Lengths::ragged, Lengths::zero}) {
      c.lengths = lengths;
      c.layer_norm = lengths == Lengths::ragged;
      c.outputs = c.can_project() && lengths == Lengths::ragged ? 20 : 0;
      try_case(c, threads);
    }
  }
  // A chunk of 256 rows.
  Case wide = plain(CellKind::indrnn, 260, 2, 3, 1025);
  wide.lengths = Lengths::ragged;
  try_case(wide, 2);
}

// Wide enough, and with rows few enough, that the units are split unasked. It shows in sums over rows, which are those
// of one thread alone.
void few_rows(CellKind cell) {
  const Case c = plain(cell, 5, 2, 150, 300);
  const Data data = random_data(c);
  const Arrays alone = forward_and_backward<float>(c, data, 1);
  for (const int threads : {2, 3}) {
    company().forget();
    context() = c.text() + " of few rows, threads=" + std::to_string(threads);
    const Arrays found = forward_and_backward<float>(c, data, threads, SplitBy::fastest, SplitBy::fastest);
    c.is_elementwise() ? check_near(found, alone, 1e-4) : check_same(found, alone);
  }
}

// Infinities and overflow of the functions of the gates: NaN stays NaN, and what is large is held.
template <class T>
void large_numbers(CellKind cell) {
  Case c = plain(cell, 3, 2, 3, 5);
  Data data = random_data(c);
  context() = c.text() + " with large numbers";
  for (double& value : data.arrays["x"]) value *= 1e30;
  Trial<T> large(c, data);
  large.forward(true, 1);
  const Arrays found = large.found();
  for (const double value : found.at("y")) CHECK(std::fabs(value) <= 1);
  for (double& value : data.arrays["x"]) value = std::nan("");
  Trial<T> none(c, data);
  none.forward(true, 1);
  for (std::int64_t p = 0; p < c.units; ++p) CHECK(std::isnan(none.call.y.at(2, 1)[p]));
}

// A step passes back no more than the bound.
void gradient_clip(CellKind cell) {
  Case c = plain(cell, 1, 3, 4, 17);
  const Data data = random_data(c);
  context() = c.text() + " with a bound on gradients";
  const Arrays whole = forward_and_backward<double>(c, data, 1);
  c.gradient_clip = 0.0625;
  Arrays bounded = forward_and_backward<double>(c, data, 1);
  for (const char* name : {"dh0", "dc0"}) {
    if (whole.count(name) == 0) continue;
    bool is_held = false;
    for (std::size_t i = 0; i < whole.at(name).size(); ++i) {
      const double expected = std::min(std::max(whole.at(name)[i], -c.gradient_clip), c.gradient_clip);
      CHECK(bounded.at(name)[i] == expected);
      is_held = is_held || expected != whole.at(name)[i];
    }
    CHECK(is_held);
  }
}

void no_memory() {
  // More than this thread has kept.
  const Case c = plain(CellKind::lstm, 4, 8, 700, 700);
  context() = c.text() + " without memory";
  const Data data = random_data(c);
  Trial<float> trial(c, data);
  has_memory = false;
  bool has_thrown = false;
  try {
    trial.forward(true, 2);
  } catch (const std::bad_alloc&) {
    has_thrown = true;
  }
  has_memory = true;
  CHECK(has_thrown);
  check_near(forward_and_backward<float>(c, data, 2), reference(c, data), 1e-3);
}

// Several at once, each with threads of its own; where there are fewer threads than asked for; and in the child of a
// fork, where those threads are gone.
void side_by_side(SplitBy by, bool is_emulated) {
  // Few enough rows for weights that are kept.
  const Case c = plain(CellKind::gru, 28, 9, 31, 33);
  const Data data = random_data(c);
  const auto computed = [&] { return forward_and_backward<float>(c, data, 3, by, by); };
  context() = "several callers at once";
  const Arrays expected = computed();
  std::vector<Arrays> found(4);
  std::vector<std::thread> callers;
  for (Arrays& each : found) callers.emplace_back([&] { each = computed(); });
  for (std::thread& caller : callers) caller.join();
  for (const Arrays& each : found) check_same(each, expected);
#if defined(_OPENMP)
  context() = "a caller that is one thread of several";
#pragma omp parallel for num_threads(2)
  for (int n = 0; n < 2; ++n) found[static_cast<std::size_t>(n)] = computed();
  for (int n = 0; n < 2; ++n) check_same(found[static_cast<std::size_t>(n)], expected);
  context() = "weights packed by more threads than there are then";
  KeptWeights<float> kept;
  const Arrays inferred = inference<float>(c, data, 3, by, &kept);
#pragma omp parallel for num_threads(2)
  for (int n = 0; n < 2; ++n) found[static_cast<std::size_t>(n)] = inference<float>(c, data, 3, by, &kept);
  for (int n = 0; n < 2; ++n) check_same(found[static_cast<std::size_t>(n)], inferred);
#endif
  if (is_emulated) return;
#if defined(__unix__) || defined(__APPLE__)
  context() = "the child of a fork";
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    // A child that waits for threads that are gone is ended.
    alarm(60);
    check_near(computed(), expected, 1e-4);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

// Weights that are kept packed are those of now, whichever number has changed, and whatever else the call is.
template <class T>
void kept_weights(CellKind cell, bool is_rounded = false) {
  Case c = plain(cell, 3, 4, 5, 70);
  c.outputs = c.can_project() ? 6 : 0;
  c.bfloat16 = is_rounded;
  Data data = random_data(c);
  KeptWeights<T> kept;
  const auto check = [&](const std::string& what, int threads) {
    context() = c.text() + " with kept weights, " + what;
    Trial<T> anew(c, data), again(c, data);
    anew.forward(false, threads);
    again.forward(false, threads, SplitBy::fastest, &kept);
    check_same(again.found(), anew.found());
  };
  check("at first", 1);
  for (auto& [name, values] : data.arrays) {
    if (name.compare(0, 6, "weight") != 0 && name.compare(0, 4, "bias") != 0) continue;
    for (const std::size_t at : {std::size_t{0}, values.size() / 2, values.size() - 1}) {
      values[at] = -values[at];
      check(name, 1 + static_cast<int>(at % 3));
      values[at] += 1;
      check(name, 2);
    }
    // The same numbers in other places.
    std::rotate(values.begin(), values.begin() + 1, values.end());
    check(name, 1);
  }
  for (const std::int64_t batch : {1, 2, 9, 100}) {
    c.batch = batch;
    Data other = random_data(c);
    for (auto& [name, values] : other.arrays) {
      if (name.compare(0, 6, "weight") == 0) values = data.arrays.at(name);
    }
    data = other;
    check("with other rows", 2);
  }
  c.layer_norm = true;
  data = random_data(c);
  check("normalised", 1);
}

// Two calls at once are what each is by itself; with two threads, where rows are few, what it is on one, bit for bit.
template <class T>
void two_calls(CellKind cell) {
  for (const auto& [steps, batch, units] :
       {std::array<std::int64_t, 3>{40, 1, 70}, {40, 4, 70}, {5, 19, 70}, {2, 1, 500}}) {
    Case c = plain(cell, steps, batch, 5, units), other = c;
    other.reverse = true;
    other.seed = c.seed + 1;
    other.lengths = Lengths::ragged;
    const Data data = random_data(c), other_data = random_data(other);
    const Arrays first = forward_and_backward<T>(c, data, 1), second = forward_and_backward<T>(other, other_data, 1);
    const Arrays first_inferred = inference<T>(c, data, 1), second_inferred = inference<T>(other, other_data, 1);
    for (const int threads : {1, 2, 3, 4, 5}) {
      context() = c.text() + " beside another, threads=" + std::to_string(threads);
      Trial<T> one(c, data), two(other, other_data);
      one.prepare_forward(true);
      two.prepare_forward(true);
      poison_scratch();
      forward_both<T>(one.call, nullptr, two.call, nullptr, threads);
      one.prepare_backward();
      two.prepare_backward();
      poison_scratch();
      backward_both(one.call, two.call, threads);
      const bool is_side_by_side = threads == 2 && batch < 5 && units < 100 && cell != CellKind::indrnn;
      const double tolerance = is_side_by_side ? 0 : sizeof(T) == sizeof(float) ? 1e-3 : 1e-9;
      check_near(one.found(), first, tolerance);
      check_near(two.found(), second, tolerance);
      KeptWeights<T> kept, kept_of_other;
      for (int time = 0; time < 2; ++time) {
        Trial<T> here(c, data), there(other, other_data);
        poison_scratch();
        forward_both<T>(here.call, &kept, there.call, time == 0 ? nullptr : &kept_of_other, threads);
        check_near(here.found(), first_inferred, tolerance);
        check_near(there.found(), second_inferred, tolerance);
      }
    }
  }
}

// Layers that go on from what the one below has written so far are near what they are one after the other, and bit for
// bit the same where there turns out to be one thread for them.
template <class T>
void stacks(CellKind cell) {
  constexpr std::size_t kLayers = 3;
  for (const auto& [steps, batch, units] :
       {std::array<std::int64_t, 3>{70, 1, 70}, {40, 4, 70}, {5, 19, 70}, {6, 1, 500}}) {
    Case c = plain(cell, steps, batch, units, units);
    c.lengths = Lengths::ragged;
    // What the layers below hand on takes the place of the upper ones' x and dy.
    std::vector<Data> data;
    for (std::size_t n = 0; n < kLayers; ++n) {
      c.seed = n + 1;
      data.push_back(random_data(c));
      data.back().lengths = data.front().lengths;
    }
    const auto found = [&](int threads) {
      std::deque<Trial<T>> layers;
      std::vector<Recurrence<T>*> calls;
      for (const Data& each : data) {
        layers.emplace_back(c, each).prepare_forward(true);
        Recurrence<T>& call = layers.back().call;
        if (!calls.empty()) call.x = {calls.back()->y.data, calls.back()->y.step, calls.back()->y.row};
        calls.push_back(&call);
      }
      poison_scratch();
      forward_stack<T>(calls, std::vector<KeptWeights<T>*>(kLayers, nullptr), threads);
      for (std::size_t n = kLayers; n-- > 0;) {
        layers[n].prepare_backward();
        const auto& above = layers[n + 1 < kLayers ? n + 1 : n].call.dx;
        if (n + 1 < kLayers) layers[n].call.dy = {above.data, above.step, above.row};
      }
      poison_scratch();
      backward_stack<T>(calls, threads);
      std::vector<Arrays> all;
      for (Trial<T>& layer : layers) all.push_back(layer.found());
      return all;
    };
    const std::vector<Arrays> alone = found(1);
    for (const int threads : {2, 3, 4}) {
      context() = c.text() + " of a stack, threads=" + std::to_string(threads);
      company().forget();
      const std::vector<Arrays> together = found(threads);
      // For a second.
      for (int n = 0; n < 8; ++n) company().note(false);
      const std::vector<Arrays> in_one_thread = found(threads);
      for (std::size_t n = 0; n < kLayers; ++n) {
        check_near(together[n], alone[n], sizeof(T) == sizeof(float) ? 1e-3 : 1e-9);
        if (!c.is_elementwise()) check_same(in_one_thread[n], together[n]);
      }
    }
    company().forget();
  }
}

// One step after another, the state in place.
template <class T>
void stepping(CellKind cell, bool is_rounded = false) {
  Case c = plain(cell, 4, 3, 5, 7);
  c.outputs = c.can_project() ? 6 : 0;
  c.bfloat16 = is_rounded;
  const Data data = random_data(c);
  context() = c.text() + " step by step";
  const Arrays expected = reference(c, data);
  Case one = c;
  one.steps = 1;
  Data first = data;
  first.arrays["x"].resize(static_cast<std::size_t>(c.batch * c.inputs));
  Trial<T> trial(one, first);
  Recurrence<T> call = trial.call;
  std::memcpy(call.hn, call.h0, sizeof(T) * static_cast<std::size_t>(c.batch * c.state_size()));
  call.h0 = call.hn;
  if (call.c0 != nullptr) {
    std::memcpy(call.cn, call.c0, sizeof(T) * static_cast<std::size_t>(c.batch * c.units));
    call.c0 = call.cn;
  }
  Stepping<T> layers;
  layers.add(call);
  for (std::int64_t t = 0; t < c.steps; ++t) {
    for (std::int64_t i = 0; i < c.batch * c.inputs; ++i) {
      const_cast<T*>(call.x.data)[i] =
          static_cast<T>(data.arrays.at("x")[static_cast<std::size_t>(t * c.batch * c.inputs + i)]);
    }
    layers.step();
    Arrays step;
    const auto from = expected.at("y").begin() + t * c.batch * c.state_size();
    step["y"].assign(from, from + c.batch * c.state_size());
    const Arrays found = trial.found();
    const double tolerance = is_rounded && has_pairs() ? 0.05 : sizeof(T) == sizeof(float) ? 1e-5 : 1e-12;
    check_near({{"y", found.at("y")}}, step, tolerance);
    check_near({{"y", found.at("hn")}}, step, tolerance);
  }
}

// After a call in which a thread had no processor for a while some take one thread; more when the next one that takes
// several is interrupted too.
void interrupted_calls() {
  context() = "calls after one that was interrupted";
  // Times are given, for other programs may have the processors while this test runs; but a sleep is never whole.
  Presence presence;
  presence.note(1'000'000, 600'000);
  CHECK(presence.was_whole());
  presence.note(1'000'000, 500'000);
  CHECK(!presence.was_whole());
  const auto sleep = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  Presence asleep;
  asleep.watch(sleep);
  CHECK(!asleep.was_whole());
  Stages stages, late;
  stages.note(20'000'000, 7'000'000);
  CHECK(stages.were_even());
  stages.note(20'000'000, 5'000'000);
  CHECK(!stages.were_even());
  late.begin();
  late.time(sleep);
  late.time([] {});
  late.end();
  CHECK(!late.were_even());
  Company company;
  std::int64_t time = 1'000'000'000;
  // How long it takes until several threads are welcome.
  const auto without = [&] {
    const std::int64_t begin = time;
    while (!company.is_welcome(time)) time += 1'000'000;
    return time - begin;
  };
  CHECK(without() == 0);
  company.note(true, time);
  CHECK(without() == 0);
  company.note(false, time);
  CHECK(without() == Company::kShortest);
  company.note(false, time);
  CHECK(without() == 2 * Company::kShortest);
  for (int n = 0; n < 20; ++n) company.note(false, time);
  CHECK(without() == Company::kLongest);
  company.note(true, time);
  company.note(false, time);
  CHECK(without() == Company::kShortest);
}

// Scratch is one block a thread, given to one at a time.
void scratch() {
  context() = "scratch";
  char* first = nullptr;
  {
    Scratch memory(1000);
    first = memory.data();
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
    bool has_thrown = false;
    try {
      Scratch second(10);
    } catch (const std::bad_alloc&) {
      has_thrown = true;
    }
    CHECK(has_thrown);
  }
  CHECK(Scratch(500).data() == first);
  CHECK(reinterpret_cast<std::uintptr_t>(Scratch(1 << 20).data()) % 64 == 0);
}

}  // namespace
}  // namespace tests
}  // namespace recur

int main(int count, char** arguments) {
  using namespace recur::tests;
  if (count < 2) return 2;
  const std::string isa = recur::isa_name(recur::chosen_isa());
  if (isa != arguments[1]) {
    std::fprintf(stderr, "the kernels run on %s, not %s\n", isa.c_str(), arguments[1]);
    return 2;
  }
  const bool is_best = recur::chosen_isa() == recur::cpu_features().best;
  const int cases = count > 2 ? std::atoi(arguments[2]) : 40;
  scratch();
  // Before anything leaves a thread larger scratch.
  no_memory();
  interrupted_calls();
  for (const recur::CellKind cell : kCells) {
    edges(cell);
    many_threads(cell);
    few_rows(cell);
    large_numbers<float>(cell);
    large_numbers<double>(cell);
    gradient_clip(cell);
    rounded_factors(cell);
    kept_weights<float>(cell);
    kept_weights<float>(cell, true);
    kept_weights<double>(cell);
    two_calls<float>(cell);
    stacks<float>(cell);
    // How threads wait for each other is the same on every instruction set, and of doubles it takes longest.
    if (is_best) {
      two_calls<double>(cell);
      stacks<double>(cell);
    }
    stepping<float>(cell);
    stepping<float>(cell, true);
    stepping<double>(cell);
    for (int n = 0; n < cases; ++n) {
      try_case(random_case(cell, static_cast<std::uint64_t>(n) * 8 + static_cast<std::uint64_t>(cell)), 1 + n % 3);
    }
  }
  linear(cases);
  masks();
  for (const recur::SplitBy by : {recur::SplitBy::rows, recur::SplitBy::units}) side_by_side(by, count > 3);
  std::printf("%s: all well\n", isa.c_str());
  return 0;
}
