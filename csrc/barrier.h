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
  // How often a part, the one that did most often, had to let others have its processor; not counting the first
  // meeting, to which threads may have to be woken. When all is over.
  std::int64_t long_waits() const;
  // How often part 0 has come.
  std::int64_t meetings() const { return counts_[0].value.load(std::memory_order_relaxed); }

 private:
  struct alignas(64) Count {
    std::atomic<std::int64_t> value{0};
    std::atomic<std::int64_t> long_waits{0};
  };
  Count counts_[kMostParts];
};

// Whether meetings are worth it: where other programs have the processors, each may take a slice of their time, and a
// call a hundred times as long. After such a call a number of calls go without, twice as many each time that it is
// tried again in vain.
class Company {
 public:
  // Whether this call may have meetings.
  bool is_welcome() {
    const int left = without_.load(std::memory_order_relaxed);
    if (left > 0) without_.store(left - 1, std::memory_order_relaxed);
    return left == 0;
  }
  // What such a call found.
  void note(std::int64_t long_waits, std::int64_t meetings) {
    if (long_waits <= 2 + meetings / 32) {
      next_.store(kFewest, std::memory_order_relaxed);
      return;
    }
    const int next = next_.load(std::memory_order_relaxed);
    without_.store(next, std::memory_order_relaxed);
    next_.store(next < kMost ? 2 * next : next, std::memory_order_relaxed);
  }
  // Begins anew.
  void forget() {
    without_.store(0, std::memory_order_relaxed);
    next_.store(kFewest, std::memory_order_relaxed);
  }

 private:
  static constexpr int kFewest = 32, kMost = 4096;
  std::atomic<int> without_{0}, next_{kFewest};
};

// That of this process.
Company& company();

}  // namespace recur
