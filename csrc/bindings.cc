// The Python module recur._engine: the only file here that knows Python.

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "cpu_features.h"
#include "linear.h"
#include "mask.h"
#include "memory.h"
#include "recurrence.h"
#include "threads.h"

namespace nb = nanobind;

namespace {

using Address = std::uintptr_t;

#if defined(RECUR_HAS_KERNELS)
template <class T>
void bind_recurrence(nb::module_& m, const char* name, const char* name_of_kept) {
  nb::class_<recur::KeptWeights<T>>(m, name_of_kept).def(nb::init<>());
  using Call = recur::Recurrence<T>;
  nb::class_<Call> c(m, name);
  // What every call has in one go, for each crossing from Python takes its time.
  c.def("__init__",
        [](Call* self, recur::CellKind cell, bool is_relu, bool layer_norm, bool reverse, bool bfloat16,
           std::int64_t steps, std::int64_t batch, std::int64_t inputs, std::int64_t hidden, std::int64_t outputs,
           std::int64_t x_step, std::int64_t x_row, Address x, Address h0, Address c0, Address h_anew, Address c_anew,
           Address weight_ih, Address weight_hh, Address bias_ih, Address bias_hh) {
          new (self) Call();
          self->form.cell = cell;
          self->form.nonlinearity = is_relu ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
          self->form.layer_norm = layer_norm;
          self->form.reverse = reverse;
          self->form.bfloat16 = bfloat16;
          self->steps = steps;
          self->batch = batch;
          self->input_size = inputs;
          self->hidden_size = hidden;
          self->out_size = outputs;
          self->x = {reinterpret_cast<const T*>(x), x_step, x_row};
          self->h0 = reinterpret_cast<const T*>(h0);
          self->c0 = reinterpret_cast<const T*>(c0);
          // A reset goes back to the initial state where nothing else is said.
          self->h_anew = reinterpret_cast<const T*>(h_anew == 0 ? h0 : h_anew);
          self->c_anew = reinterpret_cast<const T*>(h_anew == 0 ? c0 : c_anew);
          self->weights.weight_ih = reinterpret_cast<const T*>(weight_ih);
          self->weights.weight_hh = reinterpret_cast<const T*>(weight_hh);
          self->weights.bias_ih = reinterpret_cast<const T*>(bias_ih);
          self->weights.bias_hh = reinterpret_cast<const T*>(bias_hh);
        });
  c.def("set_outputs", [](Call& self, Address y, std::int64_t step, std::int64_t row, Address hn, Address cn) {
    self.y = {reinterpret_cast<T*>(y), step, row};
    self.hn = reinterpret_cast<T*>(hn);
    self.cn = reinterpret_cast<T*>(cn);
  });
  c.def("set_saved", [](Call& self, Address gates, Address cells, Address input_hat, Address hidden_hat, Address scales,
                        Address raw_output) {
    self.gates = reinterpret_cast<T*>(gates);
    self.cells = reinterpret_cast<T*>(cells);
    self.input_hat = reinterpret_cast<T*>(input_hat);
    self.hidden_hat = reinterpret_cast<T*>(hidden_hat);
    self.scales = reinterpret_cast<T*>(scales);
    self.raw_output = reinterpret_cast<T*>(raw_output);
  });
  c.def("set_upstream", [](Call& self, Address dy, std::int64_t step, std::int64_t row, Address dhn, Address dcn) {
    self.dy = {reinterpret_cast<const T*>(dy), step, row};
    self.dhn = reinterpret_cast<const T*>(dhn);
    self.dcn = reinterpret_cast<const T*>(dcn);
  });
  c.def("set_gradients",
        [](Call& self, std::int64_t dx_step, std::int64_t dx_row, Address dx, Address dh0, Address dc0, Address dh_anew,
           Address dc_anew, Address dweight_ih, Address dweight_hh, Address dbias_ih, Address dbias_hh) {
          self.dx = {reinterpret_cast<T*>(dx), dx_step, dx_row};
          self.dh0 = reinterpret_cast<T*>(dh0);
          self.dc0 = reinterpret_cast<T*>(dc0);
          self.dh_anew = reinterpret_cast<T*>(dh_anew);
          self.dc_anew = reinterpret_cast<T*>(dc_anew);
          self.dweights.weight_ih = reinterpret_cast<T*>(dweight_ih);
          self.dweights.weight_hh = reinterpret_cast<T*>(dweight_hh);
          self.dweights.bias_ih = reinterpret_cast<T*>(dbias_ih);
          self.dweights.bias_hh = reinterpret_cast<T*>(dbias_hh);
        });
  c.def("set_clips", [](Call& self, double cell, double output, double gradient) {
    self.form.cell_clip = cell;
    self.form.output_clip = output;
    self.form.gradient_clip = gradient;
  });
#define RECUR_SEQUENCE(FIELD)                                                              \
  c.def("set_" #FIELD, [](Call& self, Address data, std::int64_t step, std::int64_t row) { \
    self.FIELD = {reinterpret_cast<decltype(self.FIELD.data)>(data), step, row};           \
  })
  RECUR_SEQUENCE(reset);
  RECUR_SEQUENCE(candidate_mask);
#undef RECUR_SEQUENCE
#define RECUR_ZONEOUT(FIELD)                                                                                  \
  c.def("set_" #FIELD, [](Call& self, Address data, std::int64_t step, std::int64_t row, std::int64_t unit) { \
    self.FIELD = {{reinterpret_cast<const T*>(data), step, row}, unit};                                       \
  })
  RECUR_ZONEOUT(zoneout_h);
  RECUR_ZONEOUT(zoneout_c);
