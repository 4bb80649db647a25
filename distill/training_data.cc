#include "distill/training_data.h"

#include <vector>

#include "base/logging.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/open_samples.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {
namespace {

// What data must agree with.
struct ModelIds {
  int64_t vocabulary = 0;
  std::string tokenizer, tokenizer_hash;  // '' when they are not known
};

absl::StatusOr<ModelIds> IdsOf(int64_t vocabulary, const std::string& tokenizer_from) {
  ModelIds ids{vocabulary, tokenizer_from, ""};
  if (tokenizer_from.empty()) return ids;
  const auto tokenizer = Tokenizer::Load(tokenizer_from);
  if (tokenizer.ok()) {
    ids.tokenizer_hash = (*tokenizer)->Hash();
  } else if (absl::IsUnimplemented(tokenizer.status())) {
    Log().warn("data: not compared with the model's tokenizer, only with its number of ids: {}",
               std::string(tokenizer.status().message()));
  } else {
    return tokenizer.status();
  }
  return ids;
}

absl::Status CheckIds(const DatasetDescription& dataset, const ModelIds& ids) {
  const std::string made_with = Concatenate("the tokenizer ", dataset.tokenizer, " (hash ", dataset.tokenizer_hash,
                                            ", ", dataset.vocabulary_size, " ids)");
  const std::string the_models =
      ids.tokenizer.empty() ? Concatenate("a model of ", ids.vocabulary, " ids whose tokenizer is not known")
                            : Concatenate("the model's tokenizer ", ids.tokenizer, " (",
                                          ids.tokenizer_hash.empty() ? "" : "hash " + ids.tokenizer_hash + ", ",
                                          ids.vocabulary, " ids in the model)");
  const bool other_tokenizer =
      !dataset.tokenizer_hash.empty() && !ids.tokenizer_hash.empty() && dataset.tokenizer_hash != ids.tokenizer_hash;
  if (!other_tokenizer && dataset.vocabulary_size <= ids.vocabulary) return absl::OkStatus();
  // The model's own tokenizer, which has added tokens that the embedding has no rows for. They are rare, and ids are
  // compared with the rows as they are read.
  if (!other_tokenizer && !dataset.tokenizer_hash.empty() && !ids.tokenizer_hash.empty()) {
    Log().warn("data: {} was made with {}; the embedding has {} rows, and a sample with a larger id will end the run",
               dataset.name, made_with, ids.vocabulary);
    return absl::OkStatus();
  }
  return FailedPrecondition(dataset.name, " was made with ", made_with, ", which does not fit ", the_models,
                            "; make the data again with make_binidx build --tokenizer ",
                            ids.tokenizer.empty() ? "DIR" : ids.tokenizer);
}

absl::Status CheckDocumentEnds(const DatasetDescription& dataset, const ModelConfig& model) {
  if (dataset.tokenizer_hash.empty()) return absl::OkStatus();  // it does not say
  if (!dataset.eos_id) {
    return InvalidArgument("documents of ", dataset.name,
                           " are not marked, so train.reset_at_document cannot see where they end; build the data "
                           "without --no_eos");
  }
  if (model.eos_token_id() != *dataset.eos_id) {
    return InvalidArgument("documents of ", dataset.name, " end with token ", *dataset.eos_id,
                           ", but train.reset_at_document cuts at model.eos_token_id ", model.eos_token_id());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const SampleSource>> OpenAndCheck(const std::string& knob, const std::string& data_file,
                                                                 const SampleOptions& options, const TrainConfig& train,
                                                                 const ModelConfig& model, const ModelIds& ids) {
  auto source = OpenSamples(data_file, options, train.data_key_file());
  if (!source.ok()) return Annotate(source.status(), knob);
  absl::Status status = CheckIds((*source)->description(), ids);
  if (status.ok() && train.reset_at_document()) status = CheckDocumentEnds((*source)->description(), model);
  if (!status.ok()) return Annotate(status, knob);
  return source;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Batches>> OpenTrainingData(const Config& config, const ModelConfig& model,
                                                                const std::string& tokenizer_from) {
  const TrainConfig& train = config.train();
  RADLADS_ASSIGN_OR_RETURN(const ModelIds ids, IdsOf(model.vocab_size(), tokenizer_from));
  const SampleOptions options = {
      .ctx = config.model().ctx_len(), .order = SampleOrder::kMagicPrime, .magic_prime = train.magic_prime()};
  std::vector<std::shared_ptr<const SampleSource>> sources;
  std::vector<double> weights;
  if (train.data_mixture().empty()) {
    RADLADS_ASSIGN_OR_RETURN(auto source,
                             OpenAndCheck("train.data_file", train.data_file(), options, train, model, ids));
    sources.push_back(std::move(source));
    weights.push_back(1);
  }
  for (const DataMixtureEntry& entry : train.data_mixture()) {
    RADLADS_ASSIGN_OR_RETURN(auto source,
                             OpenAndCheck("train.data_mixture", entry.data_file(), options, train, model, ids));
    sources.push_back(std::move(source));
    weights.push_back(entry.weight());
  }
  auto batches = Batches::Create(std::move(sources), weights, train.seed_everything(), model.vocab_size());
  if (!batches.ok()) return Annotate(batches.status(), "train.data_mixture");
  return batches;
}

absl::StatusOr<std::shared_ptr<const SampleSource>> OpenValidationData(const Config& config, const ModelConfig& model,
                                                                       const std::string& tokenizer_from) {
  RADLADS_ASSIGN_OR_RETURN(const ModelIds ids, IdsOf(model.vocab_size(), tokenizer_from));
  return OpenAndCheck("train.validation_data_file", config.train().validation_data_file(),
                      {.ctx = config.model().ctx_len(), .order = SampleOrder::kInOrder}, config.train(), model, ids);
}

void LogPlan(const Batches& batches, int64_t samples) {
  const std::vector<DatasetPlan> plan = batches.Plan(samples);
  for (const DatasetPlan& part : plan) {
    Log().info(
        "data: {}, {} tokens in {} documents, tokenizer {}; the run takes {}{} samples of {} ({} tokens), {:.3f} "
        "epochs of its magic prime {}",
        part.description.name, HumanCount(part.description.tokens), HumanCount(part.description.documents),
        part.description.tokenizer_hash.empty() ? "not known" : part.description.tokenizer,
        plan.size() > 1 ? Concatenate(100 * part.share, "%, ") : "", part.samples, batches.ctx(),
        HumanCount(static_cast<double>(part.samples) * batches.ctx()), part.passes, part.per_pass);
  }
}

}  // namespace radlads
