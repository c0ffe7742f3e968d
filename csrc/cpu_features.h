// What the processor can do, and which instruction set the kernels use on it.
//
// No Python, no torch: only the C++17 standard library and the operating system.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace recur {

// The instruction sets that kernels are compiled for, each a superset of the one before it on the same architecture.
// On x86 `avx2` is the psABI level x86-64-v3 and `avx512` is x86-64-v4: every feature of the level must be there,
// because the compiler may use any of them. `neon` is what every AArch64 has, so that its baseline runs the same
// kernels. `avx512_amx` is avx512_bf16 with tiles, which the operating system has to let the process have.
enum class Isa { baseline, avx2, avx512, avx512_bf16, avx512_amx, neon };

struct CpuFeatures {
  std::string architecture;        // "x86_64", "aarch64" or "other"
  std::string brand;               // As the maker writes it, trimmed; empty when unknown.
  std::vector<std::string> flags;  // Named as Linux names them, sorted; only those that the system has enabled too.
  Isa best = Isa::baseline;        // The widest instruction set that runs here, before any cap.
  std::int64_t l1d_bytes = 0;      // Sizes of the caches that one core sees; 0 when unknown.
  std::int64_t l2_bytes = 0;
  std::int64_t l3_bytes = 0;
};

// Returns what was found on the first call; later calls cost nothing. Where there are tiles, the first one asks Linux
// for their registers, which stay with the process and need a larger alternate stack for signals than others do.
const CpuFeatures& cpu_features();

const char* isa_name(Isa isa);

// Returns `best`, or `cap` when that is lower.
//
// cap: Name of an instruction set; empty for no cap.
// Throws std::invalid_argument when `cap` is no name, or one of another architecture.
Isa capped_isa(const CpuFeatures& features, const std::string& cap);

// Returns the instruction set that kernels use now: the best one, capped by the environment variable RECUR_CPU_ISA.
//
// Throws std::invalid_argument as `capped_isa` does.
Isa chosen_isa();

}  // namespace recur
