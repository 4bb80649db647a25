// WKV6 by the letter: the recurrence of wkv6.h and its hand-written reverse, for float, double and,
// forward only, std::complex<double> (complex-step differentiation). Single-threaded; the backward
// pass keeps T+1 states of one head.
#ifndef RADLADS_KERNELS_WKV6_WKV6_REFERENCE_H_
#define RADLADS_KERNELS_WKV6_WKV6_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "kernels/wkv6/wkv6.h"

namespace radlads {

// Runs one (row, head). The state before token t, after any reset, is left at states[t*K*V], if
// `states` is given.
template <typename T>
void Wkv6ReferenceHead(const WkvShape& shape, const Wkv6Inputs<T>& in, int64_t row, int64_t head,
                       T* state, T* output, T* states) {
  const int64_t K = shape.key_dim, V = shape.value_dim;
  for (int64_t t = 0; t < shape.time; ++t) {
    const int64_t token = row * shape.time + t, key = (token * shape.heads + head) * K,
                  value = (token * shape.heads + head) * V;
    if (!in.reset.empty() && in.reset[token]) std::fill_n(state, K * V, T(0));
    if (states != nullptr) std::copy_n(state, K * V, states + t * K * V);
    if (output != nullptr) std::fill_n(output + value, V, T(0));
    for (int64_t i = 0; i < K; ++i) {
      const T w = std::exp(in.log_w[key + i]), q = T(in.scale) * in.q[key + i];
      for (int64_t j = 0; j < V; ++j) {
        T& h = state[i * V + j];
        h = w * h + in.k[key + i] * in.v[value + j];
        if (output != nullptr) output[value + j] += q * h;
      }
    }
  }
}

template <typename T>
void Wkv6ReferenceForward(const WkvShape& shape, const Wkv6Inputs<T>& in,
                          const Wkv6Outputs<T>& out) {
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
      Wkv6ReferenceHead(shape, in, row, head, state, out.output.data(), static_cast<T*>(nullptr));
    }
  }
}

template <typename T>
void Wkv6ReferenceBackward(const WkvShape& shape, const Wkv6Inputs<T>& in,
                           const Wkv6OutputGradients<T>& d_out, const Wkv6Gradients<T>& d_in) {
  const int64_t K = shape.key_dim, V = shape.value_dim, size = K * V;
  std::vector<T> states((shape.time + 1) * size), d_state(size);
  for (int64_t row = 0; row < shape.batch; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      const int64_t at = (row * shape.heads + head) * size;
      T* last = states.data() + shape.time * size;
      std::fill_n(last, size, T(0));
      if (!in.initial_state.empty()) std::copy_n(in.initial_state.data() + at, size, last);
      Wkv6ReferenceHead(shape, in, row, head, last, static_cast<T*>(nullptr), states.data());
      std::fill(d_state.begin(), d_state.end(), T(0));
      if (!d_out.final_state.empty())
        std::copy_n(d_out.final_state.data() + at, size, d_state.data());

      for (int64_t t = shape.time - 1; t >= 0; --t) {
        const int64_t token = row * shape.time + t, key = (token * shape.heads + head) * K,
                      value = (token * shape.heads + head) * V;
        const bool reset = !in.reset.empty() && in.reset[token];
        const T* before = states.data() + t * size;
        std::fill_n(d_in.v.data() + value, V, T(0));
        for (int64_t i = 0; i < K; ++i) {
          const T w = std::exp(in.log_w[key + i]), q = T(in.scale) * in.q[key + i];
          T d_q = T(0), d_k = T(0), d_w = T(0);
          for (int64_t j = 0; j < V; ++j) {
            const T after = w * before[i * V + j] + in.k[key + i] * in.v[value + j];
            const T d_o = d_out.output.empty() ? T(0) : d_out.output[value + j];
            T& d_h = d_state[i * V + j];
            d_h += q * d_o;
            d_q += after * d_o;
            d_k += d_h * in.v[value + j];
            d_w += d_h * before[i * V + j];
            d_in.v[value + j] += d_h * in.k[key + i];
            d_h = reset ? T(0) : w * d_h;
          }
          d_in.q[key + i] = T(in.scale) * d_q;
          d_in.k[key + i] = d_k;
          d_in.log_w[key + i] = w * d_w;
        }
      }
      if (!d_in.initial_state.empty())
        std::copy_n(d_state.data(), size, d_in.initial_state.data() + at);
    }
  }
}

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV6_WKV6_REFERENCE_H_
