// README.md of an exported model: the model card of Hugging Face.
#ifndef RADLADS_TOOLS_MODEL_CARD_H_
#define RADLADS_TOOLS_MODEL_CARD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/checkpoint.h"

namespace radlads {

struct ModelCardSources {
  std::string title;       // of the model
  std::string base_model;  // the teacher, as its Hugging Face repository is called; empty: what the run says
  std::string run;         // directory of the run; empty, or one that is none: nothing is said about training
  // Directories that //eval:run tasks wrote: the teacher's and the student's, for the table of what is kept. Both or
  // neither.
  std::string teacher_results, results;
};

// Errors as the report's and CompareResults'.
absl::StatusOr<std::string> ModelCard(const Checkpoint& checkpoint, const std::string& dtype, const ModelCardSources& sources);

}  // namespace radlads

#endif  // RADLADS_TOOLS_MODEL_CARD_H_