#undef RECUR_ZONEOUT
#define RECUR_POINTER(FIELD) \
  c.def("set_" #FIELD, [](Call& self, Address data) { self.FIELD = reinterpret_cast<decltype(self.FIELD)>(data); })
  RECUR_POINTER(lengths);
  RECUR_POINTER(state_mask);
  RECUR_POINTER(dcells);
#undef RECUR_POINTER
#define RECUR_WEIGHT(FIELD) \
  c.def("set_" #FIELD, [](Call& self, Address data) { self.weights.FIELD = reinterpret_cast<const T*>(data); })
  RECUR_WEIGHT(weight_hr);
  RECUR_WEIGHT(weight_ch);
  RECUR_WEIGHT(norm_ih);
  RECUR_WEIGHT(norm_hh);
  RECUR_WEIGHT(norm_c);
  RECUR_WEIGHT(norm_c_bias);
#undef RECUR_WEIGHT
#define RECUR_WEIGHT(FIELD) \
  c.def("set_d" #FIELD, [](Call& self, Address data) { self.dweights.FIELD = reinterpret_cast<T*>(data); })
  RECUR_WEIGHT(weight_hr);
  RECUR_WEIGHT(weight_ch);
  RECUR_WEIGHT(norm_ih);
  RECUR_WEIGHT(norm_hh);
  RECUR_WEIGHT(norm_c);
  RECUR_WEIGHT(norm_c_bias);
#undef RECUR_WEIGHT
  c.def("set_dgate", [](Call& self, int gate, Address data) { self.dgates[gate] = reinterpret_cast<const T*>(data); });
  c.def("saved_sizes", [](const Call& self) { return recur::saved_sizes(self); });
  c.def(
      "forward",
      [](const Call& self, int threads, recur::KeptWeights<T>* kept) { recur::forward(self, threads, kept); },
      nb::arg("threads"), nb::arg("kept").none() = nb::none(), nb::call_guard<nb::gil_scoped_release>());
  c.def(
      "backward", [](const Call& self, int threads) { recur::backward(self, threads); },
      nb::call_guard<nb::gil_scoped_release>());
  // Of two calls at once; either may have no kept weights.
  c.def(
      "forward_with",
      [](const Call& self, const Call& other, int threads, recur::KeptWeights<T>* kept,
         recur::KeptWeights<T>* kept_of_other) { recur::forward_both(self, kept, other, kept_of_other, threads); },
      nb::arg("other"), nb::arg("threads"), nb::arg("kept").none(), nb::arg("kept_of_other").none(),
      nb::call_guard<nb::gil_scoped_release>());
  c.def(
      "backward_with",
      [](const Call& self, const Call& other, int threads) { recur::backward_both(self, other, threads); },
      nb::call_guard<nb::gil_scoped_release>());
}

// Layers one upon the other; `kept` has an entry for each, `sizes` its inputs, hidden units and outputs.
template <class T>
void bind_stacks(nb::module_& m, const std::string& suffix) {
  m.def(("forward_stack" + suffix).c_str(), &recur::forward_stack<T>, nb::call_guard<nb::gil_scoped_release>());
  m.def(("backward_stack" + suffix).c_str(), &recur::backward_stack<T>, nb::call_guard<nb::gil_scoped_release>());
  m.def(("are_any_relayed" + suffix).c_str(), [](recur::CellKind cell, std::int64_t steps, std::int64_t batch,
                                                 const std::vector<std::array<std::int64_t, 3>>& sizes, int threads) {
    std::vector<recur::Recurrence<T>> calls(sizes.size());
    std::vector<recur::Recurrence<T>*> places;
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      calls[n].form.cell = cell;
      calls[n].steps = steps;
      calls[n].batch = batch;
      calls[n].input_size = sizes[n][0];
      calls[n].hidden_size = sizes[n][1];
      calls[n].out_size = sizes[n][2];
      places.push_back(&calls[n]);
    }
    return recur::are_any_relayed<T>(places, threads);
  });
}

// Everything in one go, for each crossing from Python takes its time: sizes, then addresses, 0 where there is none.
template <class T>
void bind_linear(nb::module_& m, const std::string& suffix) {
  using Index = std::int64_t;
  const auto call_of = [](Index steps, Index batch, Index inputs, Index outputs, Address x, Index step, Index row,
                          Address weight) {
    recur::Linear<T> call;
    call.steps = steps;
    call.batch = batch;
    call.inputs = inputs;
    call.outputs = outputs;
    call.x = {reinterpret_cast<const T*>(x), step, row};
    call.weight = reinterpret_cast<const T*>(weight);
    return call;
  };
  m.def(("linear_forward" + suffix).c_str(),
        [call_of](Index steps, Index batch, Index inputs, Index outputs, Address x, Index step, Index row,
                  Address weight, Address bias, Address y, int threads) {
          recur::Linear<T> call = call_of(steps, batch, inputs, outputs, x, step, row, weight);
          call.bias = reinterpret_cast<const T*>(bias);
          call.y = reinterpret_cast<T*>(y);
          recur::forward(call, threads);
        },
        nb::call_guard<nb::gil_scoped_release>());
  m.def(
      ("linear_backward" + suffix).c_str(),
      [call_of](Index steps, Index batch, Index inputs, Index outputs, Address x, Index step, Index row, Address weight,
                Address dy, Index dy_step, Index dy_row, Address dx, Address dweight, Address dbias, int threads) {
        recur::Linear<T> call = call_of(steps, batch, inputs, outputs, x, step, row, weight);
        call.dy = {reinterpret_cast<const T*>(dy), dy_step, dy_row};
        call.dx = reinterpret_cast<T*>(dx);
        call.dweight = reinterpret_cast<T*>(dweight);
        call.dbias = reinterpret_cast<T*>(dbias);
        recur::backward(call, threads);
      },
      nb::call_guard<nb::gil_scoped_release>());
}

template <class T>
void bind_packed_linear(nb::module_& m, const char* name) {
  using Packed = recur::PackedLinear<T>;
  nb::class_<Packed>(m, name)
      .def("__init__",
           [](Packed* self, std::int64_t inputs, std::int64_t outputs, Address weight, bool is_across, int threads) {
             recur::Linear<T> layer;
             layer.inputs = inputs;
             layer.outputs = outputs;
             layer.weight = reinterpret_cast<const T*>(weight);
             layer.is_across = is_across;
             new (self) Packed(layer, threads);
           })
      .def(
          "multiply",
          [](const Packed& self, std::int64_t rows, Address x, std::int64_t row, Address bias, Address y, bool adds,
             int threads) {
            recur::Linear<T> call;
            call.steps = 1;
            call.batch = rows;
            call.x = {reinterpret_cast<const T*>(x), 0, row};
            call.bias = reinterpret_cast<const T*>(bias);
            call.y = reinterpret_cast<T*>(y);
            call.adds = adds;
            self.multiply(call, threads);
          },
          nb::call_guard<nb::gil_scoped_release>());
}

template <class T>
void bind_masks(nb::module_& m, const std::string& suffix) {
  m.def(("draw_mask" + suffix).c_str(),
        [](std::int64_t key, double share, double value, std::int64_t count, Address data, int threads) {
          recur::Mask<T> mask;
          mask.key = static_cast<std::uint64_t>(key);
          mask.share = share;
          mask.value = static_cast<T>(value);
          mask.count = count;
          mask.data = reinterpret_cast<T*>(data);
          recur::draw(mask, threads);
        },
        nb::call_guard<nb::gil_scoped_release>());
}

template <class T>
void bind_stepping(nb::module_& m, const char* name) {
  using Stepping = recur::Stepping<T>;
  nb::class_<Stepping>(m, name).def(nb::init<>()).def("add", &Stepping::add).def("step", &Stepping::step);
}
#endif

}  // namespace

