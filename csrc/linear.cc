#include "linear.h"

#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "kernels/table.h"
#include "memory.h"

namespace recur {
namespace {

template <class T>
int parts_for(const Linear<T>& call, int threads) {
  // Below this, waking another thread takes longer than the work.
  constexpr std::int64_t kWorth = 1 << 17;
  const std::int64_t work = call.rows() * call.inputs * call.outputs;
  return static_cast<int>(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, work / kWorth)));
}

template <class T>
void run(const LinearPass<T>& pass, const Linear<T>& call, int threads) {
  const int parts = parts_for(call, threads);
  const std::int64_t shared_bytes = pass.shared_bytes(call, parts);
  const std::int64_t stride = apart(pass.part_bytes(call, parts));
  Scratch memory(shared_bytes + parts * stride);
  std::vector<void*> scratch(static_cast<std::size_t>(parts));
  for (int part = 0; part < parts; ++part)
    scratch[static_cast<std::size_t>(part)] = memory.data() + shared_bytes + part * stride;
  const int stages = pass.stages(call, parts);
  for (int stage = 0; stage < stages; ++stage) {
    side_by_side(parts, [&](int part) { pass.run(call, stage, part, parts, memory.data(), scratch.data()); });
  }
}

}  // namespace

template <class T>
void forward(const Linear<T>& call, int threads) {
  run(kernels<T>().linear_forward, call, threads);
}

template <class T>
void backward(const Linear<T>& call, int threads) {
  run(kernels<T>().linear_backward, call, threads);
}

template void forward(const Linear<float>&, int);
template void forward(const Linear<double>&, int);
template void backward(const Linear<float>&, int);
template void backward(const Linear<double>&, int);

}  // namespace recur
