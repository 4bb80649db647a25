// What the tests of training share: a directory with a small teacher and a small dataset, and runs within it.
#ifndef RADLADS_DISTILL_TEST_RUN_H_
#define RADLADS_DISTILL_TEST_RUN_H_

#include <functional>
#include <memory>
#include <string>

#include "configs/config.pb.h"
#include "distill/run.h"
#include "distill/stage.h"
#include "distill/trainer.h"

namespace radlads {

class TestRun {
 public:
  // Empties <temporary directory>/<name>; writes teacher/ (llama of model/testing.h, 97 words) and the dataset data
  // (6000 tokens with a pattern to learn) into it.
  explicit TestRun(const std::string& name);

  std::string path(const std::string& name) const;

  // A run called `name` of a RAD-RWKV7 student: 2 samples of 16 tokens a step, fp32, no validation data.
  Config StageConfig(const std::string& name, int stage) const;

  // Everything that a run is made of.
  struct Session {
    Models models;
    std::unique_ptr<Stage> stage;
    std::unique_ptr<Trainer> trainer;
  };
  using Callback = std::function<Metrics(Session&)>;
  // As distill/run.cc puts it together; `validate` stands in for scoring.
  absl::StatusOr<std::unique_ptr<Session>> TryStart(const Config& config, Callback validate = {}) const;
  std::unique_ptr<Session> Start(const Config& config, Callback validate = {}) const;

 private:
  std::string directory_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_TEST_RUN_H_