NB_MODULE(_engine, m) {
  m.doc() = "Compiled part of recur; use it through recur.engine.";
  // A layer that something global holds keeps its packed weights until the process ends; nanobind would complain then.
  nb::set_leak_warnings(false);

  nb::class_<recur::CpuFeatures>(m, "CpuFeatures")
      .def_ro("architecture", &recur::CpuFeatures::architecture)
      .def_ro("brand", &recur::CpuFeatures::brand)
      .def_ro("flags", &recur::CpuFeatures::flags)
      .def_prop_ro("best_isa", [](const recur::CpuFeatures& self) { return recur::isa_name(self.best); })
      .def_ro("l1d_bytes", &recur::CpuFeatures::l1d_bytes)
      .def_ro("l2_bytes", &recur::CpuFeatures::l2_bytes)
      .def_ro("l3_bytes", &recur::CpuFeatures::l3_bytes);

  m.def("cpu_features", &recur::cpu_features, nb::rv_policy::reference);
  m.def("chosen_isa", [] { return recur::isa_name(recur::chosen_isa()); });
#if defined(RECUR_HAS_KERNELS)
  nb::enum_<recur::CellKind>(m, "CellKind")
      .value("rnn", recur::CellKind::rnn)
      .value("gru", recur::CellKind::gru)
      .value("gru_reset_before", recur::CellKind::gru_reset_before)
      .value("lstm", recur::CellKind::lstm)
      .value("lstm_coupled", recur::CellKind::lstm_coupled)
      .value("indrnn", recur::CellKind::indrnn)
      .value("mgu", recur::CellKind::mgu)
      .value("ligru", recur::CellKind::ligru);
  nb::class_<recur::SavedSizes>(m, "SavedSizes")
      .def_prop_ro("counts",
                   [](const recur::SavedSizes& self) {
                     return std::vector<std::int64_t>{self.gates,      self.cells,  self.input_hat,
                                                      self.hidden_hat, self.scales, self.raw_output};
                   })
      .def_ro("slots", &recur::SavedSizes::slots)
      .def_ro("padded_size", &recur::SavedSizes::padded_size)
      .def("slot_of_gate", [](const recur::SavedSizes& self, int gate) { return self.slot_of_gate[gate]; });
  bind_recurrence<float>(m, "Recurrence32", "KeptWeights32");
  bind_recurrence<double>(m, "Recurrence64", "KeptWeights64");
  bind_stepping<float>(m, "Stepping32");
  bind_stepping<double>(m, "Stepping64");
  bind_stacks<float>(m, "32");
  bind_stacks<double>(m, "64");
  bind_linear<float>(m, "32");
  bind_linear<double>(m, "64");
  bind_packed_linear<float>(m, "PackedLinear32");
  bind_packed_linear<double>(m, "PackedLinear64");
  bind_masks<float>(m, "32");
  bind_masks<double>(m, "64");
  m.def(
      "peak_flops_float32", [](int threads) { return recur::peak_flops<float>(threads); },
      nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "peak_flops_float64", [](int threads) { return recur::peak_flops<double>(threads); },
      nb::call_guard<nb::gil_scoped_release>());
#endif

  m.def("advise_large_pages",
        [](Address data, std::int64_t bytes) { recur::advise_large_pages(reinterpret_cast<void*>(data), bytes); });
  m.def("keep_freed_memory", &recur::keep_freed_memory);
  m.def("hardware_threads", &recur::hardware_threads);
  m.def("usable_threads", &recur::usable_threads);
  m.def("cgroup_cpu_limit", &recur::cgroup_cpu_limit, nb::arg("membership"), nb::arg("root"));
}
