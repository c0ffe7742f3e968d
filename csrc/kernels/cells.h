// The pointwise part of each cell, forward and backward side by side.
//
// A step of one row: the products are done and lie in the slots of `gates`; what a cell does to them is here, and
// nothing else is. The equations are in src/recur/ops/*/README.md, and so is their order of gates.

#pragma once

#include "kernels/norm.h"
#include "kernels/vectors.h"
#include "recurrence.h"

namespace recur {
namespace RECUR_ISA {

// What is the same for every row and step.
template <class T>
struct Constants {
  Index units = 0, padded = 0;  // H, and H in whole kUnitBytes
  Index begin = 0, end = 0;     // The units to compute: all `padded` ones, or with others' help some of them.
  bool is_projected = false, is_relu = false;
  bool has_cell_clip = false, has_output_clip = false;
  T cell_clip = 0, output_clip = 0;
  const T* weight_ch = nullptr;
  const T* norm_c = nullptr;
  const T* norm_c_bias = nullptr;
  Index zoneout_h_unit = 1, zoneout_c_unit = 1;
};

// One row at one step. Slots of `gates` are `padded` apart and whole; all else has `units` elements.
template <class T>
struct ForwardRow {
  T* gates;
  const T* h;  // The state before,
  const T* c;  // and the cell state; of a cell whose output is its state, h.
  T* h_out;    // The output, or what is to be projected.
  T* c_out;    // The cell state; null where there is none but h.
  const T* candidate;
  const T* zoneout_h;
  const T* zoneout_c;
};

template <class T>
struct BackwardRow {
  const T* gates;
  T* dgates;  // Slots as of `gates`: gradients of what the products gave.
  const T* h;
  const T* c;
  const T* dy;   // Gradient of the output at this step, or null. With a projection: of what is projected.
  T* dh;         // In: gradient of the state after. Out: of the state before, but for what comes through products.
  T* dc;         // The same of the cell state; padded.
  T* projected;  // Out: what was projected; null without a projection.
  T* spare;      // Between the two parts of a cell with two products; padded.
  const T* candidate;
  const T* zoneout_h;
  const T* zoneout_c;
  const T* drecord[kMaxGates];
  const T* dcells;
  // Sums over rows and steps.
  T* dweight_ch;
  T* dnorm_c;
  T* dnorm_c_bias;
};

// --- what cells share ------------------------------------------------------------------------------------------------

template <class T>
RECUR_INLINE Vector<T> maybe(const T* from, Index u, Lanes<T> lanes) {
  return from == nullptr ? Vector<T>{} : load(from + u, lanes);
}

template <class T>
RECUR_INLINE Vector<T> kept_share(const T* keep, Index unit, Index u, Lanes<T> lanes) {
  return unit == 0 ? splat(*keep) : load(keep + u, lanes);
}

// What zoneout makes of a part of the state.
template <class T>
RECUR_INLINE Vector<T> zoned(Vector<T> value, const T* old, const T* keep, Index unit, Index u, Lanes<T> lanes) {
  if (keep == nullptr) return value;
  const Vector<T> k = kept_share(keep, unit, u, lanes);
  return k * load(old + u, lanes) + (T(1) - k) * value;
}

// Takes the share of the old state out of a gradient and returns it.
template <class T>
RECUR_INLINE Vector<T> take_old_share(Vector<T>& gradient, const T* keep, Index unit, Index u, Lanes<T> lanes) {
  if (keep == nullptr) return Vector<T>{};
  const Vector<T> k = kept_share(keep, unit, u, lanes);
  const Vector<T> old = k * gradient;
  gradient = (T(1) - k) * gradient;
  return old;
}

// The gradient of torch.clamp, which is whole at the bounds and zero for NaN.
template <class T>
RECUR_INLINE Vector<T> unclamped(Vector<T> gradient, Vector<T> raw, T bound) {
  return select<T>((raw <= bound) & (raw >= -bound), gradient, Vector<T>{});
}

template <class T>
RECUR_INLINE Vector<T> activated(const Constants<T>& k, Vector<T> a) {
  return k.is_relu ? relu<T>(a) : tanh<T>(a);
}
// Returns the gradient of what the nonlinearity was given, from that of its value. As in torch it is zero where that is
// zero, even if infinite or NaN came back, and passes whole where it is NaN.
template <class T>
RECUR_INLINE Vector<T> unactivated(const Constants<T>& k, Vector<T> gradient, Vector<T> value) {
  return k.is_relu ? select<T>(value <= T(0), Vector<T>{}, gradient) : gradient * (T(1) - value * value);
}

// Writes the new value of a cell whose state is what it puts out.
template <class T>
RECUR_INLINE void put_state(const Constants<T>& k, const ForwardRow<T>& s, Vector<T> value, Index u, Lanes<T> lanes) {
  if (k.is_projected) {
    store(s.h_out + u, value, lanes);
    if (s.c_out != nullptr) store(s.c_out + u, zoned(value, s.c, s.zoneout_c, k.zoneout_c_unit, u, lanes), lanes);
    return;
  }
  if (k.has_output_clip) value = clamped(value, k.output_clip);
  store(s.h_out + u, zoned(value, s.h, s.zoneout_h, k.zoneout_h_unit, u, lanes), lanes);
}

// Returns the gradient of that new value, and sets `direct` to what of the gradient belongs to the old one by zoneout.
template <class T>
RECUR_INLINE Vector<T> take_state(const Constants<T>& k, const BackwardRow<T>& s, Vector<T> value, Index u,
                                  Lanes<T> lanes, Vector<T>& direct) {
  if (k.is_projected) {
    store(s.projected + u, within(value, lanes));
    Vector<T> gradient{};
    direct = Vector<T>{};
    if (s.dc != nullptr) {
      gradient = load(s.dc + u) + maybe(s.dcells, u, lanes);
      direct = take_old_share(gradient, s.zoneout_c, k.zoneout_c_unit, u, lanes);
    }
    return gradient + maybe(s.dy, u, lanes);
  }
  Vector<T> gradient = load(s.dh + u) + maybe(s.dy, u, lanes);
  direct = take_old_share(gradient, s.zoneout_h, k.zoneout_h_unit, u, lanes);
  return k.has_output_clip ? unclamped(gradient, value, k.output_clip) : gradient;
}

// Writes the direct part of the gradient of the state before, of a cell as above.
template <class T>
RECUR_INLINE void give_state(const Constants<T>& k, const BackwardRow<T>& s, Vector<T> direct, Index u,
                             Lanes<T> lanes) {
  if (!k.is_projected) {
    store(s.dh + u, within(direct, lanes));
  } else if (s.dc != nullptr) {
    store(s.dc + u, within(direct, lanes));
  }
}

// --- RNN and IndRNN --------------------------------------------------------------------------------------------------

struct Simple {
  template <class T>
  static void forward(const Constants<T>& k, const ForwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> value = activated(k, load(s.gates + u));
      store(s.gates + u, value);
      put_state(k, s, value, u, lanes);
    }
  }
  template <class T>
  static void backward(const Constants<T>& k, const BackwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> value = load(s.gates + u);
      Vector<T> direct;
      const Vector<T> d = take_state(k, s, value, u, lanes, direct);
      store(s.dgates + u, within(unactivated(k, d, value), lanes));
      give_state(k, s, direct, u, lanes);
    }
  }
};

