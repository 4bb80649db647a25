#include "eval/needle_verb.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/logging.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "eval/needle/needle.h"
#include "eval/page.h"
#include "eval/scorer.h"
#include "model/layer_plan.h"

namespace radlads {
namespace {

// Tokens that a model can read at once; 0: any number, for it has no softmax attention, or does not say.
absl::StatusOr<int64_t> ContextOf(const ModelConfig& config) {
  RADLADS_ASSIGN_OR_RETURN(const std::vector<LayerPlan> plan, PlanLayers(config));
  const bool softmax =
      std::any_of(plan.begin(), plan.end(), [](const LayerPlan& layer) { return IsSoftmax(layer.time_mixer); });
  return softmax ? config.max_position_embeddings() : 0;
}

}  // namespace

void AddNeedleVerb(CLI::App& app, NeedleFlags& flags, const std::function<void()>& run) {
  CLI::App* verb = app.add_subcommand(
      "needle", "Hides a number in long texts and asks for it: retrieval by length of the text and depth in it.");
  AddModelFlags(*verb, flags.model);
  verb->add_option("--lengths", flags.options.lengths, "Tokens of the prompts.")
      ->delimiter(',')
      ->check(InRange(1, 1 << 24))
      ->capture_default_str();
  verb->add_option("--depths", flags.options.depths, "Where the number lies: 0 before the haystack, 1 after it.")
      ->delimiter(',')
      ->capture_default_str();
  verb->add_option("--samples", flags.options.samples, "Prompts for each length and depth.")
      ->check(AtLeast(1))
      ->capture_default_str();
  verb->add_option("--choices", flags.options.choices, "Numbers of which the hidden one is to be the likeliest.")
      ->capture_default_str();
  verb->add_option("--seed", flags.seed, "By which numbers, keys and places in the haystack are drawn.")
      ->check(AtLeast(0))
      ->capture_default_str();
  verb->add_option("--haystack", flags.haystack,
                   "Text to hide it in: jsonl or txt, plain, gz, xz or zst. Where it is too short, it is repeated.")
      ->capture_default_str();
  verb->add_option(
          "--output", flags.output,
          "Directory for results.json, report.html, samples_needle.jsonl and requests.jsonl; a run that was stopped "
          "goes on with the answers in the last.")
      ->required();
  verb->add_option("--max_length", flags.max_length,
                   "Longest prompt to allow; default: the context that the model names, without softmax attention any.")
      ->check(AtLeast(1));
  verb->callback(run);
}

absl::Status RunNeedleVerb(const NeedleFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const OpenedModel opened, OpenModel(flags.model));
  NeedleOptions options = flags.options;
  options.seed = flags.seed;
  options.context = flags.max_length;
  if (options.context == 0) {
    RADLADS_ASSIGN_OR_RETURN(options.context, ContextOf(opened.model->config()));
  }
  RADLADS_ASSIGN_OR_RETURN(const Haystack haystack, Haystack::Read(flags.haystack, *opened.tokenizer));
  const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
  if (longest > haystack.size()) {
    Log().warn("{} has {} tokens: longer prompts repeat it", flags.haystack, haystack.size());
  }
  const std::stop_source full;
  RADLADS_ASSIGN_OR_RETURN(const auto scorer, MakeScorer(*opened.model, *opened.tokenizer,
                                                         {.batch_tokens = flags.model.batch_tokens,
                                                          .max_length = longest + kNeedleAnswerTokens,
                                                          .stop = full.get_token()}));
  RADLADS_RETURN_IF_ERROR(MakeDirectories(flags.output));
  RADLADS_ASSIGN_OR_RETURN(const auto journal,
                           ResponseJournal::Open(JoinPath(flags.output, "requests.jsonl"), opened.identity, full));
  const nlohmann::ordered_json settings = {
      {"dtype", opened.dtype},      {"haystack", flags.haystack}, {"haystack_tokens", haystack.size()},
      {"lengths", options.lengths}, {"depths", options.depths},   {"samples", options.samples},
      {"choices", options.choices}, {"seed", options.seed}};
  RADLADS_ASSIGN_OR_RETURN(
      const NeedleResult result,
      RunNeedle(options, haystack, *opened.tokenizer, *scorer, *journal, [&](const NeedleResult& so_far) {
        return WriteNeedleResults(so_far, flags.output, flags.model.model, settings);
      }));
  std::fputs(result.Table().c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace radlads
