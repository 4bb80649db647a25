// The chunked form of wkv6 and wkv7 by the letter, in double, with a rounding wherever the CUDA
// kernels round to bf16 (kernels/wkv/cuda/chunk.cuh and the files beside it have the formulas).
// With a rounding that does nothing it equals the recurrence, which proves the formulas; with that
// of bf16 it says what the kernels must give, far more sharply than the tolerance of bf16 does.
#ifndef RADLADS_KERNELS_WKV_CHUNKED_REFERENCE_H_
#define RADLADS_KERNELS_WKV_CHUNKED_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/wkv/arrays.h"

namespace radlads {

using Rounding = std::function<double(double)>;

namespace chunked_reference {

struct Matrix {
  Matrix() = default;
  Matrix(int64_t rows, int64_t columns) : rows(rows), columns(columns), data(rows * columns) {}
  double& operator()(int64_t i, int64_t j) { return data[i * columns + j]; }
  double operator()(int64_t i, int64_t j) const { return data[i * columns + j]; }

  Matrix Map(const std::function<double(double)>& f) const {
    Matrix result = *this;
    for (double& x : result.data) x = f(x);
    return result;
  }
  // Element (i, j) times, or replaced by, something of i and j.
  Matrix MapAt(const std::function<double(int64_t, int64_t, double)>& f) const {
    Matrix result = *this;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) result(i, j) = f(i, j, (*this)(i, j));
    }
    return result;
  }
  Matrix Transposed() const {
    Matrix result(columns, rows);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) result(j, i) = (*this)(i, j);
    }
    return result;
  }

  int64_t rows = 0, columns = 0;
  std::vector<double> data;
};

inline Matrix operator*(const Matrix& x, const Matrix& y) {
  Matrix result(x.rows, y.columns);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t k = 0; k < x.columns; ++k) {
      for (int64_t j = 0; j < y.columns; ++j) result(i, j) += x(i, k) * y(k, j);
    }
  }
  return result;
}
inline Matrix operator+(Matrix x, const Matrix& y) {
  for (size_t i = 0; i < x.data.size(); ++i) x.data[i] += y.data[i];
  return x;
}

}  // namespace chunked_reference

// One row and head. Chunks of `chunk` tokens, an even number.
class WkvChunkedHead {
 public:
  using Matrix = chunked_reference::Matrix;

  WkvChunkedHead(const WkvShape& shape, const WkvInputs<double>& in, int64_t row, int64_t head,
                 int64_t chunk, const Rounding& round)
      : shape_(shape),
        in_(in),
        row_(row),
        head_(head),
        C_(chunk),
        round_(round),
        delta_(!in.a.empty()) {}

  int64_t chunks() const { return (shape_.time + C_ - 1) / C_; }

  // Takes the state [K,V] through the sequence; leaves what Backward needs.
  void Forward(Matrix& state, double* output) {
    states_.clear();
    updates_.clear();
    for (int64_t c = 0; c < chunks(); ++c) {
      const Chunk x = Prepare(c);
      states_.push_back(state.Map(round_));
      const Matrix S = ScaleRows(state, x.mid), rounded = S.Map(round_);
      Matrix o = SeesBefore(x, x.r * rounded) + x.rk * x.v, u(C_, shape_.value_dim);
      if (delta_) {
        u = Solve(x, SeesBefore(x, x.a * rounded) + x.ak * x.v).Map(round_);
        o = o + x.rb * u;
      }
      updates_.push_back(u);
      Write(output, o.Map(round_), c, shape_.value_dim);
      state = (x.any_reset ? Matrix(S.rows, S.columns) : S) + x.k.Transposed() * SeenAfter(x, x.v);
      if (delta_) state = state + x.b.Transposed() * SeenAfter(x, u);
      state = ScaleRows(state, x.tail);
    }
  }

