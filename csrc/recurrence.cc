#include "recurrence.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <new>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "barrier.h"
#include "cpu_features.h"
#include "dispatch.h"
#include "kernels/table.h"
#include "memory.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace recur {

#define RECUR_DECLARE(ISA)                      \
  namespace ISA {                               \
  extern const Kernels<float> kernels_float32;  \
  extern const Kernels<double> kernels_float64; \
  }
#if defined(RECUR_HAS_NEON_KERNELS)
RECUR_DECLARE(neon)
// Every AArch64 has NEON.
namespace lowest = neon;
#else
RECUR_DECLARE(baseline)
namespace lowest = baseline;
#endif
#if defined(RECUR_HAS_X86_KERNELS)
RECUR_DECLARE(avx2)
RECUR_DECLARE(avx512)
RECUR_DECLARE(avx512_bf16)
#if defined(RECUR_HAS_TILE_KERNELS)
RECUR_DECLARE(avx512_amx)
#endif
#endif
#undef RECUR_DECLARE

namespace {

template <class T>
const Kernels<T>& choose(const Kernels<float>& single, const Kernels<double>& full) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return single;
  } else {
    return full;
  }
}

}  // namespace

template <class T>
const Kernels<T>& kernels() {
  [[maybe_unused]] const Isa isa = chosen_isa();
#if defined(RECUR_HAS_X86_KERNELS)
#if defined(RECUR_HAS_TILE_KERNELS)
  if (isa == Isa::avx512_amx) return choose<T>(avx512_amx::kernels_float32, avx512::kernels_float64);
#endif
  if (isa == Isa::avx512_bf16) return choose<T>(avx512_bf16::kernels_float32, avx512::kernels_float64);
  if (isa == Isa::avx512) return choose<T>(avx512::kernels_float32, avx512::kernels_float64);
  if (isa == Isa::avx2) return choose<T>(avx2::kernels_float32, avx2::kernels_float64);
#endif
  return choose<T>(lowest::kernels_float32, lowest::kernels_float64);
}
template const Kernels<float>& kernels();
template const Kernels<double>& kernels();

