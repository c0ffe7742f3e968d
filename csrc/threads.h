// How many threads it makes sense to run.

#pragma once

#include <string>

namespace recur {

// Returns how many logical processors the machine has on line; at least 1.
int hardware_threads();

// Returns how many of them this process may keep busy: the processors that its affinity mask allows, and no more than
// the CPU quota of its control group rounded up (what `docker --cpus` sets). At least 1.
int usable_threads();

// Returns the CPU quota of a control group in processors, such as 1.5; 0 when there is none.
//
// The lowest quota of the group and its ancestors counts. Both versions of control groups are understood.
//
// membership: The process's groups, as /proc/self/cgroup.
// root: Where the control groups are mounted, as /sys/fs/cgroup.
double cgroup_cpu_limit(const std::string& membership, const std::string& root);

}  // namespace recur
