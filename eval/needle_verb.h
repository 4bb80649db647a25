// //eval:run needle: needle in a haystack with a model, in process.
#ifndef RADLADS_EVAL_NEEDLE_VERB_H_
#define RADLADS_EVAL_NEEDLE_VERB_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "eval/needle/prompts.h"
#include "eval/opened_model.h"

namespace radlads {

struct NeedleFlags {
  ModelFlags model;
  NeedleOptions options;
  std::string haystack = "samples/held_out.jsonl.xz", output;
  int64_t max_length = 0, seed = 1234;
};

// Adds the verb; `run` is called with the flags when it is chosen.
void AddNeedleVerb(CLI::App& app, NeedleFlags& flags, const std::function<void()>& run);

// Prints the tables on standard output; writes results.json, report.html, samples_needle.jsonl and requests.jsonl (the
// journal) in flags.output.
absl::Status RunNeedleVerb(const NeedleFlags& flags);

}  // namespace radlads

#endif  // RADLADS_EVAL_NEEDLE_VERB_H_
