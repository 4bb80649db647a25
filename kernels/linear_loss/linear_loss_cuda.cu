#include "kernels/cuda/rows.cuh"
#include "kernels/linear_loss/linear_loss_cuda.h"

namespace radlads::cuda {
namespace {

constexpr int kMaxThreads = 512;
// Below every number, so that its distance from one is never NaN.
constexpr float kLowest = -3.4028234e38f;

struct Parameters {
  LogitChunk in;
  double *kl, *ce;
};

// Of the numbers that it was given: the largest, and the sum of e^(x - max).
struct Softmax {
  float max = kLowest, sum = 0;

  template <int kPack>
  __device__ void Add(const Pack<kPack>& x) {
    float top = max;
    for (int e = 0; e < kPack; ++e) top = Max(top, x[e]);
    sum *= Exp2(kLog2E * (max - top));
    for (int e = 0; e < kPack; ++e) sum += Exp2(kLog2E * (x[e] - top));
    max = top;
  }
  // Over all threads of the block.
  __device__ void Join(float* place) {
    const float top = MaxOverTeam(max, BlockThreads(), place);
    sum = SumOverTeam(sum * Exp2(kLog2E * (max - top)), BlockThreads(), place);
    max = top;
  }
};

// A row's softmax and, where there is a label, what is left for the others: precise where the label is nearly certain.
struct Row {
  float max, sum, at_label = 0, others = 0;

  // From that of all but the label's logit.
  __device__ Row(const Softmax& rest, bool labelled, float logit) : max(rest.max), sum(rest.sum) {
    if (!labelled) return;
    max = Max(rest.max, logit);
    others = rest.sum * Exp2(kLog2E * (rest.max - max));
    at_label = Exp2(kLog2E * (logit - max));
    sum = others + at_label;
  }

  // log sum. Beside a label that is nearly certain, what is left for the others is lost in the sum itself.
  __device__ float LogSum() const { return at_label == 1 ? Log1p(others) : Log(sum); }
};

// The logits at i of a row, without the label's.
template <int kPack, typename T>
__device__ Pack<kPack> Unlabelled(const T* row, int i, int64_t label) {
  Pack<kPack> x = Load<kPack>(row + i);
  for (int e = 0; e < kPack; ++e) {
    if (i + e == label) x[e] = -INFINITY;
  }
  return x;
}

template <int kPack, typename S, typename T, bool kTeacher>
__global__ void __launch_bounds__(kMaxThreads) LossRowsKernel(Parameters p) {
  float* const place = reinterpret_cast<float*>(SharedMemory());
  const LogitChunk& in = p.in;
  const int vocabulary = in.vocabulary, begin = ThreadIndex() * kPack, step = BlockThreads() * kPack;
  const int64_t row = BlockX(), label = in.labels == nullptr ? -1 : in.labels[row];
  const bool labelled = label >= 0;
  S* const student = static_cast<S*>(in.student) + row * vocabulary;
  const T* const teacher = kTeacher ? static_cast<const T*>(in.teacher) + row * vocabulary : nullptr;
  const float s_label = labelled ? ToFloat(student[label]) : 0,
              t_label = kTeacher && labelled ? ToFloat(teacher[label]) : 0;

  Softmax s_rest, t_rest;
  for (int i = begin; i < vocabulary; i += step) {
    s_rest.Add(Unlabelled<kPack>(student, i, label));
    if constexpr (kTeacher) t_rest.Add(Unlabelled<kPack>(teacher, i, label));
  }
  s_rest.Join(place);
  const Row s(s_rest, labelled, s_label);
  if (p.ce != nullptr && ThreadIndex() == 0) {
    // The first of these where the label has the largest logit.
    p.ce[row] = !labelled ? 0 : s.max == s_label ? Log1p(s.others) : Log(s.sum) - (s_label - s.max);
  }
  if (!kTeacher && !in.differentiate) return;
  SyncThreads();  // every thread has read the label's logit, which is written from here on

  const float s_inverse = 1 / s.sum, ce_scale = labelled ? static_cast<float>(in.ce_scale) : 0;
  float label_gradient = -s.others * s_inverse * ce_scale;
  if constexpr (!kTeacher) {
    const float factor = s_inverse * ce_scale;
    for (int i = begin; i < vocabulary; i += step) {
      Pack<kPack> x = Load<kPack>(student + i);
      for (int e = 0; e < kPack; ++e) {
        x[e] = Exp2(kLog2E * (x[e] - s.max)) * factor;
        if (i + e == label) x[e] = label_gradient;
      }
      Store(student + i, x);
    }
  } else {
    t_rest.Join(place);
    const Row t(t_rest, labelled, t_label);
    const float t_inverse = 1 / t.sum, kl_scale = static_cast<float>(in.kl_scale);
    // log p_t - log p_s = ((t - max t) - (s - max s)) - (log sum t - log sum s): differences of what is near, so that
    // large logits cost no accuracy and equal rows give exactly 0.
    const float log_ratio = t.LogSum() - s.LogSum();
    // p_s - p_t of the label, by what is left for the others.
    label_gradient += (t.others * t_inverse - s.others * s_inverse) * kl_scale;
    float kl = 0;
    for (int i = begin; i < vocabulary; i += step) {
      Pack<kPack> x = Load<kPack>(student + i);
      const Pack<kPack> y = Load<kPack>(teacher + i);
      for (int e = 0; e < kPack; ++e) {
        const float s_shifted = x[e] - s.max, t_shifted = y[e] - t.max;
        const float p_t = Exp2(kLog2E * t_shifted) * t_inverse, p_s = Exp2(kLog2E * s_shifted) * s_inverse;
        kl += p_t * (t_shifted - s_shifted - log_ratio);
        x[e] = (p_s - p_t) * kl_scale + p_s * ce_scale;
        if (i + e == label) x[e] = label_gradient;
      }
      if (in.differentiate) Store(student + i, x);
    }
    kl = SumOverTeam(kl, BlockThreads(), place);
    if (p.kl != nullptr && ThreadIndex() == 0) p.kl[row] = kl;
  }
}

}  // namespace

Error LossRows(const LogitChunk& in, double* kl, double* ce, Stream stream) {
  const int pack = PackSize(in.vocabulary, {in.student, in.teacher});
  const int64_t packs = in.vocabulary / pack;
  const int threads = static_cast<int>(std::clamp<int64_t>((packs + 31) / 32 * 32, 32, kMaxThreads));
  const auto launch = [&](void (*kernel)(Parameters)) {
    return Launch(kernel, in.rows, 1, threads, kTeamSumFloats * sizeof(float), stream, Parameters{in, kl, ce});
  };
  return WithElement(in.student_bf16, [&](auto student) {
    using S = decltype(student);
    return WithPack(pack, [&](auto size) {
      if (in.teacher == nullptr) return launch(LossRowsKernel<size(), S, S, false>);
      return WithElement(in.teacher_bf16,
                         [&](auto teacher) { return launch(LossRowsKernel<size(), S, decltype(teacher), true>); });
    });
  });
}

}  // namespace radlads::cuda
