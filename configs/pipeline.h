// What a training configuration means beyond its schema: is it sound, which runs does it stand for, where do they live.
#ifndef RADLADS_CONFIGS_PIPELINE_H_
#define RADLADS_CONFIGS_PIPELINE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/config.pb.h"

namespace radlads {

// Checks what the schema cannot say (names of schedules, ranges, knobs that need each other), for the configuration
// itself or, when it has a pipeline, for each of its stages. All problems in one INVALID_ARGUMENT, one per line.
// Knobs that are unset because the teacher decides them (sizes, rope, ...) pass. Mixers are checked by the model.
absl::Status Validate(const Config& config);

// The runs of `config`, without `pipeline`, in order: one for each entry, or `config` itself when there is none.
// A stage is `model` and `train` merged with the entry's, and lives in RunDirectory(config)/<name>; its load_model is
// the entry's own, else the directory of the stage before it (for the first: that of `train`). In stage 1
// an unset load_model becomes train.teacher.path. INVALID_ARGUMENT for names that are missing, repeated
// or no file names, and for entries that set proj_*.
absl::StatusOr<std::vector<Config>> ExpandPipeline(const Config& config);

// proj_dir/proj_name[-proj_suffix0][-proj_suffix], as the reference names runs; an empty proj_name is
// [L<n_layer>-D<n_embd>-]<tmix>[_<tmix2>]. Sizes that are not set are left out of the name, so call it with the
// configuration as it was given, before the teacher's sizes are filled in.
std::string RunDirectory(const TrainConfig& train, const ModelConfig& model);

}  // namespace radlads

#endif  // RADLADS_CONFIGS_PIPELINE_H_
