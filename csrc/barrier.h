// Where threads wait for each other.

#pragma once

#include <atomic>
#include <cstdint>

namespace recur {

// Threads that run side by side meet here again and again. Each says in a line of memory of its own how often it has
// come, and looks at those of the others: so a meeting costs one way of a line from one processor to another, and no
// more.
class Barrier {
 public:
  static constexpr int kMostParts = 32;

  Barrier() = default;
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  // Returns when every part below `parts` has come as often as this one. A thread that waits long lets others have its
  // processor, so that a processor for each of them is not needed, only faster.
  void meet(int part, int parts);

 private:
  struct alignas(64) Count {
    std::atomic<std::int64_t> value{0};
  };
  Count counts_[kMostParts];
};

}  // namespace recur