// --- LSTM ------------------------------------------------------------------------------------------------------------

template <bool kCoupled>
struct Lstm {
  // Slots; of the coupled form there are three.
  static constexpr int kInput = 0, kForget = kCoupled ? 0 : 1, kCandidate = kForget + 1, kOutput = kForget + 2;

  template <class T>
  struct Gates {
    Vector<T> i, f, g, o;
  };

  template <class T>
  static RECUR_INLINE Gates<T> gates_of(const Constants<T>& k, const T* gates, Index u) {
    Gates<T> v;
    v.f = load(gates + kForget * k.padded + u);
    v.i = kCoupled ? T(1) - v.f : load(gates + kInput * k.padded + u);
    v.g = load(gates + kCandidate * k.padded + u);
    v.o = load(gates + kOutput * k.padded + u);
    return v;
  }
  template <class T>
  static RECUR_INLINE Vector<T> eye(const Constants<T>& k, int number, Index u, Lanes<T> lanes) {
    return load(k.weight_ch + number * k.units + u, lanes);
  }

  template <class T>
  static void forward(const Constants<T>& k, const ForwardRow<T>& s) {
    const bool is_normed = k.norm_c != nullptr;
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      Gates<T> v = gates_of(k, s.gates, u);
      const Vector<T> old = load(s.c + u, lanes);
      if (k.weight_ch != nullptr) {
        if (!kCoupled) v.i += eye(k, 0, u, lanes) * old;
        v.f += eye(k, kForget, u, lanes) * old;
      }
      v.f = sigmoid<T>(v.f);
      v.i = kCoupled ? T(1) - v.f : sigmoid<T>(v.i);
      v.g = tanh<T>(v.g);
      Vector<T> c = v.f * old + v.i * (s.candidate == nullptr ? v.g : v.g * load(s.candidate + u, lanes));
      if (k.has_cell_clip) c = clamped(c, k.cell_clip);
      if (k.weight_ch != nullptr) v.o += eye(k, kForget + 1, u, lanes) * c;
      v.o = sigmoid<T>(v.o);
      if (!kCoupled) store(s.gates + kInput * k.padded + u, v.i);
      store(s.gates + kForget * k.padded + u, v.f);
      store(s.gates + kCandidate * k.padded + u, v.g);
      store(s.gates + kOutput * k.padded + u, v.o);
      if (is_normed) {
        // The cell state as it leaves, until its mean is known.
        store(s.h_out + u, c, lanes);
      } else {
        put_output(k, s, v.o * tanh<T>(c), u, lanes);
      }
      store(s.c_out + u, zoned(c, s.c, s.zoneout_c, k.zoneout_c_unit, u, lanes), lanes);
    }
    if (!is_normed) return;
    const Moments<T> moments = moments_of(s.h_out, k.units);
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> hat = (load(s.h_out + u, lanes) - moments.mean) * moments.scale;
      const Vector<T> seen = hat * load(k.norm_c + u, lanes) + maybe(k.norm_c_bias, u, lanes);
      put_output(k, s, load(s.gates + kOutput * k.padded + u) * tanh<T>(seen), u, lanes);
    }
  }

  template <class T>
  static RECUR_INLINE void put_output(const Constants<T>& k, const ForwardRow<T>& s, Vector<T> h, Index u,
                                      Lanes<T> lanes) {
    if (!k.is_projected) {
      if (k.has_output_clip) h = clamped(h, k.output_clip);
      h = zoned(h, s.h, s.zoneout_h, k.zoneout_h_unit, u, lanes);
    }
    store(s.h_out + u, h, lanes);
  }

  template <class T>
  static RECUR_INLINE Vector<T> raw_cell(const Constants<T>&, const BackwardRow<T>& s, const Gates<T>& v, Index u,
                                         Lanes<T> lanes) {
    return v.f * load(s.c + u, lanes) + v.i * (s.candidate == nullptr ? v.g : v.g * load(s.candidate + u, lanes));
  }

  template <class T>
  static void backward(const Constants<T>& k, const BackwardRow<T>& s) {
    if (k.norm_c != nullptr) {
      through_norm(k, s);
      return;
    }
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Gates<T> v = gates_of(k, s.gates, u);
      const Vector<T> raw = raw_cell(k, s, v, u, lanes);
      const Vector<T> t = tanh<T>(k.has_cell_clip ? clamped(raw, k.cell_clip) : raw);
      const Vector<T> dh = output_gradient(k, s, v.o * t, u, lanes);
      finish(k, s, v, raw, dh * v.o * (T(1) - t * t), dh * t, u, lanes);
    }
  }

  // Returns the gradient of o tanh(c), and puts what zoneout takes of it into dh.
  template <class T>
  static RECUR_INLINE Vector<T> output_gradient(const Constants<T>& k, const BackwardRow<T>& s, Vector<T> h, Index u,
                                                Lanes<T> lanes) {
    if (k.is_projected) {
      store(s.projected + u, within(h, lanes));
      return maybe(s.dy, u, lanes);
    }
    Vector<T> dh = load(s.dh + u) + maybe(s.dy, u, lanes);
    store(s.dh + u, within(take_old_share(dh, s.zoneout_h, k.zoneout_h_unit, u, lanes), lanes));
    return k.has_output_clip ? unclamped(dh, h, k.output_clip) : dh;
  }

  // From the gradients of c (by way of the output) and of o to those of everything before.
  template <class T>
  static RECUR_INLINE void finish(const Constants<T>& k, const BackwardRow<T>& s, const Gates<T>& v, Vector<T> raw,
                                  Vector<T> dc_seen, Vector<T> do_, Index u, Lanes<T> lanes) {
    const int i_record = 0, f_record = kForget, g_record = kCandidate, o_record = kOutput;
    do_ += maybe(s.drecord[o_record], u, lanes);
    const Vector<T> da_o = do_ * v.o * (T(1) - v.o);
    Vector<T> dc = load(s.dc + u) + maybe(s.dcells, u, lanes);
    Vector<T> direct = take_old_share(dc, s.zoneout_c, k.zoneout_c_unit, u, lanes);
    dc += dc_seen;
    const Vector<T> old = load(s.c + u, lanes);
    if (k.weight_ch != nullptr) {
      const Vector<T> c = k.has_cell_clip ? clamped(raw, k.cell_clip) : raw;
      dc += da_o * eye(k, kForget + 1, u, lanes);
      add_to(s.dweight_ch + (kForget + 1) * k.units + u, da_o * c, lanes);
    }
    if (k.has_cell_clip) dc = unclamped(dc, raw, k.cell_clip);
    const Vector<T> mask = s.candidate == nullptr ? splat(T(1)) : load(s.candidate + u, lanes);
    const Vector<T> di = dc * v.g * mask;
    const Vector<T> dg = dc * v.i * mask + maybe(s.drecord[g_record], u, lanes);
    Vector<T> df = dc * old + maybe(s.drecord[f_record], u, lanes);
    direct += dc * v.f;
    Vector<T> da_i{};
    if (kCoupled) {
      df -= di;
    } else {
      da_i = (di + maybe(s.drecord[i_record], u, lanes)) * v.i * (T(1) - v.i);
      store(s.dgates + kInput * k.padded + u, within(da_i, lanes));
    }
    const Vector<T> da_f = df * v.f * (T(1) - v.f);
    store(s.dgates + kForget * k.padded + u, within(da_f, lanes));
    store(s.dgates + kCandidate * k.padded + u, within(dg * (T(1) - v.g * v.g), lanes));
    store(s.dgates + kOutput * k.padded + u, within(da_o, lanes));
    if (k.weight_ch != nullptr) {
      if (!kCoupled) {
        direct += da_i * eye(k, 0, u, lanes);
        add_to(s.dweight_ch + u, da_i * old, lanes);
      }
      direct += da_f * eye(k, kForget, u, lanes);
      add_to(s.dweight_ch + kForget * k.units + u, da_f * old, lanes);
    }
    store(s.dc + u, within(direct, lanes));
  }

  template <class T>
  static void through_norm(const Constants<T>& k, const BackwardRow<T>& s) {
    T* raw = s.spare;
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> c = raw_cell(k, s, gates_of(k, s.gates, u), u, lanes);
      store(raw + u, within(k.has_cell_clip ? clamped(c, k.cell_clip) : c, lanes));
    }
    const Moments<T> moments = moments_of(raw, k.units);
    // First the gradient of the normalised state, into a slot that is free until `finish`, and its two means.
    T* dhat = s.dgates;
    Vector<T> sum{}, sum_with_hat{};
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> o = load(s.gates + kOutput * k.padded + u), gain = load(k.norm_c + u, lanes);
      const Vector<T> hat = within((load(raw + u) - moments.mean) * moments.scale, lanes);
      const Vector<T> t = tanh<T>(hat * gain + maybe(k.norm_c_bias, u, lanes));
      const Vector<T> dh = output_gradient(k, s, o * t, u, lanes);
      const Vector<T> dseen = within(dh * o * (T(1) - t * t), lanes);
      if (s.dnorm_c != nullptr) add_to(s.dnorm_c + u, dseen * hat, lanes);
      if (s.dnorm_c_bias != nullptr) add_to(s.dnorm_c_bias + u, dseen, lanes);
      const Vector<T> d = dseen * gain;
      sum += d;
      sum_with_hat += d * hat;
      store(dhat + u, d);
      store(s.dgates + kOutput * k.padded + u, within(dh * t, lanes));
    }
    const T mean = sum_of<T>(sum) / static_cast<T>(k.units),
            mean_with_hat = sum_of<T>(sum_with_hat) / static_cast<T>(k.units);
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Gates<T> v = gates_of(k, s.gates, u);
      const Vector<T> hat = (load(raw + u) - moments.mean) * moments.scale;
      const Vector<T> dc = (load(dhat + u) - mean - hat * mean_with_hat) * moments.scale;
      finish(k, s, v, raw_cell(k, s, v, u, lanes), dc, load(s.dgates + kOutput * k.padded + u), u, lanes);
    }
  }

  template <class T>
  static RECUR_INLINE void add_to(T* sums, Vector<T> value, Lanes<T> lanes) {
    store(sums, load(sums, lanes) + value, lanes);
  }
};