namespace {

// --- threads ---------------------------------------------------------------------------------------------------------

#if defined(__unix__) || defined(__APPLE__)
// The OpenMP runtime's threads do not come along into the child of a fork, and it would wait for them for ever, whether
// they were started here or by torch.
std::atomic<bool> is_forked{false};
[[maybe_unused]] const int is_watching = pthread_atfork(nullptr, nullptr, [] { is_forked = true; });
#else
constexpr bool is_forked = false;
#endif

// Runs act(part, parts) for every part below `parts`, all at the same time, where `parts` is `most` or, if the system
// does not give so many threads, what it gives.
template <class Act>
void in_team(int most, Act act) {
#if defined(_OPENMP)
  if (most > 1 && !is_forked) {
#pragma omp parallel num_threads(most)
    act(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
  if (most > 1) {
    // How many there are is known when all are started.
    std::atomic<int> started{0};
    std::vector<std::thread> others;
    const auto wait_and_act = [&](int part) {
      int parts = 0;
      while ((parts = started.load(std::memory_order_acquire)) == 0) std::this_thread::yield();
      act(part, parts);
    };
    try {
      others.reserve(static_cast<std::size_t>(most));
      for (int part = 1; part < most; ++part) others.emplace_back(wait_and_act, part);
    } catch (const std::exception&) {
    }
    started.store(static_cast<int>(others.size()) + 1, std::memory_order_release);
    wait_and_act(0);
    for (std::thread& other : others) other.join();
    return;
  }
#endif
  act(0, 1);
}

// Runs act(part) for every part below `parts`, side by side where there are threads, of which `most` are taken, and one
// while other programs have the processors; a thread that has several takes them in this order.
template <class Act>
void in_parts(int parts, int most, Act act) {
  if (most > 1 && parts > 1 && !company().is_welcome()) most = 1;
  in_team(std::min(parts, most), [&](int first, int count) {
    for (int part = first; part < parts; part += count) act(part);
  });
}

template <class Act>
void in_parts(int parts, Act act) {
  in_parts(parts, parts, act);
}

}  // namespace

void side_by_side(int parts, const std::function<void(int)>& act) { in_parts(parts, act); }

namespace {

// --- rows to parts ---------------------------------------------------------------------------------------------------

struct Split {
  std::vector<std::int64_t> rows;   // Part after part, in each of them those with the most steps first.
  std::vector<std::int64_t> begin;  // Of each part, and the end of the last.
};

template <class T>
Split split_rows(const Recurrence<T>& call, int parts) {
  Split split;
  split.rows.resize(static_cast<std::size_t>(call.batch));
  std::iota(split.rows.begin(), split.rows.end(), 0);
  split.begin.assign(static_cast<std::size_t>(parts) + 1, 0);
  if (call.lengths == nullptr) {
    for (int part = 0; part <= parts; ++part) split.begin[static_cast<std::size_t>(part)] = call.batch * part / parts;
    return split;
  }
  // The longest first, each to the part that has the fewest steps so far.
  std::stable_sort(split.rows.begin(), split.rows.end(),
                   [&](std::int64_t a, std::int64_t b) { return call.lengths[a] > call.lengths[b]; });
  std::vector<std::vector<std::int64_t>> dealt(static_cast<std::size_t>(parts));
  std::vector<std::int64_t> steps(static_cast<std::size_t>(parts), 0);
  for (const std::int64_t row : split.rows) {
    const auto least = static_cast<std::size_t>(std::min_element(steps.begin(), steps.end()) - steps.begin());
    dealt[least].push_back(row);
    steps[least] += call.lengths[row] + 1;
  }
  std::size_t at = 0;
  for (std::size_t part = 0; part < dealt.size(); ++part) {
    split.begin[part] = static_cast<std::int64_t>(at);
    for (const std::int64_t row : dealt[part]) split.rows[at++] = row;
  }
  split.begin.back() = call.batch;
  return split;
}

template <class T>
int parts_for(const Recurrence<T>& call, int threads) {
  // So few steps are added up in one part.
  if (call.steps * call.batch < kPackedFrom) return 1;
  const std::int64_t work = call.steps * call.batch * call.hidden_size * (call.input_size + call.out_size);
  const std::int64_t parts = std::min<std::int64_t>({threads, call.batch, 1 + work / kWorth});
  return static_cast<int>(std::max<std::int64_t>(1, parts));
}

// Among how many threads the hidden units are divided; 1 where the rows are.
//
// Measured on two processors of AMD Zen 5, float32, T = 100, I = H, best of many, in microseconds: by rows / by units.
//
//            B         1           2           4           6           8          16
//   inference
//   RNN 256       212 / 125   225 / 160   298 / 258   460 / 387   467 / 484  1036 / 996
//   GRU 256       696 / 362   864 / 622  1049 / 937 1742 / 1517 1543 / 1595 3287 / 3621
//   LSTM 128      269 / 166   278 / 210   361 / 306   521 / 540   625 / 714 1165 / 1190
//   LSTM 256     1467 / 521 1357 / 1069 1801 / 1275 1961 / 1725 2384 / 2542 4908 / 5104
//   training
//   RNN 256       556 / 322   586 / 455   852 / 775 1322 / 1206 1453 / 1518 3194 / 3233
//   GRU 256      1787 / 932 2519 / 2043 2994 / 3159 5158 / 5126 5021 / 4937 10345 / 12061
//   LSTM 128      678 / 410   751 / 574   967 / 850 1551 / 2146 1734 / 2396 3615 / 3783
//
// Narrow layers lose by the meetings, which cost this machine 0.1 us in some hours and 0.6 in others: with B = 1
// LSTM 64 57 / 44 and 71 / 84, RNN 128 57 / 34 and 57 / 84, GRU 128 214 / 141 and 167 / 172. Cells with two products
// meet twice and want twice as much; an IndRNN never does (256, B = 1: 68 / 51). From some four rows for each thread on
// the multipliers are busy by rows too. No more than two threads could be measured.
//
// Backward there is more to it: parts by rows each have a sum for every weight, which are put together at the end.
// Where all rows and steps are few for the weights that counts: backward, by rows / by units, in milliseconds, LSTM 512
// with T = 1, B = 16 2.52 / 1.46, T = 10, B = 64 15.5 / 14.8, T = 100, B = 32 71.9 / 73.5, LSTM 256 with T = 1, B = 64
// 0.46 / 0.40, T = 10, B = 16 0.99 / 0.96, T = 25, B = 16 2.78 / 2.82, GRU 1024 with T = 1, B = 16 8.5 / 4.7. So it is
// with weights that are read where they lie, by rows by each part.
template <class T>
int unit_parts_for(const Recurrence<T>& call, int threads, SplitBy by, int row_parts) {
  if (by == SplitBy::rows || threads < 2) return 1;
  const UnitSplit split = kernels<T>().unit_split(call);
  std::int64_t parts = std::min<std::int64_t>({threads, split.pieces, Barrier::kMostParts});
  if (by == SplitBy::fastest) {
    // Multiplications between two meetings that make up for one, of each thread.
    constexpr std::int64_t kBetween = 1 << 15;
    const std::int64_t rows = (call.batch + threads - 1) / threads;
    const std::int64_t worth = call.batch < threads ? 3 : std::max<std::int64_t>(4, 2 * rows);
    // Without a meeting, those that make up for waking a thread.
    const std::int64_t between = split.meetings == 0 ? split.weights * call.steps / 64 : split.weights / split.meetings;
    // Weights for each row of all steps from which on their sums count.
    constexpr std::int64_t kSumsCount = 1 << 11;
    const bool has_sums = (call.dweights.weight_ih != nullptr || call.dweights.weight_hh != nullptr) &&
                          split.weights >= kSumsCount * call.steps * call.batch;
    if (row_parts > 1 && (has_sums || !split.is_packed) && between * call.batch >= 8 * kBetween) {
      return static_cast<int>(std::max<std::int64_t>(1, std::min<std::int64_t>(parts, row_parts)));
    }
    if (rows > 3 || (split.meetings == 0 && call.batch >= threads)) return 1;
    if (between < worth * kBetween || split.weights * call.steps * call.batch < 2 * kWorth) return 1;
    parts = std::min(parts, between * call.batch / kBetween);
    if (parts < row_parts) return 1;
  }
  return static_cast<int>(std::max<std::int64_t>(1, parts));
}

template <class T>
Parts parts_of(const Recurrence<T>& call, int threads, SplitBy by) {
  const int rows = parts_for(call, threads), units = unit_parts_for(call, threads, by, rows);
  if (units < 2) return {rows, false};
  // One thread gives the same bits as any number that share the units.
  return by == SplitBy::units || company().is_welcome() ? Parts{units, true} : Parts{1, false};
}

// packed: As for `run`.
template <class T>
void run_units(const Pass<T>& pass, const Recurrence<T>& call, int parts, char* packed) {
  const Split split = split_rows(call, 1);
  const Parts cut{parts, true};
  const std::int64_t shared_bytes = pass.shared_bytes(call, cut), part_bytes = pass.part_bytes(call, call.batch, cut);
  const Scratch memory(PartsScratch::bytes(shared_bytes, part_bytes, parts));
  const PartsScratch scratch(memory.data(), shared_bytes, part_bytes, parts);
  Barrier barrier;
  Presence presence;
  in_team(parts, [&](int part, int count) {
    presence.watch([&] {
      // Fewer than asked for have other units each.
      pass.run_units(call, split.rows.data(), {part, count, &barrier}, scratch.shared(), scratch.own(part),
                     count == parts ? packed : nullptr);
    });
  });
  company().note(presence.was_whole());
}

// A call whose rows are cut into parts.
template <class T>
class RowParts {
 public:
  // packed: What the parts share, when it has been packed before, or null.
  RowParts(const Pass<T>& pass, const Recurrence<T>& call, int parts, char* packed)
      : pass_(&pass), call_(&call), split_(split_rows(call, parts)), count_(parts), packed_(packed) {
    const Parts cut{parts, false};
    shared_bytes_ = packed != nullptr ? 0 : pass.shared_bytes(call, cut);
    for (int part = 0; part < parts; ++part)
      part_bytes_ = std::max(part_bytes_, pass.part_bytes(call, rows_of(part), cut));
  }
  int count() const { return count_; }
  bool is_packed() const { return packed_ != nullptr; }
  // Whether parts take about as long as each other.
  bool are_alike() const { return call_->lengths == nullptr; }
  // Up to a line of the cache, for what lies behind.
  std::int64_t bytes() const { return (PartsScratch::bytes(shared_bytes_, part_bytes_, count_) + 63) / 64 * 64; }
  void place(char* memory) { scratch_.emplace(memory, shared_bytes_, part_bytes_, count_); }

  void pack(int part) const { pass_->pack(*call_, part, count_, scratch_->shared(), scratch_->own(part)); }
  void run(int part) const {
    pass_->run(*call_, split_.rows.data() + split_.begin[static_cast<std::size_t>(part)], rows_of(part), count_,
               is_packed() ? packed_ : scratch_->shared(), scratch_->own(part));
  }
  void reduce(int part) const { pass_->reduce(*call_, part, count_, scratch_->all()); }

 private:
  std::int64_t rows_of(int part) const {
    return split_.begin[static_cast<std::size_t>(part) + 1] - split_.begin[static_cast<std::size_t>(part)];
  }

  const Pass<T>* pass_;
  const Recurrence<T>* call_;
  Split split_;
  int count_;
  char* packed_;
  std::int64_t shared_bytes_ = 0, part_bytes_ = 0;
  std::optional<PartsScratch> scratch_;
};

// Runs calls at the same time, each part of each in a thread; with fewer threads than parts, the first ones first. One
// thread gives the same bits.
//
// do_wait: Whether parts wait for each other.
template <class T>
void run_rows(const Pass<T>& pass, RowParts<T>* calls, std::size_t number, int threads, bool do_wait = false) {
  RowParts<T>* const end = calls + number;
  std::int64_t bytes = 0;
  int parts = 0;
  bool are_packed = true, are_alike = true;
  for (RowParts<T>* each = calls; each != end; ++each) {
    bytes += each->bytes();
    parts += each->count();
    are_packed = are_packed && each->is_packed();
    are_alike = are_alike && each->are_alike();
  }
  const Scratch memory(bytes);
  char* room = memory.data();
  for (RowParts<T>* each = calls; each != end; ++each) {
    each->place(room);
    room += each->bytes();
  }
  if (threads > 1 && parts > 1 && !company().is_welcome()) threads = 1;
  Presence presence;
  Stages stages;
  const auto all = [&](auto act) {
    stages.begin();
    in_parts(parts, threads, [&](int part) {
      const auto run = [&] {
        const RowParts<T>* of = calls;
        for (; part >= of->count(); ++of) part -= of->count();
        act(*of, part);
      };
      if (threads == 1) return run();
      stages.time([&] { do_wait ? presence.watch(run) : run(); });
    });
    stages.end();
  };
  if (!are_packed) {
    all([](const RowParts<T>& call, int part) {
      if (!call.is_packed()) call.pack(part);
    });
  }
  all([](const RowParts<T>& call, int part) { call.run(part); });
  if (pass.reduce != nullptr) all([](const RowParts<T>& call, int part) { call.reduce(part); });
  if (threads > 1 && parts > 1 && (do_wait || are_alike)) {
    company().note(presence.was_whole() && (!are_alike || stages.were_even()));
  }
}

// packed: What the parts share, or each has of it by itself, when it has been packed before by so many.
template <class T>
void run(const Pass<T>& pass, const Recurrence<T>& call, Parts cut, char* packed = nullptr) {
  if (cut.are_units) return run_units(pass, call, cut.count, packed);
  RowParts<T> rows(pass, call, cut.count, packed);
  run_rows(pass, &rows, 1, cut.count);
}

// Whether a call does best in one thread beside others: of few rows, worth a thread, and with weights that three
// quarters of a processor's own cache hold.
template <class T>
bool is_for_one(const Recurrence<T>& call, int threads) {
  constexpr std::int64_t kUnknown = 1 << 20;
  const std::int64_t cache = cpu_features().l2_bytes > 0 ? cpu_features().l2_bytes : kUnknown;
  const std::int64_t weights = kernels<T>().unit_split(call).weights;
  const bool is_near = 4 * weights * static_cast<std::int64_t>(sizeof(T)) <= 3 * cache;
  return is_near && (call.batch + threads - 1) / threads <= 3 && call.steps * call.batch * weights >= kWorth;
}

// How many threads each of two calls gets where they run at the same time; 0 where one after the other is faster.
//
// Measured on two processors of AMD Zen 5, float32, T = 100, I = H, two directions, one after the other / at the same
// time, in microseconds: inference with B = 1 LSTM 64 194 / 118, LSTM 128 396 / 326, LSTM 256 1269 / 1285, with B = 4
// GRU 128 631 / 522, with B = 16 LSTM 128 2589 / 2711; training with B = 1 LSTM 64 567 / 403, LSTM 128 993 / 855, LSTM
// 256 3448 / 4005. So where rows are few, and three quarters of a processor's own cache hold what is then the whole
// weight. With two or three threads each call has one, and it does not matter that two would divide its units; no more
// than two could be measured.
template <class T>
int threads_of_each(const Recurrence<T>& one, const Recurrence<T>& other, int threads) {
  const int each = threads / 2;
  if (each < 1) return 0;
  for (const Recurrence<T>* call : {&one, &other}) {
    if (!is_for_one(*call, threads)) return 0;
    // Else what is left over of the threads would do more, or all of them with some units each.
    const int rows = parts_for(*call, threads);
    if (threads % 2 != 0 && rows > each) return 0;
    if (each > 1 && unit_parts_for(*call, threads, SplitBy::fastest, rows) > 1) return 0;
  }
  return each;
}

// Whether as many layers as these run at the same time, each in one thread: by the rule of `threads_of_each`, where
// there are steps enough to be some behind, and where sharing rows or units would not occupy more threads.
//
// Measured as for `threads_of_each`, two layers, B = 1, one after the other / at the same time: inference LSTM 64
// 182 / 138, LSTM 128 397 / 347, GRU 128 315 / 283, RNN 128 176 / 141, RNN 256 516 / 362, with T = 1000 GRU 128
// 3479 / 2017; training LSTM 128 937 / 890, GRU 128 777 / 733, RNN 128 503 / 413; with B = 4 RNN 128 809 / 738.
template <class T>
bool are_relayed(Recurrence<T>* const* calls, int count, int threads) {
  for (int n = 0; n < count; ++n) {
    const Recurrence<T>& call = *calls[n];
    if (call.steps < 16 || !is_for_one(call, threads)) return false;
    if (parts_for(call, threads) > count) return false;
    if (unit_parts_for(call, threads, SplitBy::fastest, 1) > count) return false;
  }
  return true;
}

// From where to where the layers of a stack run at the same time, as many as there are threads.
template <class T>
std::vector<std::pair<std::size_t, std::size_t>> groups_of(const std::vector<Recurrence<T>*>& calls, int threads) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t first = 0; first < calls.size(); first = found.back().second) {
    const std::size_t count = std::min(calls.size() - first, static_cast<std::size_t>(std::max(threads, 1)));
    const bool are_many = count > 1 && are_relayed(&calls[first], static_cast<int>(count), threads);
    found.emplace_back(first, first + (are_many ? count : 1));
  }
  return found;
}

// Lets each call begin when the one before has done some steps, for as long as this lives.
template <class T>
class Relayed {
 public:
  Relayed(Recurrence<T>* const* calls, std::size_t count) : calls_(calls), relays_(count) {
    for (std::size_t n = 0; n + 1 < count; ++n) {
      calls[n]->done = &relays_[n];
      calls[n + 1]->below = &relays_[n];
    }
  }
  Relayed(const Relayed&) = delete;
  Relayed& operator=(const Relayed&) = delete;
  ~Relayed() {
    for (std::size_t n = 0; n < relays_.size(); ++n) {
      calls_[n]->done = nullptr;
      calls_[n]->below = nullptr;
    }
  }

