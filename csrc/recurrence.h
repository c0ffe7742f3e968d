// One recurrent layer in one direction, over a whole sequence: forward, and backward through time.
//
// Plain pointers and sizes; nothing here checks what it is given. Shapes use the letters T (steps), B (rows), I
// (inputs), H (hidden units), P (outputs: hidden units, or fewer with a projection), G (gates). Arrays are row-major
// and dense but where a `Sequence` says how far steps and rows lie apart. The equations are in
// src/recur/ops/*/README.md.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

// Code that several instruction sets compile is inlined always: of copies that are left, the linker keeps any one,
// perhaps one that the processor cannot run.
#if defined(_MSC_VER)
#define RECUR_INLINE __forceinline
#else
#define RECUR_INLINE inline __attribute__((always_inline))
#endif

namespace recur {

enum class CellKind { rnn, gru, gru_reset_before, lstm, lstm_coupled, indrnn, mgu, ligru };
enum class Nonlinearity { tanh, relu };

constexpr int kMaxGates = 4;

// Hidden units take up a whole number of these bytes in what is saved, on every instruction set.
constexpr std::int64_t kUnitBytes = 64;

constexpr double kNoBound = std::numeric_limits<double>::infinity();

// A (T, B, F) array whose features lie side by side. A step of 0 repeats the same values at every step.
template <class T>
struct Sequence {
  T* data = nullptr;
  std::int64_t step = 0, row = 0;

  RECUR_INLINE T* at(std::int64_t t, std::int64_t b) const { return data + t * step + b * row; }
  RECUR_INLINE explicit operator bool() const { return data != nullptr; }
};

struct Form {
  CellKind cell = CellKind::rnn;
  Nonlinearity nonlinearity = Nonlinearity::tanh;
  bool layer_norm = false;
  bool reverse = false;
  // Whether the factors of products may be rounded to bfloat16; sums stay as they are, and so does all else. For
  // float32, on processors that are faster with it; others go on as without.
  bool bfloat16 = false;
  double cell_clip = kNoBound;
  double output_clip = kNoBound;
  double gradient_clip = kNoBound;
};

// Null where the form has no such weight. For an RNN and an IndRNN norm_ih is the one gain.
template <class T>
struct WeightsOf {
  T* weight_ih = nullptr;    // (G*H, I)
  T* weight_hh = nullptr;    // (G*H, P), or (H,) for an IndRNN
  T* bias_ih = nullptr;      // (G*H,)
  T* bias_hh = nullptr;      // (G*H,)
  T* weight_hr = nullptr;    // (P, H)
  T* weight_ch = nullptr;    // peepholes, H each
  T* norm_ih = nullptr;      // (G*H,)
  T* norm_hh = nullptr;      // (G*H,)
  T* norm_c = nullptr;       // (H,)
  T* norm_c_bias = nullptr;  // (H,)
};

// The share of the old state that a step keeps; `unit` is 0 where all units share one number, else 1.
template <class T>
struct Zoneout {
  Sequence<const T> keep;
  std::int64_t unit = 1;
};

class Relay;

// A call of the op. Forward reads the first half and writes outputs and what is saved; backward reads all of that and
// the gradients of the outputs, and writes the gradients of the inputs, each of them whole; a null gradient is not
// wanted, or for those of outputs, zero.
template <class T>
struct Recurrence {
  Form form;
  std::int64_t steps = 0, batch = 0, input_size = 0, hidden_size = 0, out_size = 0;

  Sequence<const T> x;
  const T* h0 = nullptr;  // (B, P)
  const T* c0 = nullptr;  // (B, H): of an LSTM, and of others with a projection
  WeightsOf<const T> weights;
  const std::int64_t* lengths = nullptr;  // (B,), or null when all rows are full
  Sequence<const bool> reset;             // (T, B); `row` apart
  const T* h_anew = nullptr;              // What a reset puts in place, (B, P) and (B, H).
  const T* c_anew = nullptr;
  const T* state_mask = nullptr;  // (B, P)
  Sequence<const T> candidate_mask;
  Zoneout<T> zoneout_h, zoneout_c;

  // Whether the weights have been packed before, however few the rows are; see `Stepping`.
  bool is_prepacked = false;
  // Of calls that run at the same time, one upon the other: what tells how many steps, in the order in which they are
  // computed, of what this one reads are there (x, backward dy), and what is told of those that it has written.
  const Relay* below = nullptr;
  Relay* done = nullptr;

  Sequence<T> y;  // (T, B, P)
  T* hn = nullptr;
  T* cn = nullptr;

  // Saved for the backward pass; all null in inference. Their sizes are those of `saved_sizes`.
  T* gates = nullptr;
  T* cells = nullptr;       // (T, B, H)
  T* input_hat = nullptr;   // Normalised products with the input,
  T* hidden_hat = nullptr;  // and with the state.
  T* scales = nullptr;      // Their reciprocal standard deviations.
  T* raw_output = nullptr;  // (T, B, P): outputs before they are clipped.

