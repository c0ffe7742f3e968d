// The Python module recur._engine: the only file here that knows Python.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "cpu_features.h"
#include "memory.h"
#include "threads.h"

namespace nb = nanobind;

NB_MODULE(_engine, m) {
  m.doc() = "Compiled part of recur; use it through recur.engine.";

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
  m.def("keep_freed_memory", &recur::keep_freed_memory);
  m.def("hardware_threads", &recur::hardware_threads);
  m.def("usable_threads", &recur::usable_threads);
  m.def("cgroup_cpu_limit", &recur::cgroup_cpu_limit, nb::arg("membership"), nb::arg("root"));
}
