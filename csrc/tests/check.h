// Checks that name what failed, and buffers that notice a write beside them.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "asan.h"

namespace recur {
namespace tests {

// What is being tried, for the message of a check that fails.
inline std::string& context() {
  static std::string text;
  return text;
}

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n  in %s\n", file, line, what.c_str(), context().c_str());
  std::exit(1);
}

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) ::recur::tests::fail(__FILE__, __LINE__, #condition); \
  } while (false)

// An array in an allocation of its own, exactly as long as it is said to be, aligned to its elements and no more.
// Around it lie bytes of a known value, which no one may read (under AddressSanitizer) or write.
template <class E>
class Buffer {
 public:
  explicit Buffer(std::int64_t count) : count_(count), block_(new unsigned char[kFront + bytes() + kBack]) {
    std::memset(block_.get(), kCanary, kFront + bytes() + kBack);
    // Not a number, of either type.
    std::memset(data(), 0xff, bytes());
    ASAN_POISON_MEMORY_REGION(block_.get(), kFront);
    ASAN_POISON_MEMORY_REGION(block_.get() + kFront + bytes(), kBack);
  }
  ~Buffer() {
    ASAN_UNPOISON_MEMORY_REGION(block_.get(), kFront + bytes() + kBack);
    for (std::size_t i = 0; i < kFront; ++i) CHECK(block_[i] == kCanary);
    for (std::size_t i = 0; i < kBack; ++i) CHECK(block_[kFront + bytes() + i] == kCanary);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  E* data() { return reinterpret_cast<E*>(block_.get() + kFront); }
  std::int64_t count() const { return count_; }

 private:
  static constexpr unsigned char kCanary = 0xa5;
  static constexpr std::size_t kFront = 64 + sizeof(E), kBack = 64;

  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(E); }

  std::int64_t count_;
  std::unique_ptr<unsigned char[]> block_;
};

}  // namespace tests
}  // namespace recur
