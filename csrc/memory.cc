#include "memory.h"

#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace recur {

bool keep_freed_memory() {
#if defined(__GLIBC__)
  // Older versions of glibc refuse a threshold above 32 MiB.
  const bool is_mapped_no_more = mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1 || mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1;
  return mallopt(M_TRIM_THRESHOLD, 0x7fffffff) == 1 && is_mapped_no_more;
#else
  return false;
#endif
}

}  // namespace recur