 private:
  Recurrence<T>* const* calls_;
  std::vector<Relay> relays_;
};

// Runs each call in one thread, some steps behind the one before.
//
// packed: What is packed for each, or null.
template <class T>
void run_relayed(const Pass<T>& pass, Recurrence<T>* const* calls, const std::vector<char*>& packed, int threads) {
  const Relayed<T> relayed(calls, packed.size());
  std::vector<RowParts<T>> parts;
  for (std::size_t n = 0; n < packed.size(); ++n) parts.emplace_back(pass, *calls[n], 1, packed[n]);
  run_rows(pass, parts.data(), parts.size(), threads, true);
}

}  // namespace

template <class T>
bool are_any_relayed(const std::vector<Recurrence<T>*>& calls, int threads) {
  return groups_of(calls, threads).size() < calls.size();
}

template <class T>
SavedSizes saved_sizes(const Recurrence<T>& call) {
  return kernels<T>().saved_sizes(call);
}

template <class T>
struct KeptWeights<T>::Packed {
  const Kernels<T>* kernels;
  int unit_parts;  // 0 where the rows are cut, which leaves the weights whole.
  std::uint64_t fingerprint;
  Block shared;
};

template <class T>
KeptWeights<T>::KeptWeights() = default;
template <class T>
KeptWeights<T>::~KeptWeights() = default;

