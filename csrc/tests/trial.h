// One call of the kernels, every array in a buffer of its own.

#pragma once

#include <deque>

#include "cases.h"
#include "check.h"
#include "memory.h"
#include "recurrence.h"

namespace recur {
namespace tests {

// Fills this thread's scratch with numbers that are none, so that none is read before it is written.
inline void poison_scratch() {
  constexpr std::int64_t kBytes = 4 << 20;
  Scratch memory(kBytes);
  ASAN_UNPOISON_MEMORY_REGION(memory.data(), kBytes);
  std::memset(memory.data(), 0xff, kBytes);
}

template <class T>
class Trial {
 public:
  Trial(const Case& c, const Data& data) : c_(c), data_(data) {
    call.form.cell = c.cell;
    call.form.nonlinearity = c.relu ? Nonlinearity::relu : Nonlinearity::tanh;
    call.form.layer_norm = c.layer_norm;
    call.form.reverse = c.reverse;
    call.form.bfloat16 = c.bfloat16;
    call.form.cell_clip = c.cell_clip;
    call.form.output_clip = c.output_clip;
    call.form.gradient_clip = c.gradient_clip;
    call.steps = c.steps;
    call.batch = c.batch;
    call.input_size = c.inputs;
    call.hidden_size = c.units;
    call.out_size = c.state_size();
    const Layout others = c.layout == Layout::batch_first ? Layout::batch_first : Layout::dense;
    call.x = sequence<const T>("x", c.inputs, c.layout);
    call.h0 = given("h0");
    call.c0 = given("c0");
    weights([&](const char* name, auto field) { call.weights.*field = given(name); }, call.weights);
    if (c.lengths != Lengths::full) call.lengths = kept(data.lengths);
    if (c.resets) {
      call.reset = {kept(data.reset), c.batch, 1};
      call.h_anew = c.anew_is_start ? call.h0 : given("h_anew");
      call.c_anew = c.anew_is_start ? call.c0 : given("c_anew");
    }
    call.state_mask = given("state_mask");
    call.candidate_mask = spread("candidate_mask", c.candidate_mask, c.units).keep;
    call.zoneout_h = spread("zoneout_h", c.zoneout_h, c.state_size());
    call.zoneout_c = spread("zoneout_c", c.zoneout_c, c.units);
    call.y = room("y", c.state_size(), others);
    call.hn = whole("hn", c.batch * c.state_size());
    if (c.has_cell_state()) call.cn = whole("cn", c.batch * c.units);
  }

  // is_saving: For `backward`.
  void forward(bool is_saving, int threads, SplitBy by = SplitBy::fastest, KeptWeights<T>* kept = nullptr) {
    prepare_forward(is_saving);
    poison_scratch();
    recur::forward(call, threads, kept, by);
  }

  void prepare_forward(bool is_saving) {
    if (is_saving) {
      const SavedSizes sizes = saved_sizes(call);
      const auto saved = [&](const char* name, std::int64_t count) {
        return count == 0 ? nullptr : whole(name, count);
      };
      call.gates = saved("gates", sizes.gates);
      call.cells = saved("cells", sizes.cells);
      call.input_hat = saved("input_hat", sizes.input_hat);
      call.hidden_hat = saved("hidden_hat", sizes.hidden_hat);
      call.scales = saved("scales", sizes.scales);
      call.raw_output = saved("raw_output", sizes.raw_output);
      // Of no rows.
      if (call.gates == nullptr) call.gates = whole("gates", 0);
    }
  }

  void backward(int threads, SplitBy by = SplitBy::fastest) {
    prepare_backward();
    poison_scratch();
    recur::backward(call, threads, by);
  }

