#include "data/batches.h"

#include <algorithm>

#include "base/status.h"

namespace radlads {

absl::StatusOr<std::shared_ptr<const Batches>> Batches::Create(std::vector<std::shared_ptr<const SampleSource>> sources,
                                                               const std::vector<double>& weights, uint64_t seed,
                                                               int64_t vocabulary_size) {
  RADLADS_CHECK(!sources.empty() && sources.size() == weights.size() && vocabulary_size >= 1)
      << sources.size() << " sources, " << weights.size() << " weights, vocabulary " << vocabulary_size;
  for (const auto& source : sources) {
    RADLADS_CHECK(source->ctx() == sources.front()->ctx()) << source->ctx() << " and " << sources.front()->ctx();
  }
  RADLADS_ASSIGN_OR_RETURN(Mixture mixture, Mixture::Create(weights, seed));
  return std::shared_ptr<const Batches>(new Batches(std::move(sources), std::move(mixture), vocabulary_size));
}

Batches::Batches(std::vector<std::shared_ptr<const SampleSource>> sources, Mixture mixture, int64_t vocabulary_size)
    : sources_(std::move(sources)), mixture_(std::move(mixture)), vocabulary_size_(vocabulary_size) {
  // The most samples that repeat nothing.
  const auto repeats_nothing = [&](int64_t samples) {
    const std::vector<int64_t> counts = mixture_.Counts(samples);
    for (size_t d = 0; d < counts.size(); ++d) {
      if (counts[d] > sources_[d]->sampler().samples_per_pass()) return false;
    }
    return true;
  };
  int64_t most = 0, too_many = 1;
  while (repeats_nothing(too_many)) most = too_many, too_many *= 2;
  while (too_many - most > 1) {
    const int64_t middle = most + (too_many - most) / 2;
    (repeats_nothing(middle) ? most : too_many) = middle;
  }
  samples_per_pass_ = most;
}

absl::Status Batches::ReadTokens(int64_t first_sample, int64_t stride, int64_t rows, std::span<int32_t> out) const {
  const int64_t length = ctx() + 1;
  RADLADS_CHECK(static_cast<int64_t>(out.size()) == rows * length) << out.size() << " tokens for " << rows << " rows";
  thread_local std::vector<std::vector<SampleRow>> wanted;  // by source; keeps its storage
  wanted.resize(std::max(wanted.size(), sources_.size()));
  for (auto& list : wanted) list.clear();
  for (int64_t row = 0; row < rows; ++row) {
    const Mixture::Place place = mixture_.Of(first_sample + row * stride);
    wanted[place.dataset].push_back({place.sample, out.data() + row * length});
  }
  for (size_t d = 0; d < sources_.size(); ++d) {
    if (!wanted[d].empty()) RADLADS_RETURN_IF_ERROR(sources_[d]->Read(wanted[d]));
  }
  for (int64_t row = 0; row < rows; ++row) {
    RADLADS_RETURN_IF_ERROR(CheckVocabulary(first_sample + row * stride, out.subspan(row * length, length)));
  }
  return absl::OkStatus();
}

absl::Status Batches::CheckVocabulary(int64_t sample, std::span<const int32_t> tokens) const {
  uint32_t largest = 0;  // negative ids are the largest of all
  for (const int32_t id : tokens) largest = std::max(largest, static_cast<uint32_t>(id));
  if (largest < static_cast<uint64_t>(vocabulary_size_)) return absl::OkStatus();
  const Mixture::Place place = mixture_.Of(sample);
  const SampleSource& source = *sources_[place.dataset];
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] >= 0 && tokens[t] < vocabulary_size_) continue;
    return InvalidArgument(source.description().name, ": token ",
                           source.sampler().Position(place.sample) + static_cast<int64_t>(t), " (in sample ", sample,
                           ") is ", tokens[t], ", outside of the model's vocabulary of ", vocabulary_size_,
                           " ids; the data was made with another tokenizer. `make_binidx check` lists all such tokens");
  }
  return absl::OkStatus();
}

absl::Status Batches::Read(int64_t first_sample, int64_t stride, int64_t rows, Batch* batch) const {
  const int64_t ctx = this->ctx();
  batch->rows = rows;
  batch->ctx = ctx;
  batch->first_sample = first_sample;
  batch->stride = stride;
  batch->tokens.resize(rows * (ctx + 1));
  batch->inputs.resize(rows * ctx);
  batch->labels.resize(rows * ctx);
  RADLADS_RETURN_IF_ERROR(ReadTokens(first_sample, stride, rows, batch->tokens));
  for (int64_t row = 0; row < rows; ++row) {
    const int32_t* tokens = batch->tokens.data() + row * (ctx + 1);
    std::copy(tokens, tokens + ctx, batch->inputs.begin() + row * ctx);
    std::copy(tokens + 1, tokens + ctx + 1, batch->labels.begin() + row * ctx);
  }
  return absl::OkStatus();
}

std::string Batches::Where(int64_t sample) const {
  const Mixture::Place place = mixture_.Of(sample);
  const SampleSource& source = *sources_[place.dataset];
  return Concatenate(source.description().name, ", token ", source.sampler().Position(place.sample));
}

std::vector<DatasetPlan> Batches::Plan(int64_t samples) const {
  const std::vector<int64_t> counts = mixture_.Counts(samples);
  std::vector<DatasetPlan> plan;
  for (size_t d = 0; d < sources_.size(); ++d) {
    const int64_t per_pass = sources_[d]->sampler().samples_per_pass();
    plan.push_back({sources_[d]->description(), static_cast<double>(mixture_.shares()[d]) / mixture_.period(),
                    counts[d], per_pass, static_cast<double>(counts[d]) / per_pass});
  }
  return plan;
}

}  // namespace radlads
