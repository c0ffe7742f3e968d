// The linear layer against plain sums.

#pragma once

namespace recur {
namespace tests {

// Tries a linear layer in sizes around those at which its kernels change their way, and in random ones.
void linear(int cases);

}  // namespace tests
}  // namespace recur
