// What AddressSanitizer can be told, and nothing where there is none: RECUR_ASAN says so.

#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define RECUR_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RECUR_ASAN
#endif
#endif
#if defined(RECUR_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, bytes) ((void)(data), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(data, bytes) ((void)(data), (void)(bytes))
#endif