template <class T>
std::shared_ptr<const typename KeptWeights<T>::Packed> KeptWeights<T>::find(const Recurrence<T>& call, int parts,
                                                                            bool is_by_units) {
  const Kernels<T>& now = kernels<T>();
  const auto fingerprint_now = [&] {
    std::atomic<std::uint64_t> sum{0};
    in_parts(parts, [&](int part) { sum += now.fingerprint(call, part, parts); });
    return sum.load();
  };
  const std::uint64_t fingerprint = fingerprint_now();
  const int unit_parts = is_by_units ? parts : 0;
  std::shared_ptr<const Packed> found;
  {
    // Never waiting: in the child of a fork the one who holds it may be a thread that is no more.
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock.owns_lock()) found = packed_;
  }
  if (found != nullptr && found->kernels == &now && found->unit_parts == unit_parts &&
      found->fingerprint == fingerprint)
    return found;
  const Pass<T>& pass = now.forward;
  const auto made =
      std::make_shared<Packed>(Packed{&now, unit_parts, fingerprint, allocated(pass.shared_bytes(call, {1, false}))});
  const std::int64_t bytes = pass.part_bytes(call, 1, {1, false});
  const Scratch memory(bytes * parts);
  const auto pack = is_by_units ? pass.pack_units : pass.pack;
  in_parts(parts, [&](int part) { pack(call, part, parts, made->shared.get(), memory.data() + part * bytes); });
  // Someone may write into the weights meanwhile.
  if (fingerprint_now() != fingerprint) return made;
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (lock.owns_lock()) packed_ = made;
  return made;
}

