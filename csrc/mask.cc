#include "mask.h"

#include <algorithm>

#include "dispatch.h"
#include "kernels/table.h"

namespace recur {
namespace {

// Elements of a thread; below this, waking another one takes longer than drawing them.
constexpr std::int64_t kWorthDrawing = 1 << 15;

}  // namespace

template <class T>
void draw(const Mask<T>& mask, int threads) {
  const Kernels<T>& own = kernels<T>();
  const std::int64_t groups = (mask.count + kMaskGroup - 1) / kMaskGroup;
  const std::int64_t parts = std::max<std::int64_t>(1, std::min<std::int64_t>(threads, mask.count / kWorthDrawing));
  side_by_side(static_cast<int>(parts), [&](int part) {
    const std::int64_t first = groups * part / parts * kMaskGroup;
    const std::int64_t end = std::min(groups * (part + 1) / parts * kMaskGroup, mask.count);
    own.draw(mask, first, end - first, mask.data + first);
  });
}

template void draw(const Mask<float>&, int);
template void draw(const Mask<double>&, int);

}  // namespace recur