  // `d_state` is the gradient of the final state and becomes that of the initial one.
  void Backward(Matrix& d_state, const WkvOutputGradients<double>& d_out,
                const WkvGradients<double>& d_in) const {
    for (int64_t c = chunks() - 1; c >= 0; --c) {
      const Chunk x = Prepare(c);
      const Matrix d_o = d_out.output.empty() ? Matrix(C_, shape_.value_dim)
                                              : Read(d_out.output, c, shape_.value_dim);
      const Matrix d_h = d_state.Map(round_), E = ScaleRows(d_state, x.tail),
                   rounded = E.Map(round_);
      Matrix d_v = SeenAfter(x, x.k * rounded) + x.rk.Transposed() * d_o, y(C_, shape_.value_dim);
      if (delta_) {
        y = SolveTransposed(x, SeenAfter(x, x.b * rounded) + x.rb.Transposed() * d_o).Map(round_);
        d_v = d_v + x.ak.Transposed() * y;
      }
      Write(d_in.v.data(), d_v.Map(round_), c, shape_.value_dim);
      d_state =
          (x.any_reset ? Matrix(E.rows, E.columns) : E) + x.r.Transposed() * SeesBefore(x, d_o);
      if (delta_) d_state = d_state + x.a.Transposed() * SeesBefore(x, y);
      d_state = ScaleRows(d_state, x.mid);
      ChunkGradients(x, c, d_o, y, d_h, d_in);
    }
  }

 private:
  struct Chunk {
    int64_t length;
    bool any_reset;
    std::vector<int64_t> start;     // the first token that a token sees
    std::vector<bool> sees_before;  // whether it sees the state before the chunk
    std::vector<bool> reset;
    std::vector<double> mid, tail;  // e^m, e^(G_C-m)
    Matrix gate;                    // G - m
    Matrix r, k, a, b, v;           // gated but v
    Matrix rk, rb, ak, ab, inverse;
  };

  int64_t Place(int64_t t, int64_t width) const {
    return ((row_ * shape_.time + t) * shape_.heads + head_) * width;
  }

  Matrix Read(std::span<const double> from, int64_t c, int64_t width) const {
    Matrix result(C_, width);
    for (int64_t i = 0; i < C_ && c * C_ + i < shape_.time; ++i)
      std::copy_n(from.data() + Place(c * C_ + i, width), width, &result(i, 0));
    return result;
  }
  void Write(double* to, const Matrix& x, int64_t c, int64_t width) const {
    for (int64_t i = 0; i < C_ && c * C_ + i < shape_.time; ++i)
      std::copy_n(&x.data[i * width], width, to + Place(c * C_ + i, width));
  }

  static Matrix ScaleRows(const Matrix& x, const std::vector<double>& factors) {
    return x.MapAt([&](int64_t i, int64_t, double e) { return e * factors[i]; });
  }
  static Matrix SeesBefore(const Chunk& x, const Matrix& y) {
    return y.MapAt([&](int64_t i, int64_t, double e) { return x.sees_before[i] ? e : 0; });
  }
  static Matrix SeenAfter(const Chunk& x, const Matrix& y) {
    return y.MapAt([&](int64_t i, int64_t, double e) { return i >= x.start.back() ? e : 0; });
  }
  static Matrix Select(const Chunk& x, const Matrix& scores, bool strict) {
    return scores.MapAt([&](int64_t i, int64_t j, double e) {
      return j > i || (strict && j == i) || j < x.start[i] ? 0 : e;
    });
  }

