#include "barrier.h"

#include <chrono>
#include <limits>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <time.h>
#endif

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

template <class IsThere>
void wait_until(IsThere is_there) {
  for (int spins = 0; !is_there(); ++spins) {
    if (spins > kSpins) {
      std::this_thread::yield();
      spins = kSpins;
    } else if (spins > kSpinsAtOnce) {
      pause();
    }
  }
}

}  // namespace

void Relay::await(std::int64_t steps) const {
  wait_until([&] { return done_.load(std::memory_order_acquire) >= steps; });
}

void Barrier::meet(int part, int parts) {
  const std::int64_t count = counts_[part].value.load(std::memory_order_relaxed) + 1;
  counts_[part].value.store(count, std::memory_order_release);
  for (int other = 0; other < parts; ++other) {
    wait_until([&] { return counts_[other].value.load(std::memory_order_acquire) >= count; });
  }
}

void Presence::watch(const std::function<void()>& act) {
#if defined(__unix__) || defined(__APPLE__)
  const auto own_nanoseconds = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  const std::int64_t begin = nanoseconds(), own_begin = own_nanoseconds();
  act();
  const std::int64_t own = own_nanoseconds() - own_begin;
  note(nanoseconds() - begin, own);
#else
  act();
#endif
}

void Presence::note(std::int64_t all, std::int64_t own) {
  // Less than the slice of time that another program would have had; and two threads that lose a third of theirs are
  // faster than one.
  constexpr std::int64_t kInterrupt = 100'000;
  if (all - own > kInterrupt + all / 3) was_whole_.store(false, std::memory_order_relaxed);
}

std::int64_t nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Stages::begin() {
  shortest_.store(std::numeric_limits<std::int64_t>::max(), std::memory_order_relaxed);
  begin_ = nanoseconds();
}

void Stages::end() { note(nanoseconds() - begin_, shortest_.load(std::memory_order_relaxed)); }

void Stages::note(std::int64_t taken, std::int64_t shortest) {
  all_ += taken;
  busy_ += shortest < taken ? shortest : taken;
}

bool Stages::were_even() const {
  // Longer than a thread takes to wake up, and shorter than the slice of time that another program would have had.
  constexpr std::int64_t kLate = 500'000;
  return all_ - busy_ <= kLate + all_ / 3 * 2;
}

Company& company() {
  static Company one;
  return one;
}

void Team::meet() const {
  if (parts > 1) barrier->meet(part, parts);
}

void await_steps(const Relay& relay, std::int64_t steps) { relay.await(steps); }
void tell_steps(Relay& relay, std::int64_t steps) { relay.tell(steps); }

}  // namespace recur