// --- GRU, reset gate after the product -------------------------------------------------------------------------------

struct Gru {
  static constexpr int kCandidate = 0, kReset = 1, kUpdate = 2, kProduct = 3;

  template <class T>
  static void forward(const Constants<T>& k, const ForwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> r = sigmoid<T>(load(s.gates + kReset * k.padded + u));
      const Vector<T> z = sigmoid<T>(load(s.gates + kUpdate * k.padded + u));
      const Vector<T> n =
          tanh<T>(load(s.gates + kCandidate * k.padded + u) + r * load(s.gates + kProduct * k.padded + u));
      store(s.gates + kReset * k.padded + u, r);
      store(s.gates + kUpdate * k.padded + u, z);
      store(s.gates + kCandidate * k.padded + u, n);
      const Vector<T> m = s.candidate == nullptr ? n : n * load(s.candidate + u, lanes);
      put_state(k, s, (T(1) - z) * m + z * load(s.c + u, lanes), u, lanes);
    }
  }
  template <class T>
  static void backward(const Constants<T>& k, const BackwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> r = load(s.gates + kReset * k.padded + u), z = load(s.gates + kUpdate * k.padded + u);
      const Vector<T> n = load(s.gates + kCandidate * k.padded + u), old = load(s.c + u, lanes);
      const Vector<T> mask = s.candidate == nullptr ? splat(T(1)) : load(s.candidate + u, lanes);
      const Vector<T> m = n * mask;
      Vector<T> direct;
      const Vector<T> d = take_state(k, s, (T(1) - z) * m + z * old, u, lanes, direct);
      const Vector<T> dn = d * (T(1) - z) * mask + maybe(s.drecord[2], u, lanes);
      const Vector<T> da_n = dn * (T(1) - n * n);
      const Vector<T> dr = da_n * load(s.gates + kProduct * k.padded + u) + maybe(s.drecord[0], u, lanes);
      const Vector<T> dz = d * (old - m) + maybe(s.drecord[1], u, lanes);
      store(s.dgates + kCandidate * k.padded + u, within(da_n, lanes));
      store(s.dgates + kReset * k.padded + u, within(dr * r * (T(1) - r), lanes));
      store(s.dgates + kUpdate * k.padded + u, within(dz * z * (T(1) - z), lanes));
      store(s.dgates + kProduct * k.padded + u, within(da_n * r, lanes));
      give_state(k, s, direct + d * z, u, lanes);
    }
  }
};

