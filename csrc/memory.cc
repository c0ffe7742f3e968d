#include "memory.h"

#include <cstdlib>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace recur {
namespace {

constexpr std::int64_t kLargePage = std::int64_t{1} << 21;
constexpr std::int64_t kWorthAdvice = std::int64_t{4} << 20;
// A thread keeps no more than this between two uses.
constexpr std::int64_t kMostKept = std::int64_t{256} << 20;

struct Kept {
  Block block;
  std::int64_t bytes = 0;
  bool is_used = false;
};
thread_local Kept kept;

}  // namespace

void BlockDeleter::operator()(char* block) const { ::operator delete(block, std::align_val_t{64}); }

Block allocated(std::int64_t bytes) {
  Block block(static_cast<char*>(::operator new(static_cast<std::size_t>(bytes), std::align_val_t{64})));
  advise_large_pages(block.get(), bytes);
  return block;
}

bool keep_freed_memory() {
#if defined(__GLIBC__)
  // Older versions of glibc refuse a threshold above 32 MiB.
  const bool is_mapped_no_more = mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1 || mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1;
  return mallopt(M_TRIM_THRESHOLD, 0x7fffffff) == 1 && is_mapped_no_more;
#else
  return false;
#endif
}

void advise_large_pages(void* data, std::int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < kWorthAdvice) return;
  const std::int64_t begin = (reinterpret_cast<std::int64_t>(data) + kLargePage - 1) / kLargePage * kLargePage;
  const std::int64_t end = (reinterpret_cast<std::int64_t>(data) + bytes) / kLargePage * kLargePage;
  // Only advice: a system that does not follow it is no error.
  if (end > begin) madvise(reinterpret_cast<void*>(begin), static_cast<std::size_t>(end - begin), MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}

Scratch::Scratch(std::int64_t bytes) {
  if (kept.is_used) throw std::bad_alloc();
  if (kept.bytes < bytes) {
    kept.block.reset();
    kept.bytes = 0;
    kept.block = allocated(bytes);
    kept.bytes = bytes;
  }
  kept.is_used = true;
  data_ = kept.block.get();
}

Scratch::~Scratch() {
  kept.is_used = false;
  if (kept.bytes <= kMostKept) return;
  kept.block.reset();
  kept.bytes = 0;
}

}  // namespace recur