template <class T>
bool KeptWeights<T>::is_worth(const Recurrence<T>& call) {
  const std::int64_t rows = call.steps * call.batch;
  return call.gates == nullptr && rows >= kPackedFrom && rows <= kKeptTo &&
         kernels<T>().forward.shared_bytes(call, {1, false}) <= kMostKeptBytes;
}

template <class T>
void forward(const Recurrence<T>& call, int threads, KeptWeights<T>* kept, SplitBy by) {
  const Pass<T>& pass = kernels<T>().forward;
  const Parts parts = parts_of(call, threads, by);
  if (kept == nullptr || !KeptWeights<T>::is_worth(call)) {
    run(pass, call, parts);
    return;
  }
  const auto packed = kept->find(call, parts.count, parts.are_units);
  run(pass, call, parts, packed->shared.get());
}

template <class T>
void forward_both(const Recurrence<T>& one, KeptWeights<T>* kept, const Recurrence<T>& other,
                  KeptWeights<T>* kept_of_other, int threads) {
  const int each = threads_of_each(one, other, threads);
  if (each == 0) {
    forward(one, threads, kept);
    forward(other, threads, kept_of_other);
    return;
  }
  const Pass<T>& pass = kernels<T>().forward;
  std::shared_ptr<const typename KeptWeights<T>::Packed> found[2];
  const auto parts = [&](const Recurrence<T>& call, KeptWeights<T>* where, auto& packed) {
    if (where != nullptr && KeptWeights<T>::is_worth(call)) packed = where->find(call, threads, false);
    return RowParts<T>(pass, call, parts_for(call, each), packed == nullptr ? nullptr : packed->shared.get());
  };
  RowParts<T> rows[] = {parts(one, kept, found[0]), parts(other, kept_of_other, found[1])};
  run_rows(pass, rows, 2, threads);
}