  Sequence<const T> dy;
  const T* dhn = nullptr;
  const T* dcn = nullptr;
  const T* dgates[kMaxGates] = {};  // Gradients of recorded gates, (T, B, H) each, in the order of the gates,
  const T* dcells = nullptr;        // and of recorded cell states.
  Sequence<T> dx;
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  T* dh_anew = nullptr;
  T* dc_anew = nullptr;
  WeightsOf<T> dweights;
};

// Elements of each array that a forward pass saves, 0 for one that the call does without.
struct SavedSizes {
  std::int64_t gates, cells, input_hat, hidden_hat, scales, raw_output;
  // Of `gates`: (T, B, slots, padded_size), and the slot of each gate of the weights, in their order.
  int slots;
  std::int64_t padded_size;
  int slot_of_gate[kMaxGates];
};

template <class T>
SavedSizes saved_sizes(const Recurrence<T>& call);

// What threads divide among themselves: the rows of the batch, the hidden units of all rows, or what is the faster.
// Where a form's units cannot be divided its rows are.
enum class SplitBy { fastest, rows, units };

// Throws std::bad_alloc when there is no room for scratch; then no output has a meaning.
//
// threads: At most so many; at least 1.
// kept: Where the packed weights are found again, if the weights are what they were, or null.
template <class T>
class KeptWeights;
template <class T>
void forward(const Recurrence<T>& call, int threads, KeptWeights<T>* kept = nullptr, SplitBy by = SplitBy::fastest);
template <class T>
void backward(const Recurrence<T>& call, int threads, SplitBy by = SplitBy::fastest);

// The same for two calls that do not depend on each other, such as the directions of a layer: at the same time, each on
// half of the threads, where that is faster.
template <class T>
void forward_both(const Recurrence<T>& one, KeptWeights<T>* kept, const Recurrence<T>& other,
                  KeptWeights<T>* kept_of_other, int threads);
template <class T>
void backward_both(const Recurrence<T>& one, const Recurrence<T>& other, int threads);

// The same for the layers of a stack, each of which reads the outputs of the one before, and backward, in the same
// order, its dy is what the one behind writes as dx: at the same time, some steps apart, where that is faster.
//
// calls: From the first to the last.
template <class T>
void forward_stack(std::vector<Recurrence<T>*> calls, const std::vector<KeptWeights<T>*>& kept, int threads);
template <class T>
void backward_stack(std::vector<Recurrence<T>*> calls, int threads);
// Whether any of them do; only their sizes are looked at.
template <class T>
bool are_any_relayed(const std::vector<Recurrence<T>*>& calls, int threads);

// The packed weights of a layer, kept between forward passes without a backward pass.
//
// Each pass reads all weights to see whether they are the same, by a fingerprint; so it does not matter who has written
// into them, and how. That takes about a tenth of the time of packing them. Several threads may use it at once.
template <class T>
class KeptWeights {
 public:
  KeptWeights();
  ~KeptWeights();
  KeptWeights(const KeptWeights&) = delete;
  KeptWeights& operator=(const KeptWeights&) = delete;

 private:
  struct Packed;
  friend void forward<T>(const Recurrence<T>& call, int threads, KeptWeights<T>* kept, SplitBy by);
  friend void forward_both<T>(const Recurrence<T>& one, KeptWeights<T>* kept, const Recurrence<T>& other,
                              KeptWeights<T>* kept_of_other, int threads);
  friend void forward_stack<T>(std::vector<Recurrence<T>*> calls, const std::vector<KeptWeights<T>*>& kept,
                               int threads);
  // Whether packing takes a part of such a call's time that matters, and not too much memory.
  static bool is_worth(const Recurrence<T>& call);
  std::shared_ptr<const Packed> find(const Recurrence<T>& call, int parts, bool is_by_units);

  std::mutex mutex_;
  std::shared_ptr<const Packed> packed_;
};

// Layers, one upon the other, that take one step after another without a check, an allocation, or packing a weight
// again.
template <class T>
class Stepping {
 public:
  Stepping();
  ~Stepping();
  Stepping(const Stepping&) = delete;
  Stepping& operator=(const Stepping&) = delete;
  // Adds a layer: one step from `x` to `y`, the state in place (h0 is hn, and c0 is cn). The arrays are the caller's,
  // and stay; the packed weights are what the weights are now.
  //
  // Throws std::bad_alloc.
  void add(const Recurrence<T>& call);
  void step() const;

 private:
  struct Layer;
  std::vector<std::unique_ptr<Layer>> layers_;
};

// Returns multiplications and additions a second in registers, with the instruction set that kernels use now.
template <class T>
double peak_flops(int threads);

}  // namespace recur
