// Where threads wait for each other.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

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

// How far a call has come, for another one that goes on from what it writes.
class Relay {
 public:
  Relay() = default;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  // So many steps are done; what was written for them, all who await them see.
  void tell(std::int64_t steps) { done_.store(steps, std::memory_order_release); }
  // Returns when so many steps are done.
  void await(std::int64_t steps) const;

 private:
  std::atomic<std::int64_t> done_{0};
};

// The time, from some moment on.
std::int64_t nanoseconds();

// Whether each thread had a processor all the time that it was here. How long they waited for each other does not say
// that: where a step takes a millisecond, the shares of two processors differ by more than a waking takes.
class Presence {
 public:
  // Runs act() in the thread that calls.
  void watch(const std::function<void()>& act);
  // A thread was here so long, and had a processor so long of it; in nanoseconds.
  void note(std::int64_t all, std::int64_t own);
  // When all is over.
  bool was_whole() const { return was_whole_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> was_whole_{true};
};

// How evenly parts run side by side, stage after stage: a thread that other programs keep from its processor is late,
// and all wait for it.
class Stages {
 public:
  void begin();
  // Runs act() in the thread of a part, in the stage that was begun.
  template <class Act>
  void time(Act act) {
    const std::int64_t from = nanoseconds();
    act();
    const std::int64_t taken = nanoseconds() - from;
    std::int64_t least = shortest_.load(std::memory_order_relaxed);
    while (taken < least && !shortest_.compare_exchange_weak(least, taken, std::memory_order_relaxed)) {
    }
  }
  void end();
  // A stage took so long, and the part that took least of it so long; in nanoseconds.
  void note(std::int64_t taken, std::int64_t shortest);
  // Whether most of the time, of all stages, even the part that took least was busy.
  bool were_even() const;

 private:
  std::atomic<std::int64_t> shortest_{0};
  std::int64_t begin_ = 0, busy_ = 0, all_ = 0;  // In nanoseconds.
};

// Whether several threads are worth it: where other programs have the processors, each may take a slice of their time,
// and a call a hundred times as long. After such a call all take one thread for a while, twice as long each time that
// several are tried again in vain.
class Company {
 public:
  // Whether a call may take several.
  bool is_welcome(std::int64_t time = nanoseconds()) const { return time >= again_.load(std::memory_order_relaxed); }
  // Whether such a call had its processors for itself.
  void note(bool was_alone, std::int64_t time = nanoseconds()) {
    if (was_alone) {
      next_.store(kShortest, std::memory_order_relaxed);
      return;
    }
    const std::int64_t next = next_.load(std::memory_order_relaxed);
    again_.store(time + next, std::memory_order_relaxed);
    next_.store(next < kLongest ? 2 * next : next, std::memory_order_relaxed);
  }
  // Begins anew.
  void forget() {
    again_.store(0, std::memory_order_relaxed);
    next_.store(kShortest, std::memory_order_relaxed);
  }

  // Some slices of time; and long enough that trying again costs a hundredth.
  static constexpr std::int64_t kShortest = 8'000'000, kLongest = 128 * kShortest;

 private:
  std::atomic<std::int64_t> again_{0}, next_{kShortest};
};

// That of this process.
Company& company();

}  // namespace recur
