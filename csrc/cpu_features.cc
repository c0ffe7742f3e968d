#include "cpu_features.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <stdexcept>

#if defined(__x86_64__) || defined(_M_X64)
#define RECUR_X86 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define RECUR_ARM64 1
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(RECUR_HAS_TILE_KERNELS) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace recur {
namespace {

#if defined(RECUR_X86)

constexpr const char* kArchitecture = "x86_64";

struct Registers {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  Registers out;
#if defined(_MSC_VER)
  int words[4];
  __cpuidex(words, static_cast<int>(leaf), static_cast<int>(subleaf));
  out.eax = static_cast<std::uint32_t>(words[0]);
  out.ebx = static_cast<std::uint32_t>(words[1]);
  out.ecx = static_cast<std::uint32_t>(words[2]);
  out.edx = static_cast<std::uint32_t>(words[3]);
#else
  __cpuid_count(leaf, subleaf, out.eax, out.ebx, out.ecx, out.edx);
#endif
  return out;
}

// Which register states the operating system saves at a task switch (XCR0). A processor may know AVX-512 while the
// system, or a hypervisor, does not save its registers: using it then is an illegal instruction.
std::uint64_t saved_states() {
  constexpr std::uint32_t kOsxsave = 1u << 27;
  if ((cpuid(1, 0).ecx & kOsxsave) == 0) return 0;
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  // By hand, since the intrinsic asks for -mxsave.
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

enum class Word { ebx, ecx, edx, eax };

constexpr std::uint64_t kNoState = 0;
constexpr std::uint64_t kYmm = 0x6;           // SSE and the upper halves of YMM
constexpr std::uint64_t kZmm = kYmm | 0xE0;   // and the mask registers, the upper halves of ZMM, ZMM16-31
constexpr std::uint64_t kTiles = 0x3u << 17;  // and the AMX tiles with their configuration

struct X86Flag {
  const char* name;
  std::uint32_t leaf, subleaf;
  Word word;
  int bit;
  std::uint64_t states;
};

// Sources: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E. Names as in Linux's /proc/cpuinfo.
constexpr X86Flag kX86Flags[] = {
    {"sse2", 1, 0, Word::edx, 26, kNoState},
    {"sse4_2", 1, 0, Word::ecx, 20, kNoState},
    {"movbe", 1, 0, Word::ecx, 22, kNoState},
    {"fma", 1, 0, Word::ecx, 12, kYmm},
    {"avx", 1, 0, Word::ecx, 28, kYmm},
    {"f16c", 1, 0, Word::ecx, 29, kYmm},
    {"abm", 0x80000001u, 0, Word::ecx, 5, kNoState},
    {"bmi1", 7, 0, Word::ebx, 3, kNoState},
    {"avx2", 7, 0, Word::ebx, 5, kYmm},
    {"bmi2", 7, 0, Word::ebx, 8, kNoState},
    {"avx512f", 7, 0, Word::ebx, 16, kZmm},
    {"avx512dq", 7, 0, Word::ebx, 17, kZmm},
    {"avx512cd", 7, 0, Word::ebx, 28, kZmm},
    {"avx512bw", 7, 0, Word::ebx, 30, kZmm},
    {"avx512vl", 7, 0, Word::ebx, 31, kZmm},
    {"avx512_vnni", 7, 0, Word::ecx, 11, kZmm},
    {"avx512_fp16", 7, 0, Word::edx, 23, kZmm},
    {"avx512_bf16", 7, 1, Word::eax, 5, kZmm},
    {"amx_bf16", 7, 0, Word::edx, 22, kTiles},
    {"amx_tile", 7, 0, Word::edx, 24, kTiles},
    {"amx_int8", 7, 0, Word::edx, 25, kTiles},
};

std::uint32_t word_of(const Registers& registers, Word word) {
  switch (word) {
    case Word::eax:
      return registers.eax;
    case Word::ebx:
      return registers.ebx;
    case Word::ecx:
      return registers.ecx;
    case Word::edx:
      return registers.edx;
  }
  return 0;
}

std::vector<std::string> detect_flags() {
  const std::uint32_t last_basic = cpuid(0, 0).eax;
  const std::uint32_t last_extended = cpuid(0x80000000u, 0).eax;
  const std::uint32_t last_subleaf_7 = last_basic >= 7 ? cpuid(7, 0).eax : 0;
  const std::uint64_t states = saved_states();
  std::vector<std::string> flags;
  for (const X86Flag& flag : kX86Flags) {
    // A leaf beyond the last one answers with another leaf's data.
    if (flag.leaf > (flag.leaf >= 0x80000000u ? last_extended : last_basic)) continue;
    if (flag.leaf == 7 && flag.subleaf > last_subleaf_7) continue;
    const bool is_known = (word_of(cpuid(flag.leaf, flag.subleaf), flag.word) >> flag.bit & 1u) != 0;
    if (is_known && (states & flag.states) == flag.states) flags.emplace_back(flag.name);
  }
  return flags;
}

std::string detect_brand() {
  if (cpuid(0x80000000u, 0).eax < 0x80000004u) return "";
  std::array<char, 49> text{};
  for (std::uint32_t part = 0; part < 3; ++part) {
    const Registers r = cpuid(0x80000002u + part, 0);
    const std::uint32_t words[4] = {r.eax, r.ebx, r.ecx, r.edx};
    std::memcpy(text.data() + 16 * part, words, sizeof(words));
  }
  return text.data();
}

#elif defined(RECUR_ARM64)

constexpr const char* kArchitecture = "aarch64";

std::vector<std::string> detect_flags() {
  std::vector<std::string> flags = {"asimd"};  // Mandatory in AArch64.
#if defined(__linux__)
  // The numbers of Linux's asm/hwcap.h, written out because older headers lack the later ones.
  constexpr unsigned long kSve = 1ul << 22, kAsimdDp = 1ul << 20, kBf16 = 1ul << 14;
  const unsigned long hwcap = getauxval(AT_HWCAP);
  const unsigned long hwcap2 = getauxval(AT_HWCAP2);
  if (hwcap & kSve) flags.emplace_back("sve");
  if (hwcap & kAsimdDp) flags.emplace_back("asimddp");
  if (hwcap2 & kBf16) flags.emplace_back("bf16");
#elif defined(__APPLE__)
  const auto is_set = [](const char* name) {
    int value = 0;
    std::size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
  };
  if (is_set("hw.optional.arm.FEAT_DotProd")) flags.emplace_back("asimddp");
  if (is_set("hw.optional.arm.FEAT_BF16")) flags.emplace_back("bf16");
#endif
  return flags;
}

std::string detect_brand() {
#if defined(__APPLE__)
  std::array<char, 256> text{};
  std::size_t size = text.size() - 1;
  if (sysctlbyname("machdep.cpu.brand_string", text.data(), &size, nullptr, 0) == 0) return text.data();
#elif defined(__linux__)
  // Boards with a device tree say what they are; servers mostly do not, and then the brand stays empty.
  std::ifstream model("/sys/firmware/devicetree/base/model", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(model)), std::istreambuf_iterator<char>());
  return text.c_str();
#endif
  return "";
}

#else

constexpr const char* kArchitecture = "other";

std::vector<std::string> detect_flags() { return {}; }

std::string detect_brand() { return ""; }

#endif

std::string single_spaced(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool is_space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (is_space && (out.empty() || out.back() == ' ')) continue;
    out.push_back(is_space ? ' ' : c);
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

bool has_all(const std::vector<std::string>& flags, std::initializer_list<const char*> names) {
  return std::all_of(names.begin(), names.end(),
                     [&](const char* name) { return std::find(flags.begin(), flags.end(), name) != flags.end(); });
}

// Whether the system lets this process use tiles, which it has to ask for.
bool may_use_tiles() {
#if defined(RECUR_HAS_TILE_KERNELS) && defined(__linux__)
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of Linux's asm/prctl.h, and XCR0's bit.
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

Isa best_isa(const std::vector<std::string>& flags) {
  if (has_all(flags, {"asimd"})) return Isa::neon;
  // Source: x86-64 psABI, table 3.1, microarchitecture levels. "abm" is where Linux puts LZCNT.
  if (!has_all(flags, {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})) return Isa::baseline;
  if (!has_all(flags, {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})) return Isa::avx2;
  if (!has_all(flags, {"avx512_bf16"})) return Isa::avx512;
  return has_all(flags, {"amx_tile", "amx_bf16"}) && may_use_tiles() ? Isa::avx512_amx : Isa::avx512_bf16;
}

#if defined(__linux__)

std::int64_t size_in_bytes(const std::string& text) {
  // "48K", "1024K", "32M"
  char* end = nullptr;
  const std::int64_t number = std::strtoll(text.c_str(), &end, 10);
  return *end == 'K' ? number << 10 : *end == 'M' ? number << 20 : number;
}

void detect_caches(CpuFeatures& out) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index);
    std::ifstream level_file(folder + "/level"), type_file(folder + "/type"), size_file(folder + "/size");
    int level = 0;
    std::string type, size;
    if (!(level_file >> level) || !(type_file >> type) || !(size_file >> size)) continue;
    if (type == "Instruction") continue;
    if (level == 1) out.l1d_bytes = size_in_bytes(size);
    if (level == 2) out.l2_bytes = size_in_bytes(size);
    if (level == 3) out.l3_bytes = size_in_bytes(size);
  }
}

#elif defined(__APPLE__)

void detect_caches(CpuFeatures& out) {
  const auto value_of = [](const char* name) {
    std::int64_t value = 0;
    std::size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : std::int64_t{0};
  };
  out.l1d_bytes = value_of("hw.l1dcachesize");
  out.l2_bytes = value_of("hw.l2cachesize");
  out.l3_bytes = value_of("hw.l3cachesize");
}

#else

void detect_caches(CpuFeatures&) {}

#endif

constexpr Isa kX86Isas[] = {Isa::baseline, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::avx512_amx};
constexpr Isa kArmIsas[] = {Isa::baseline, Isa::neon};
constexpr Isa kOtherIsas[] = {Isa::baseline};

std::vector<Isa> isas_of(const std::string& architecture) {
  if (architecture == "x86_64") return {std::begin(kX86Isas), std::end(kX86Isas)};
  if (architecture == "aarch64") return {std::begin(kArmIsas), std::end(kArmIsas)};
  return {std::begin(kOtherIsas), std::end(kOtherIsas)};
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures found = [] {
    CpuFeatures out;
    out.architecture = kArchitecture;
    out.brand = single_spaced(detect_brand());
    out.flags = detect_flags();
    std::sort(out.flags.begin(), out.flags.end());
    out.best = best_isa(out.flags);
    detect_caches(out);
    return out;
  }();
  return found;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::avx512_amx:
      return "avx512_amx";
    case Isa::neon:
      return "neon";
  }
  return "baseline";
}

Isa capped_isa(const CpuFeatures& features, const std::string& cap) {
  if (cap.empty()) return features.best;
  std::string names;
  for (const Isa isa : isas_of(features.architecture)) {
    if (cap == isa_name(isa)) return std::min(isa, features.best);
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw std::invalid_argument("RECUR_CPU_ISA is '" + cap + "', but on " + features.architecture +
                              " it must be one of: " + names + ". Set one of them, or unset it to use " +
                              isa_name(features.best) + ".");
}

Isa chosen_isa() {
  const char* cap = std::getenv("RECUR_CPU_ISA");
  return capped_isa(cpu_features(), cap == nullptr ? "" : cap);
}

}  // namespace recur
