// The two kinds of sublayer of a block, and what the layers of one forward pass share.
//
// A new time mixer is one file pair in time_mixers/, one line in registry.cc, its knobs in config.proto, and a
// golden. Parameter names are the Hugging Face names, so that import is a copy.
//
// Dtypes: x comes in the compute dtype (float, bfloat16; double in tests) and the result leaves in it. Parameters
// may be of a wider dtype (fp32 master weights); they are converted where they are used. State and softmax are
// fp32 (double for double).
#ifndef RADLADS_MODEL_MIXER_H_
#define RADLADS_MODEL_MIXER_H_

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>

#include "model/inference.h"
#include "model/state.h"

namespace radlads {

// Lives for one forward pass over a piece [B,T] of the sequences. Layers run in order.
struct MixContext {
  // Rotary tables of the piece's positions, [T,D] when all rows stand at the same position, else [B,T,D]; fp32.
  Tensor cos, sin;
  // [B,T] bool: state and attention are cut before this token. Undefined: nowhere.
  Tensor reset;
  // [B,T] int64: number of the document of each token, counted from the start of the row's sequence. Defined with `reset`.
  Tensor document;
  // [B] int64, of rows of different lengths (ModelState::tokens): their tokens at the end of the piece.
  Tensor lengths;
  // This pass will run again with gradients recorded (activation checkpointing), and must give the same then.
  bool runs_again = false;
  // RAD-RWKV7: the value of layer 0 [B,T,H*D], written by that layer and read by those after it.
  Tensor v_first;
};

class SoftmaxAttention;

class TimeMixer : public torch::nn::Module {
 public:
  // x [B,T,C] (normed) -> [B,T,C]. With `state`, continues from it and leaves the state after the last token in it;
  // with nullptr, starts from nothing and keeps nothing (training).
  virtual Tensor Forward(const Tensor& x, MixContext& context, LayerState* state) = 0;

  // Draws the parameters of a newborn student of `teacher`: what both have is copied bit for bit, the rest is
  // initialised as the architecture prescribes, deterministically from torch's default generator.
  // `teacher` may be null (pretraining). No gradient is recorded.
  virtual void InitializeFrom(const SoftmaxAttention* teacher) = 0;

  // The parameters that are not a Linear's are laid out for reading (SetProjectionForInference); they do not learn any
  // more.
  virtual void SetForInference() {}

  // Inference (inference.h), after SetForInference. Makes the tensors of `state` what a pass over `time` more tokens of
  // `batch` rows overwrites; `dtype` is that of activations. An empty state is that before the first token. `time` is 0 where there
  // is room.
  virtual void MakeRoom(int64_t batch, int64_t time, at::ScalarType dtype, LayerState* state) const = 0;
  // Forward, on every thread of a team: x [rows,C] activations, whose mixed ones are added to residual [rows,C].
  virtual void Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const = 0;
};

class ChannelMixer : public torch::nn::Module {
 public:
  // x [B,T,C] (normed) -> [B,T,C].
  virtual Tensor Forward(const Tensor& x) = 0;
  // As of a time mixer.
  virtual void Infer(const InferencePass& pass, const void* x, float* residual) const = 0;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_MIXER_H_
