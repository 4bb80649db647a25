// wkv6 and wkv7 by the letter: the recurrence of wkv7.h and its hand-written reverse, for float, double and, forward
// only, std::complex<double> (complex-step differentiation). Without `a` and `b` it is that of wkv6.h. Single-threaded;
// the backward pass keeps T+1 states of one head.
#ifndef RADLADS_KERNELS_WKV_REFERENCE_H_
#define RADLADS_KERNELS_WKV_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "kernels/wkv/arrays.h"

namespace radlads {

// Runs one (row, head). The state before token t, after any reset, is left at states[t*K*V], if `states` is given.
template <typename T>
void WkvReferenceHead(const WkvShape& shape, const WkvInputs<T>& in, int64_t row, int64_t head, T* state, T* output,
                      T* states) {
  const int64_t K = shape.key_dim, V = shape.value_dim;
  const bool delta = !in.a.empty();
  std::vector<T> sa(V);
  for (int64_t t = 0; t < shape.time; ++t) {
    const int64_t token = row * shape.time + t, key = (token * shape.heads + head) * K,
                  value = (token * shape.heads + head) * V;
    if (!in.reset.empty() && in.reset[token]) std::fill_n(state, K * V, T(0));
    if (states != nullptr) std::copy_n(state, K * V, states + t * K * V);
    if (delta) {
      std::fill(sa.begin(), sa.end(), T(0));
      for (int64_t i = 0; i < K; ++i) {
        for (int64_t j = 0; j < V; ++j) sa[j] += in.a[key + i] * state[i * V + j];
      }
    }
    if (output != nullptr) std::fill_n(output + value, V, T(0));
    for (int64_t i = 0; i < K; ++i) {
      const T w = std::exp(in.log_w[key + i]), r = T(in.scale) * in.r[key + i];
      for (int64_t j = 0; j < V; ++j) {
        T& h = state[i * V + j];
        h = w * h;
        if (delta) h += in.b[key + i] * sa[j];
        h += in.k[key + i] * in.v[value + j];
        if (output != nullptr) output[value + j] += r * h;
      }
    }
  }
}

template <typename T>
void WkvReferenceForward(const WkvShape& shape, const WkvInputs<T>& in, const WkvOutputs<T>& out) {
  const int64_t size = shape.key_dim * shape.value_dim;
  for (int64_t row = 0; row < shape.batch; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      const int64_t at = (row * shape.heads + head) * size;
      T* state = out.final_state.data() + at;
      if (in.initial_state.empty()) {
        std::fill_n(state, size, T(0));
      } else {
        std::copy_n(in.initial_state.data() + at, size, state);
      }
      WkvReferenceHead(shape, in, row, head, state, out.output.data(), static_cast<T*>(nullptr));
    }
  }
}

template <typename T>
void WkvReferenceBackward(const WkvShape& shape, const WkvInputs<T>& in, const WkvOutputGradients<T>& d_out,
                          const WkvGradients<T>& d_in) {
  const int64_t K = shape.key_dim, V = shape.value_dim, size = K * V;
  const bool delta = !in.a.empty();
  std::vector<T> states((shape.time + 1) * size), d_state(size), sa(V), d_sa(V);
  for (int64_t row = 0; row < shape.batch; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      const int64_t at = (row * shape.heads + head) * size;
      T* last = states.data() + shape.time * size;
      std::fill_n(last, size, T(0));
      if (!in.initial_state.empty()) std::copy_n(in.initial_state.data() + at, size, last);
      WkvReferenceHead(shape, in, row, head, last, static_cast<T*>(nullptr), states.data());
      std::fill(d_state.begin(), d_state.end(), T(0));
      if (!d_out.final_state.empty()) std::copy_n(d_out.final_state.data() + at, size, d_state.data());

      for (int64_t t = shape.time - 1; t >= 0; --t) {
        const int64_t token = row * shape.time + t, key = (token * shape.heads + head) * K,
                      value = (token * shape.heads + head) * V;
        const bool reset = !in.reset.empty() && in.reset[token];
        const T* before = states.data() + t * size;
        if (delta) {
          std::fill(sa.begin(), sa.end(), T(0));
          for (int64_t i = 0; i < K; ++i) {
            for (int64_t j = 0; j < V; ++j) sa[j] += in.a[key + i] * before[i * V + j];
          }
          std::fill(d_sa.begin(), d_sa.end(), T(0));
        }
        std::fill_n(d_in.v.data() + value, V, T(0));
        // Through the output and what the token wrote.
        for (int64_t i = 0; i < K; ++i) {
          const T w = std::exp(in.log_w[key + i]), r = T(in.scale) * in.r[key + i];
          T d_r = T(0), d_k = T(0), d_b = T(0), d_w = T(0);
          for (int64_t j = 0; j < V; ++j) {
            // Not states[t + 1]: a reset may have put that to zero.
            T after = w * before[i * V + j];
            if (delta) after += in.b[key + i] * sa[j];
            after += in.k[key + i] * in.v[value + j];
            const T d_o = d_out.output.empty() ? T(0) : d_out.output[value + j];
            T& d_h = d_state[i * V + j];
            d_h += r * d_o;
            d_r += after * d_o;
            d_k += d_h * in.v[value + j];
            d_w += d_h * before[i * V + j];
            d_in.v[value + j] += d_h * in.k[key + i];
            if (delta) {
              d_b += d_h * sa[j];
              d_sa[j] += d_h * in.b[key + i];
            }
          }
          d_in.r[key + i] = T(in.scale) * d_r;
          d_in.k[key + i] = d_k;
          d_in.log_w[key + i] = w * d_w;
          if (delta) d_in.b[key + i] = d_b;
        }
        // To the state before the token.
        for (int64_t i = 0; i < K; ++i) {
          const T w = std::exp(in.log_w[key + i]);
          T d_a = T(0);
          for (int64_t j = 0; j < V; ++j) {
            T& d_h = d_state[i * V + j];
            const T decayed = w * d_h;
            if (delta) d_a += before[i * V + j] * d_sa[j];
            d_h = reset ? T(0) : delta ? decayed + in.a[key + i] * d_sa[j] : decayed;
          }
          if (delta) d_in.a[key + i] = d_a;
        }
      }
      if (!d_in.initial_state.empty()) std::copy_n(d_state.data(), size, d_in.initial_state.data() + at);
    }
  }
}

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_REFERENCE_H_
