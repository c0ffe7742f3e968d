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

}  // namespace recur