// --- GRU, reset gate before the product ------------------------------------------------------------------------------

struct GruResetBefore {
  static constexpr int kReset = 0, kUpdate = 1, kCandidate = 2;

  // The gates that the first product gave; `h` is the state as the products see it, `gated` what the second one sees.
  template <class T>
  static void between(const Constants<T>& k, T* gates, const T* h, T* gated) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> r = sigmoid<T>(load(gates + kReset * k.padded + u));
      store(gates + kReset * k.padded + u, r);
      store(gates + kUpdate * k.padded + u, sigmoid<T>(load(gates + kUpdate * k.padded + u)));
      store(gated + u, within(r * load(h + u, lanes), lanes));
    }
  }
  template <class T>
  static void forward(const Constants<T>& k, const ForwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> z = load(s.gates + kUpdate * k.padded + u),
                      n = tanh<T>(load(s.gates + kCandidate * k.padded + u));
      store(s.gates + kCandidate * k.padded + u, n);
      const Vector<T> m = s.candidate == nullptr ? n : n * load(s.candidate + u, lanes);
      put_state(k, s, (T(1) - z) * m + z * load(s.c + u, lanes), u, lanes);
    }
  }
  template <class T>
  static void backward(const Constants<T>& k, const BackwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> z = load(s.gates + kUpdate * k.padded + u), n = load(s.gates + kCandidate * k.padded + u);
      const Vector<T> old = load(s.c + u, lanes);
      const Vector<T> mask = s.candidate == nullptr ? splat(T(1)) : load(s.candidate + u, lanes);
      Vector<T> direct;
      const Vector<T> d = take_state(k, s, (T(1) - z) * n * mask + z * old, u, lanes, direct);
      const Vector<T> dn = d * (T(1) - z) * mask + maybe(s.drecord[2], u, lanes);
      const Vector<T> dz = d * (old - n * mask) + maybe(s.drecord[1], u, lanes);
      store(s.dgates + kCandidate * k.padded + u, within(dn * (T(1) - n * n), lanes));
      store(s.dgates + kUpdate * k.padded + u, within(dz * z * (T(1) - z), lanes));
      give_state(k, s, direct + d * z, u, lanes);
    }
  }
  // dgated in: gradient of what the second product saw. Out: its part in the gradient of h.
  template <class T>
  static void between_backward(const Constants<T>& k, const BackwardRow<T>& s, const T* h, T* dgated) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> r = load(s.gates + kReset * k.padded + u), d = load(dgated + u);
      const Vector<T> dr = d * load(h + u, lanes) + maybe(s.drecord[0], u, lanes);
      store(s.dgates + kReset * k.padded + u, within(dr * r * (T(1) - r), lanes));
      store(dgated + u, within(d * r, lanes));
    }
  }
};

