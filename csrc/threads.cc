#include "threads.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

namespace recur {
namespace {

// Returns the processors that the affinity mask allows; 0 when the system has no such mask.
int allowed_processors() {
#if defined(__linux__)
  // The mask's size is the kernel's choice; it refuses a smaller one.
  for (int capacity = 1024; capacity <= (1 << 20); capacity *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(capacity));
    if (mask == nullptr) return 0;
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    CPU_ZERO_S(size, mask);
    const bool is_read = sched_getaffinity(0, size, mask) == 0;
    const int count = is_read ? CPU_COUNT_S(size, mask) : 0;
    CPU_FREE(mask);
    if (is_read) return count;
  }
#endif
  return 0;
}

double lower_limit(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// Version 2: "150000 100000" or "max 100000".
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

// Version 1: two files; a quota of -1 means none.
double quota_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period : 0;
}

template <typename Quota>
double lowest_quota(const std::string& mount, std::string group, Quota quota) {
  double limit = 0;
  while (!group.empty() && group != "/") {
    limit = lower_limit(limit, quota(mount + group));
    const std::size_t parent = group.rfind('/');
    group.erase(parent == std::string::npos ? 0 : parent);
  }
  return lower_limit(limit, quota(mount));
}

bool has_cpu_controller(const std::string& controllers) {
  std::istringstream list(controllers);
  for (std::string name; std::getline(list, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

int hardware_threads() {
#if defined(__linux__)
  // std::thread::hardware_concurrency counts the affinity mask here, which is the other question.
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  if (online > 0) return static_cast<int>(online);
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

double cgroup_cpu_limit(const std::string& membership, const std::string& root) {
  std::ifstream file(membership);
  double limit = 0;
  // Each line is number:controllers:group; version 2 has number 0 and no controllers.
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    if (first == std::string::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) {
      limit = lower_limit(limit, lowest_quota(root, group, quota_v2));
    } else if (has_cpu_controller(controllers)) {
      limit = lower_limit(limit, lowest_quota(root + "/cpu", group, quota_v1));
    }
  }
  return limit;
}

int usable_threads() {
  const int allowed = allowed_processors();
  int threads = allowed > 0 ? allowed : hardware_threads();
#if defined(__linux__)
  const double limit = cgroup_cpu_limit("/proc/self/cgroup", "/sys/fs/cgroup");
  if (limit > 0) threads = std::min(threads, static_cast<int>(std::ceil(limit)));
#endif
  return std::max(1, threads);
}

}  // namespace recur
