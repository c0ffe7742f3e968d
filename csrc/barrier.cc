#include "barrier.h"

#include <algorithm>
#include <thread>

#include "kernels/table.h"

namespace recur {
namespace {

// A part that is hardly late is awaited without a pause, whose length is the processor's choice: a meeting of two then
// takes 60 ns, and with pauses 70 to 310 (AMD Zen 5). After some ten microseconds, longer than parts are late that all
// have a processor, others may have this one.
constexpr int kSpinsAtOnce = 64, kSpins = 1000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Barrier::meet(int part, int parts) {
  const std::int64_t count = counts_[part].value.load(std::memory_order_relaxed) + 1;
  counts_[part].value.store(count, std::memory_order_release);
  for (int other = 0; other < parts; ++other) {
    for (int spins = 0; counts_[other].value.load(std::memory_order_acquire) < count;) {
      if (spins > kSpins) {
        std::this_thread::yield();
      } else if (++spins > kSpins) {
        if (count > 1) counts_[part].long_waits.fetch_add(1, std::memory_order_relaxed);
      } else if (spins > kSpinsAtOnce) {
        pause();
      }
    }
  }
}

std::int64_t Barrier::long_waits() const {
  std::int64_t most = 0;
  for (const Count& count : counts_) most = std::max(most, count.long_waits.load(std::memory_order_relaxed));
  return most;
}

Company& company() {
  static Company one;
  return one;
}

void Team::meet() const {
  if (parts > 1) barrier->meet(part, parts);
}

}  // namespace recur