  void prepare_backward() {
    std::uint64_t absent = c_.absent;
    const auto is_there = [&] {
      const bool is_absent = (absent & 1) != 0;
      absent >>= 1;
      return !is_absent;
    };
    const Layout others = c_.layout == Layout::batch_first ? Layout::batch_first : Layout::dense;
    if (is_there()) call.dy = sequence<const T>("dy", c_.state_size(), others);
    if (is_there()) call.dhn = given("dhn");
    if (is_there()) call.dcn = given("dcn");
    for (int g = 0; g < kMaxGates; ++g) {
      if (is_there()) call.dgates[g] = given("dgate" + std::to_string(g), c_.units);
    }
    if (is_there()) call.dcells = given("dcells", c_.units);
    if (is_there()) call.dx = room("dx", c_.inputs, others);
    const auto gradient = [&](const char* name) -> T* {
      const auto found = data_.arrays.find(name);
      if (!is_there() || found == data_.arrays.end()) return nullptr;
      return whole(std::string("d") + name, static_cast<std::int64_t>(found->second.size()));
    };
    call.dh0 = gradient("h0");
    call.dc0 = gradient("c0");
    call.dh_anew = c_.resets && c_.anew_is_start ? call.dh0 : gradient("h_anew");
    call.dc_anew = c_.resets && c_.anew_is_start ? call.dc0 : gradient("c_anew");
    weights([&](const char* name, auto field) { call.dweights.*field = gradient(name); }, call.dweights);
  }

  // What was written, all of it a number, by the names of `Arrays`; the gates and cells of true steps, zero elsewhere.
  Arrays found() {
    Arrays all;
    for (const auto& [name, at] : outputs_) {
      std::vector<double>& values = all[name];
      Buffer<T>& buffer = numbers_[at.buffer];
      values.resize(static_cast<std::size_t>(buffer.count()));
      for (std::int64_t i = 0; i < buffer.count(); ++i) {
        const T value = buffer.data()[at.layout == Layout::batch_first ? batch_first(i, at.width) : i];
        CHECK(std::isfinite(value));
        values[static_cast<std::size_t>(i)] = static_cast<double>(value);
      }
    }
    if (call.gates != nullptr) add_saved(all);
    return all;
  }

  Recurrence<T> call;

 private:
  struct Output {
    std::size_t buffer;
    std::int64_t width;
    Layout layout;
  };

  template <class Visit, class Weights>
  static void weights(Visit visit, const Weights&) {
    visit("weight_ih", &Weights::weight_ih);
    visit("weight_hh", &Weights::weight_hh);
    visit("bias_ih", &Weights::bias_ih);
    visit("bias_hh", &Weights::bias_hh);
    visit("weight_hr", &Weights::weight_hr);
    visit("weight_ch", &Weights::weight_ch);
    visit("norm_ih", &Weights::norm_ih);
    visit("norm_hh", &Weights::norm_hh);
    visit("norm_c", &Weights::norm_c);
    visit("norm_c_bias", &Weights::norm_c_bias);
  }

  // The place, step after step, of an element that lies row after row.
  std::int64_t batch_first(std::int64_t i, std::int64_t width) const {
    const std::int64_t f = i % width, b = i / width % c_.batch, t = i / width / c_.batch;
    return (b * c_.steps + t) * width + f;
  }
  bool is_true_step(std::int64_t row) const { return row / c_.batch < data_.length(c_, row % c_.batch); }

  // A copy of an array; `width`: of one with steps, to leave those past a row's end unset. Null when there is none.
  const T* given(const std::string& name, std::int64_t width = 0) {
    const auto found = data_.arrays.find(name);
    if (found == data_.arrays.end()) return nullptr;
    const std::vector<double>& values = found->second;
    Buffer<T>& buffer = numbers_.emplace_back(static_cast<std::int64_t>(values.size()));
    for (std::int64_t i = 0; i < buffer.count(); ++i) {
      if (width == 0 || is_true_step(i / width)) buffer.data()[i] = static_cast<T>(values[static_cast<std::size_t>(i)]);
    }
    return buffer.data();
  }

  template <class E>
  Sequence<E> sequence(const std::string& name, std::int64_t width, Layout layout) {
    const std::vector<double>& values = data_.arrays.at(name);
    if (layout == Layout::repeated) {
      Buffer<T>& buffer = numbers_.emplace_back(c_.steps == 0 ? 0 : c_.batch * width);
      for (std::int64_t i = 0; i < buffer.count(); ++i)
        buffer.data()[i] = static_cast<T>(values[static_cast<std::size_t>(i)]);
      return {buffer.data(), 0, width};
    }
    if (layout == Layout::dense) return {given(name, width), c_.batch * width, width};
    Buffer<T>& buffer = numbers_.emplace_back(static_cast<std::int64_t>(values.size()));
    for (std::int64_t i = 0; i < buffer.count(); ++i) {
      if (is_true_step(i / width))
        buffer.data()[batch_first(i, width)] = static_cast<T>(values[static_cast<std::size_t>(i)]);
    }
    return {buffer.data(), width, c_.steps * width};
  }