// --- MGU -------------------------------------------------------------------------------------------------------------

struct Mgu {
  static constexpr int kForget = 0, kCandidate = 1;

  template <class T>
  static void between(const Constants<T>& k, T* gates, const T* h, T* gated) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> f = sigmoid<T>(load(gates + kForget * k.padded + u));
      store(gates + kForget * k.padded + u, f);
      store(gated + u, within(f * load(h + u, lanes), lanes));
    }
  }
  template <class T>
  static void forward(const Constants<T>& k, const ForwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> f = load(s.gates + kForget * k.padded + u),
                      n = tanh<T>(load(s.gates + kCandidate * k.padded + u));
      store(s.gates + kCandidate * k.padded + u, n);
      const Vector<T> m = s.candidate == nullptr ? n : n * load(s.candidate + u, lanes);
      put_state(k, s, (T(1) - f) * load(s.h + u, lanes) + f * m, u, lanes);
    }
  }
  template <class T>
  static void backward(const Constants<T>& k, const BackwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> f = load(s.gates + kForget * k.padded + u), n = load(s.gates + kCandidate * k.padded + u);
      const Vector<T> old = load(s.h + u, lanes);
      const Vector<T> mask = s.candidate == nullptr ? splat(T(1)) : load(s.candidate + u, lanes);
      Vector<T> direct;
      const Vector<T> d = take_state(k, s, (T(1) - f) * old + f * n * mask, u, lanes, direct);
      const Vector<T> dn = d * f * mask + maybe(s.drecord[1], u, lanes);
      store(s.dgates + kCandidate * k.padded + u, within(dn * (T(1) - n * n), lanes));
      store(s.spare + u, within(d * (n * mask - old) + maybe(s.drecord[0], u, lanes), lanes));
      give_state(k, s, direct + d * (T(1) - f), u, lanes);
    }
  }
  template <class T>
  static void between_backward(const Constants<T>& k, const BackwardRow<T>& s, const T* h, T* dgated) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> f = load(s.gates + kForget * k.padded + u), d = load(dgated + u);
      const Vector<T> df = load(s.spare + u) + d * load(h + u, lanes);
      store(s.dgates + kForget * k.padded + u, within(df * f * (T(1) - f), lanes));
      store(dgated + u, within(d * f, lanes));
    }
  }
};

