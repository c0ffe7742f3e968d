// What calls of every sort share: the kernels of the instruction set that is in use, threads, and their scratch.

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/table.h"

namespace recur {

// The kernels for float or double.
template <class T>
const Kernels<T>& kernels();

// Runs act(part) for every part below `parts`, side by side where there are threads.
void side_by_side(int parts, const std::function<void(int)>& act);

// Multiplications; below this, waking another thread takes longer than the work.
constexpr std::int64_t kWorth = 1 << 17;

// Where in a call's scratch lie what its parts share, and what each has by itself.
class PartsScratch {
 public:
  static std::int64_t bytes(std::int64_t shared_bytes, std::int64_t part_bytes, int parts) {
    return shared_bytes + parts * apart(part_bytes);
  }
  // memory: So many bytes, at a multiple of 64.
  PartsScratch(char* memory, std::int64_t shared_bytes, std::int64_t part_bytes, int parts)
      : shared_(memory), own_(static_cast<std::size_t>(parts)) {
    for (std::size_t part = 0; part < own_.size(); ++part) {
      own_[part] = memory + shared_bytes + static_cast<std::int64_t>(part) * apart(part_bytes);
    }
  }
  char* shared() const { return shared_; }
  void* own(int part) const { return own_[static_cast<std::size_t>(part)]; }
  void* const* all() const { return own_.data(); }

 private:
  // By some pages, and not a power of two of them: else the same rows of each would share lines of the cache.
  static std::int64_t apart(std::int64_t bytes) { return (bytes + 4095) / 4096 * 4096 + 4096 + 128; }

  char* shared_;
  std::vector<void*> own_;
};

}  // namespace recur