  Chunk Prepare(int64_t c) const {
    const int64_t K = shape_.key_dim;
    Chunk x;
    x.length = std::min(C_, shape_.time - c * C_);
    x.any_reset = false;
    int64_t start = 0;
    for (int64_t i = 0; i < C_; ++i) {
      const bool reset =
          i < x.length && !in_.reset.empty() && in_.reset[row_ * shape_.time + c * C_ + i] != 0;
      if (reset) start = i;
      x.any_reset |= reset;
      x.reset.push_back(reset);
      x.start.push_back(start);
      x.sees_before.push_back(!x.any_reset);
    }
    Matrix log_w = Read(in_.log_w, c, K);
    x.gate = Matrix(C_, K);
    Matrix before(C_, K);
    x.mid.assign(K, 0);
    x.tail.assign(K, 0);
    for (int64_t k = 0; k < K; ++k) {
      double half = 0, sum = 0;
      for (int64_t i = 0; i < C_; ++i) {
        if (x.reset[i]) log_w(i, k) = 0;
        if (i < C_ / 2) half += log_w(i, k);
      }
      for (int64_t i = 0; i < C_; ++i) {
        before(i, k) = sum - half;
        sum += log_w(i, k);
        x.gate(i, k) = sum - half;
      }
      x.mid[k] = std::exp(half);
      x.tail[k] = std::exp(sum - half);
    }
    const auto gated = [&](std::span<const double> from, const Matrix& exponent, double sign,
                           double scale) {
      return Read(from, c, K).MapAt([&](int64_t i, int64_t k, double e) {
        return round_(e * (scale * std::exp(sign * exponent(i, k))));
      });
    };
    x.r = gated(in_.r, x.gate, 1, in_.scale);
    x.k = gated(in_.k, x.gate, -1, 1);
    x.v = Read(in_.v, c, shape_.value_dim);
    x.rk = Select(x, x.r * x.k.Transposed(), false).Map(round_);
    if (!delta_) return x;
    x.a = gated(in_.a, before, 1, 1);
    x.b = gated(in_.b, x.gate, -1, 1);
    x.rb = Select(x, x.r * x.b.Transposed(), false).Map(round_);
    x.ak = Select(x, x.a * x.k.Transposed(), true).Map(round_);
    const Matrix ab = Select(x, x.a * x.b.Transposed(), true);
    x.ab = ab.Map(round_);
    // Of the diagonal blocks of I - ab.
    x.inverse = Matrix(C_, C_);
    for (int64_t i = 0; i < C_; ++i) {
      for (int64_t j = BlockOf(i); j <= i; ++j) {
        double sum = i == j;
        for (int64_t l = j; l < i; ++l) sum += ab(i, l) * x.inverse(l, j);
        x.inverse(i, j) = sum;
      }
    }
    x.inverse = x.inverse.Map(round_);
    return x;
  }

  static constexpr int64_t kBlock = 16;
  static int64_t BlockOf(int64_t i) { return i / kBlock * kBlock; }

  // (I - ab)^-1 x, block by block.
  Matrix Solve(const Chunk& c, Matrix x) const {
    Matrix u(x.rows, x.columns);
    for (int64_t first = 0; first < C_; first += kBlock) {
      const int64_t end = std::min(first + kBlock, C_);
      for (int64_t v = 0; v < x.columns; ++v) {
        for (int64_t i = first; i < end; ++i) {
          for (int64_t j = 0; j < first; ++j) x(i, v) += c.ab(i, j) * round_(u(j, v));
        }
        for (int64_t i = first; i < end; ++i) {
          for (int64_t j = first; j <= i; ++j) u(i, v) += c.inverse(i, j) * round_(x(j, v));
        }
      }
    }
    return u;
  }
  // (I - ab)^-T x.
  Matrix SolveTransposed(const Chunk& c, Matrix x) const {
    Matrix y(x.rows, x.columns);
    for (int64_t first = BlockOf(C_ - 1); first >= 0; first -= kBlock) {
      const int64_t end = std::min(first + kBlock, C_);
      for (int64_t v = 0; v < x.columns; ++v) {
        for (int64_t i = first; i < end; ++i) {
          for (int64_t j = end; j < C_; ++j) x(i, v) += c.ab(j, i) * round_(y(j, v));
        }
        for (int64_t i = first; i < end; ++i) {
          for (int64_t j = i; j < end; ++j) y(i, v) += c.inverse(j, i) * round_(x(j, v));
        }
      }
    }
    return y;
  }

