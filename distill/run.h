// From a configuration to trained models on disk: what //distill:train does, without the command line.
#ifndef RADLADS_DISTILL_RUN_H_
#define RADLADS_DISTILL_RUN_H_

#include <ATen/core/ScalarType.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/config.pb.h"
#include "model/transformer.h"

namespace radlads {

// Runs `config`, or each stage of its pipeline in order, and writes the reports. Runs that are finished already are
// skipped; FAILED_PRECONDITION when one was finished by another configuration. Errors as Trainer::Run and those of
// reading configurations, models and data; the message begins with the stage.
absl::Status Train(const Config& config);

struct Models {
  std::shared_ptr<Transformer> student;  // fp32 master weights, computes in the run's dtype
  std::shared_ptr<Transformer> teacher;  // frozen, held in the compute dtype; null if there is none
  std::string student_from;              // one line: where the student's weights come from
  std::string tokenizer_from;            // directory with tokenizer files, or ''
};
// The models of one run. In stage 1, train.load_model is the teacher and the student is born of it; if it is a student,
// it goes on and train.teacher.path is the teacher. Otherwise load_model is the student (one is born of it if it is a
// softmax model and model.tmix is not), and 'auto' or '' is a random one, in stage -1 only. From a run, the newest fp32
// checkpoint is taken.
absl::StatusOr<Models> LoadModels(const Config& config, at::ScalarType compute);

}  // namespace radlads

#endif  // RADLADS_DISTILL_RUN_H_
