// What calls of every sort share: the kernels of the instruction set that is in use, and threads.

#pragma once

#include <functional>

#include "kernels/table.h"

namespace recur {

// The kernels for float or double.
template <class T>
const Kernels<T>& kernels();

// Runs act(part) for every part below `parts`, side by side where there are threads.
void side_by_side(int parts, const std::function<void(int)>& act);

// How far from each other the scratch of parts that need so many bytes lies: by some pages, and not a power of two of
// them, else the same rows of each would share lines of the cache.
inline std::int64_t apart(std::int64_t bytes) { return (bytes + 4095) / 4096 * 4096 + 4096 + 128; }

}  // namespace recur
