// What happens to memory that is given back.

#pragma once

namespace recur {

// Lets the process keep the memory it frees, however large the piece, instead of handing it back to the system.
//
// A training step frees and asks again for the same tensors of some megabytes. By default glibc returns each of them to
// the system, which must then clear every page anew: a fifth of a step on two cores. In exchange the process stays as
// large as it has once been.
//
// Returns whether the C library could be told; only glibc can. Holds for the rest of the process.
bool keep_freed_memory();

}  // namespace recur