template <class T>
void backward(const Recurrence<T>& call, int threads, SplitBy by) {
  run(kernels<T>().backward, call, parts_of(call, threads, by));
}

template <class T>
void backward_both(const Recurrence<T>& one, const Recurrence<T>& other, int threads) {
  const int each = threads_of_each(one, other, threads);
  if (each == 0) {
    backward(one, threads);
    backward(other, threads);
    return;
  }
  const Pass<T>& pass = kernels<T>().backward;
  RowParts<T> rows[] = {RowParts<T>(pass, one, parts_for(one, each), nullptr),
                        RowParts<T>(pass, other, parts_for(other, each), nullptr)};
  run_rows(pass, rows, 2, threads);
}

template <class T>
void forward_stack(std::vector<Recurrence<T>*> calls, const std::vector<KeptWeights<T>*>& kept, int threads) {
  for (const auto& [first, end] : groups_of(calls, threads)) {
    if (end - first == 1) {
      forward(*calls[first], threads, kept[first]);
      continue;
    }
    std::vector<std::shared_ptr<const typename KeptWeights<T>::Packed>> found;
    std::vector<char*> packed;
    for (std::size_t n = first; n < end; ++n) {
      const bool is_kept = kept[n] != nullptr && KeptWeights<T>::is_worth(*calls[n]);
      found.push_back(is_kept ? kept[n]->find(*calls[n], threads, false) : nullptr);
      packed.push_back(is_kept ? found.back()->shared.get() : nullptr);
    }
    run_relayed(kernels<T>().forward, &calls[first], packed, threads);
  }
}