  // No longer than what it varies with.
  Zoneout<T> spread(const std::string& name, Per per, std::int64_t width) {
    if (per == Per::none) return {};
    const std::vector<double>& values = data_.arrays.at(name);
    if (per == Per::all) return {{given(name, width), c_.batch * width, width}, 1};
    const bool has_steps = per == Per::step, has_units = per == Per::row_and_unit;
    const std::int64_t apart = has_steps ? c_.batch * width : 1;
    const std::int64_t count = values.empty() ? 0 : has_steps ? c_.steps : has_units ? c_.batch * width : 1;
    Buffer<T>& buffer = numbers_.emplace_back(count);
    for (std::int64_t i = 0; i < count; ++i)
      buffer.data()[i] = static_cast<T>(values[static_cast<std::size_t>(i * apart)]);
    return {{buffer.data(), has_steps ? 1 : 0, has_units ? width : 0}, has_units ? 1 : 0};
  }

  const std::int64_t* kept(const std::vector<std::int64_t>& values) {
    Buffer<std::int64_t>& buffer = whole_numbers_.emplace_back(static_cast<std::int64_t>(values.size()));
    for (std::int64_t i = 0; i < buffer.count(); ++i) {
      std::memcpy(buffer.data() + i, &values[static_cast<std::size_t>(i)], sizeof(std::int64_t));
    }
    return buffer.data();
  }
  const bool* kept(const std::vector<bool>& values) {
    Buffer<bool>& buffer = flags_.emplace_back(static_cast<std::int64_t>(values.size()));
    for (std::int64_t i = 0; i < buffer.count(); ++i) buffer.data()[i] = values[static_cast<std::size_t>(i)];
    return buffer.data();
  }

  T* whole(const std::string& name, std::int64_t count) {
    // What is saved has rows that are never written, and a form of its own.
    const bool is_saved = name == "gates" || name == "cells" || name.find("hat") != std::string::npos ||
                          name == "scales" || name == "raw_output";
    if (!is_saved) outputs_[name] = {numbers_.size(), 1, Layout::dense};
    return numbers_.emplace_back(count).data();
  }
  Sequence<T> room(const std::string& name, std::int64_t width, Layout layout) {
    const bool is_batch_first = layout == Layout::batch_first;
    outputs_[name] = {numbers_.size(), width, layout};
    T* data = numbers_.emplace_back(c_.steps * c_.batch * width).data();
    return {data, is_batch_first ? width : c_.batch * width, is_batch_first ? c_.steps * width : width};
  }

  void add_saved(Arrays& all) const {
    const SavedSizes sizes = saved_sizes(call);
    const std::int64_t rows = c_.steps * c_.batch, H = c_.units;
    if (call.cells != nullptr) all["cells"].assign(static_cast<std::size_t>(rows * H), 0);
    for (std::int64_t g = 0; g < c_.gates(); ++g)
      all["gate" + std::to_string(g)].assign(static_cast<std::size_t>(rows * H), 0);
    for (std::int64_t row = 0; row < rows; ++row) {
      if (!is_true_step(row)) continue;
      for (std::int64_t u = 0; u < H; ++u) {
        const std::size_t place = static_cast<std::size_t>(row * H + u);
        if (call.cells != nullptr) all["cells"][place] = static_cast<double>(call.cells[row * H + u]);
        for (int g = 0; g < c_.gates() && !c_.norms_sum(); ++g) {
          const T* slot = call.gates + (row * sizes.slots + sizes.slot_of_gate[g]) * sizes.padded_size;
          all["gate" + std::to_string(g)][place] = static_cast<double>(slot[u]);
        }
      }
    }
  }

  Case c_;
  const Data& data_;
  std::deque<Buffer<T>> numbers_;
  std::deque<Buffer<std::int64_t>> whole_numbers_;
  std::deque<Buffer<bool>> flags_;
  std::map<std::string, Output> outputs_;
};

}  // namespace tests
}  // namespace recur
