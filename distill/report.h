// report.html of a run: what was distilled, how the loss fell, what the student keeps of its teacher. One file with
// inline styles and drawings; it needs no network, reads on a phone, follows the reader's light or dark setting.
#ifndef RADLADS_DISTILL_REPORT_H_
#define RADLADS_DISTILL_REPORT_H_

#include <string>

#include "absl/status/status.h"

namespace radlads {

// Writes <run_directory>/report.html from what is there; called again, it replaces the report by one of the newer data.
// A run of one stage has metrics.jsonl and config.yaml in `run_directory`; a pipeline has them in a subdirectory per
// stage (in the order of `pipeline:` in <run_directory>/config.yaml, else of their first lines).
// NOT_FOUND when there is no metrics.jsonl at all. Optional, in `run_directory`:
//   samples.json     [{"prompt": text, "teacher": text, "student": text}, ...]: answers set beside each other
//   perplexity.json  {"data": name, "ctx": n, "models": [{"name", "tokens", "nll", "perplexity", "ratio",
//                     "tokens_per_second"}, ...]}, as //eval:run perplexity --json writes it
//   final/           config.json and *.safetensors of the student, for its size; the teacher's are looked for at
//                    train.teacher.path (or train.load_model in stage 1)
// These are left out of the report where absent; where malformed, the error names the file.
absl::Status WriteReport(const std::string& run_directory);

}  // namespace radlads

#endif  // RADLADS_DISTILL_REPORT_H_