template <class T>
void backward_stack(std::vector<Recurrence<T>*> calls, int threads) {
  std::reverse(calls.begin(), calls.end());
  for (const auto& [first, end] : groups_of(calls, threads)) {
    if (end - first == 1) {
      backward(*calls[first], threads);
    } else {
      run_relayed(kernels<T>().backward, &calls[first], std::vector<char*>(end - first, nullptr), threads);
    }
  }
}

template <class T>
struct Stepping<T>::Layer {
  Recurrence<T> call;
  const Pass<T>* pass;
  std::vector<std::int64_t> rows;
  Block shared, scratch;
};

template <class T>
Stepping<T>::Stepping() = default;
template <class T>
Stepping<T>::~Stepping() = default;

template <class T>
void Stepping<T>::add(const Recurrence<T>& call) {
  auto layer = std::make_unique<Layer>();
  layer->call = call;
  layer->call.is_prepacked = true;
  layer->pass = &kernels<T>().forward;
  layer->rows.resize(static_cast<std::size_t>(call.batch));
  std::iota(layer->rows.begin(), layer->rows.end(), 0);
  layer->shared = allocated(layer->pass->shared_bytes(layer->call, {1, false}));
  layer->scratch = allocated(layer->pass->part_bytes(layer->call, call.batch, {1, false}));
  layer->pass->pack(layer->call, 0, 1, layer->shared.get(), layer->scratch.get());
  layers_.push_back(std::move(layer));
}

template <class T>
void Stepping<T>::step() const {
  for (const auto& layer : layers_) {
    layer->pass->run(layer->call, layer->rows.data(), layer->call.batch, 1, layer->shared.get(), layer->scratch.get());
  }
}

template <class T>
double peak_flops(int threads) {
  const Kernels<T>& k = kernels<T>();
  constexpr std::int64_t kRounds = 1 << 22;
  double best = 0;
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::atomic<std::int64_t> total{0};
    const auto begin = std::chrono::steady_clock::now();
    in_team(threads, [&](int, int) {
      T sink[2] = {T(0.5), T(1)};
      total += k.work(kRounds, sink);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(total) / seconds.count());
  }
  return best;
}

template SavedSizes saved_sizes(const Recurrence<float>&);
template SavedSizes saved_sizes(const Recurrence<double>&);
template class KeptWeights<float>;
template class KeptWeights<double>;
template void forward(const Recurrence<float>&, int, KeptWeights<float>*, SplitBy);
template void forward(const Recurrence<double>&, int, KeptWeights<double>*, SplitBy);
template void forward_both(const Recurrence<float>&, KeptWeights<float>*, const Recurrence<float>&, KeptWeights<float>*,
                           int);
template void forward_both(const Recurrence<double>&, KeptWeights<double>*, const Recurrence<double>&,
                           KeptWeights<double>*, int);
template void backward(const Recurrence<float>&, int, SplitBy);
template void backward(const Recurrence<double>&, int, SplitBy);
template void backward_both(const Recurrence<float>&, const Recurrence<float>&, int);
template void backward_both(const Recurrence<double>&, const Recurrence<double>&, int);
template void forward_stack(std::vector<Recurrence<float>*>, const std::vector<KeptWeights<float>*>&, int);
template void forward_stack(std::vector<Recurrence<double>*>, const std::vector<KeptWeights<double>*>&, int);
template void backward_stack(std::vector<Recurrence<float>*>, int);
template bool are_any_relayed(const std::vector<Recurrence<float>*>&, int);
template bool are_any_relayed(const std::vector<Recurrence<double>*>&, int);
template void backward_stack(std::vector<Recurrence<double>*>, int);
template class Stepping<float>;
template class Stepping<double>;
template double peak_flops<float>(int);
template double peak_flops<double>(int);

}  // namespace recur
