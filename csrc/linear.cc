#include "linear.h"

#include <algorithm>

#include "dispatch.h"
#include "kernels/table.h"
#include "memory.h"

namespace recur {
namespace {

template <class T>
int parts_for(const Linear<T>& call, std::int64_t rows, int threads) {
  const std::int64_t work = rows * call.inputs * call.outputs;
  return static_cast<int>(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, work / kWorth)));
}

template <class T>
void run(const LinearPass<T>& pass, const Linear<T>& call, int threads) {
  const int parts = parts_for(call, call.rows(), threads);
  const std::int64_t shared_bytes = pass.shared_bytes(call, parts), part_bytes = pass.part_bytes(call, parts);
  const Scratch memory(PartsScratch::bytes(shared_bytes, part_bytes, parts));
  const PartsScratch scratch(memory.data(), shared_bytes, part_bytes, parts);
  const int stages = pass.stages(call, parts);
  for (int stage = 0; stage < stages; ++stage) {
    side_by_side(parts, [&](int part) { pass.run(call, stage, part, parts, scratch.shared(), scratch.all()); });
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

template <class T>
PackedLinear<T>::PackedLinear(const Linear<T>& layer, int threads)
    : pass_(&kernels<T>().linear_forward), layer_(layer) {
  layer_.is_kept = true;
  packed_ = allocated(pass_->shared_bytes(layer_, 1));
  const int parts = parts_for(layer_, 1, threads);
  side_by_side(parts, [&](int part) { pass_->run(layer_, 0, part, parts, packed_.get(), nullptr); });
  layer_.weight = nullptr;
}

template <class T>
void PackedLinear<T>::multiply(const Linear<T>& call, int threads) const {
  Linear<T> whole = call;
  whole.inputs = layer_.inputs;
  whole.outputs = layer_.outputs;
  whole.is_kept = true;
  const int parts = parts_for(whole, whole.rows(), threads);
  const std::int64_t part_bytes = pass_->part_bytes(whole, parts);
  const Scratch memory(PartsScratch::bytes(0, part_bytes, parts));
  const PartsScratch scratch(memory.data(), 0, part_bytes, parts);
  side_by_side(parts, [&](int part) { pass_->run(whole, 1, part, parts, packed_.get(), scratch.all()); });
}

template class PackedLinear<float>;
template class PackedLinear<double>;
template void forward(const Linear<float>&, int);
template void forward(const Linear<double>&, int);
template void backward(const Linear<float>&, int);
template void backward(const Linear<double>&, int);

}  // namespace recur