  // Of everything but v and the state.
  void ChunkGradients(const Chunk& x, int64_t c, const Matrix& d_o, const Matrix& y,
                      const Matrix& d_h, const WkvGradients<double>& d_in) const {
    const Matrix &h = states_[c], &u = updates_[c];
    const auto scores = [&](const Matrix& rows, const Matrix& columns, bool strict) {
      return Select(x, rows * columns.Transposed(), strict).Map(round_);
    };
    const auto from_state = [&](const Matrix& values, const Matrix& state,
                                const std::vector<double>& factors) {
      return (values * state.Transposed()).MapAt([&](int64_t, int64_t k, double e) {
        return e * factors[k];
      });
    };
    const Matrix d_rk = scores(d_o, x.v, false);
    const Matrix own_k = SeenAfter(x, from_state(x.v, d_h, x.tail));
    Matrix R = SeesBefore(x, from_state(d_o, h, x.mid)) + d_rk * x.k,
           K = own_k + d_rk.Transposed() * x.r, A, B, own_b;
    if (delta_) {
      const Matrix d_rb = scores(d_o, u, false), d_ak = scores(y, x.v, true),
                   d_ab = scores(y, u, true);
      own_b = SeenAfter(x, from_state(u, d_h, x.tail));
      R = R + d_rb * x.b;
      A = SeesBefore(x, from_state(y, h, x.mid)) + d_ak * x.k + d_ab * x.b;
      K = K + d_ak.Transposed() * x.a;
      B = own_b + d_rb.Transposed() * x.r + d_ab.Transposed() * x.a;
    }
    Matrix d_r(C_, R.columns), d_k = d_r, d_a = d_r, d_b = d_r, d_log_w = d_r;
    for (int64_t k = 0; k < R.columns; ++k) {
      double sum = 0;
      if (!x.any_reset) {
        for (int64_t v = 0; v < h.columns; ++v) sum += h(k, v) * d_h(k, v);
        sum *= x.mid[k] * x.tail[k];
      }
      for (int64_t i = 0; i < C_; ++i) {
        sum += own_k(i, k) * x.k(i, k);
        if (delta_) sum += own_b(i, k) * x.b(i, k);
      }
      for (int64_t i = C_ - 1; i >= 0; --i) {
        const double gate = std::exp(x.gate(i, k)),
                     before = i == 0 ? 1 / x.mid[k] : std::exp(x.gate(i - 1, k));
        sum += R(i, k) * x.r(i, k) - K(i, k) * x.k(i, k);
        if (delta_) sum -= B(i, k) * x.b(i, k);
        d_log_w(i, k) = x.reset[i] ? 0 : sum;
        if (x.reset[i]) sum = 0;
        d_r(i, k) = round_(in_.scale * gate * R(i, k));
        d_k(i, k) = round_(K(i, k) / gate);
        if (!delta_) continue;
        sum += A(i, k) * x.a(i, k);  // for the decays before
        d_a(i, k) = round_(before * A(i, k));
        d_b(i, k) = round_(B(i, k) / gate);
      }
    }
    Write(d_in.r.data(), d_r, c, R.columns);
    Write(d_in.k.data(), d_k, c, R.columns);
    Write(d_in.log_w.data(), d_log_w, c, R.columns);
    if (!delta_) return;
    Write(d_in.a.data(), d_a, c, R.columns);
    Write(d_in.b.data(), d_b, c, R.columns);
  }

  const WkvShape& shape_;
  const WkvInputs<double>& in_;
  int64_t row_, head_, C_;
  const Rounding& round_;
  bool delta_;
  std::vector<Matrix> states_, updates_;
};

// Forward and backward over all rows and heads.
inline void WkvChunkedReference(const WkvShape& shape, const WkvInputs<double>& in, int64_t chunk,
                                const Rounding& round, const WkvOutputs<double>& out,
                                const WkvOutputGradients<double>& d_out,
                                const WkvGradients<double>& d_in) {
  using Matrix = chunked_reference::Matrix;
  const int64_t size = shape.key_dim * shape.value_dim;
  for (int64_t i = 0; i < shape.batch * shape.heads; ++i) {
    WkvChunkedHead head(shape, in, i / shape.heads, i % shape.heads, chunk, round);
    Matrix state(shape.key_dim, shape.value_dim), d_state = state;
    if (!in.initial_state.empty())
      std::copy_n(in.initial_state.data() + i * size, size, state.data.data());
    if (!d_out.final_state.empty())
      std::copy_n(d_out.final_state.data() + i * size, size, d_state.data.data());
    head.Forward(state, out.output.data());
    head.Backward(d_state, d_out, d_in);
    std::copy_n(state.data.data(), size, out.final_state.data() + i * size);
    if (!d_in.initial_state.empty())
      std::copy_n(d_state.data.data(), size, d_in.initial_state.data() + i * size);
  }
}

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_CHUNKED_REFERENCE_H_
