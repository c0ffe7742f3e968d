// What happens to memory that is given back, how large pieces are mapped, and scratch that is used again.

#pragma once

#include <cstdint>
#include <memory>

namespace recur {

// Lets the process keep the memory it frees, however large the piece, instead of handing it back to the system.
//
// A training step frees and asks again for the same tensors of some megabytes. By default glibc returns each of them to
// the system, which must then clear every page anew: a fifth of a step on two cores. In exchange the process stays as
// large as it has once been.
//
// Returns whether the C library could be told; only glibc can. Holds for the rest of the process.
bool keep_freed_memory();

// Asks the system for large pages in a piece of memory that has just been allocated; small pieces are left alone.
//
// Touching 52 MB for the first time takes 30 ms in pages of 4 KiB and 3 ms in those of 2 MiB.
void advise_large_pages(void* data, std::int64_t bytes);

// A block of memory at a multiple of 64 bytes.
struct BlockDeleter {
  void operator()(char* block) const;
};
using Block = std::unique_ptr<char, BlockDeleter>;
// Throws std::bad_alloc.
Block allocated(std::int64_t bytes);

// A block for one use in one thread at a time. The thread keeps it for the next use.
class Scratch {
 public:
  // Throws std::bad_alloc.
  explicit Scratch(std::int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() const { return data_; }

 private:
  char* data_;
};

}  // namespace recur