// --- LiGRU -----------------------------------------------------------------------------------------------------------

struct LiGru {
  static constexpr int kUpdate = 0, kCandidate = 1;

  template <class T>
  static void forward(const Constants<T>& k, const ForwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> z = sigmoid<T>(load(s.gates + kUpdate * k.padded + u));
      const Vector<T> n = activated(k, load(s.gates + kCandidate * k.padded + u));
      store(s.gates + kUpdate * k.padded + u, z);
      store(s.gates + kCandidate * k.padded + u, n);
      const Vector<T> m = s.candidate == nullptr ? n : n * load(s.candidate + u, lanes);
      put_state(k, s, z * load(s.c + u, lanes) + (T(1) - z) * m, u, lanes);
    }
  }
  template <class T>
  static void backward(const Constants<T>& k, const BackwardRow<T>& s) {
    for (Index u = k.begin; u < k.end; u += kWidth<T>) {
      const Lanes<T> lanes(k.units - u);
      const Vector<T> z = load(s.gates + kUpdate * k.padded + u), n = load(s.gates + kCandidate * k.padded + u);
      const Vector<T> old = load(s.c + u, lanes);
      const Vector<T> mask = s.candidate == nullptr ? splat(T(1)) : load(s.candidate + u, lanes);
      Vector<T> direct;
      const Vector<T> d = take_state(k, s, z * old + (T(1) - z) * n * mask, u, lanes, direct);
      const Vector<T> dn = d * (T(1) - z) * mask + maybe(s.drecord[1], u, lanes);
      const Vector<T> dz = d * (old - n * mask) + maybe(s.drecord[0], u, lanes);
      store(s.dgates + kUpdate * k.padded + u, within(dz * z * (T(1) - z), lanes));
      store(s.dgates + kCandidate * k.padded + u, within(unactivated(k, dn, n), lanes));
      give_state(k, s, direct + d * z, u, lanes);
    }
  }
};

}  // namespace RECUR_ISA
}  // namespace recur
