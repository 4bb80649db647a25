#include "data/token_sequence.h"

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "data/dataset_info.h"

namespace radlads {

void TokenSequence::Append(std::shared_ptr<const TokenDataset> shard) {
  begins_.push_back(begins_.back() + shard->tokens());
  description_.tokens += shard->tokens();
  description_.documents += shard->documents();
  shards_.push_back(std::move(shard));
}

absl::StatusOr<std::shared_ptr<const TokenSequence>> TokenSequence::OpenPair(const std::string& prefix) {
  std::shared_ptr<TokenSequence> sequence(new TokenSequence);
  sequence->description_.name = prefix;
  RADLADS_ASSIGN_OR_RETURN(auto pair, TokenDataset::Open(prefix));
  sequence->Append(std::move(pair));
  RADLADS_ASSIGN_OR_RETURN(const std::optional<DatasetInfo> info, ReadDatasetInfo(prefix));
  if (info) {
    sequence->description_.tokenizer = info->tokenizer;
    sequence->description_.tokenizer_hash = info->tokenizer_hash;
    sequence->description_.vocabulary_size = info->vocabulary_size;
    sequence->description_.eos_id = info->eos_id;
  }
  return std::shared_ptr<const TokenSequence>(std::move(sequence));
}

absl::StatusOr<std::shared_ptr<const TokenSequence>> TokenSequence::OpenCataloged(const Catalog& catalog,
                                                                                  const std::string& name) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, catalog.Find(name));
  RADLADS_RETURN_IF_ERROR(catalog.CheckUnchanged(*dataset));
  std::shared_ptr<TokenSequence> sequence(new TokenSequence);
  DatasetDescription& description = sequence->description_;
  description.name = JoinPath(catalog.directory(), name);
  description.tokenizer = dataset->record.tokenizer();
  description.tokenizer_hash = dataset->record.tokenizer_hash();
  description.vocabulary_size = dataset->record.vocabulary_size();
  if (dataset->record.has_eos_id()) description.eos_id = dataset->record.eos_id();
  description.fingerprint = dataset->Fingerprint();
  for (const auto& [number, shard] : dataset->shards) {
    auto pair = TokenDataset::Open(catalog.PrefixOf(shard));
    if (!pair.ok()) return Annotate(pair.status(), Concatenate("dataset ", description.name, ", shard ", number));
    if ((*pair)->tokens() != shard.tokens() || (*pair)->documents() != shard.documents() ||
        TokenTypeName((*pair)->type()) != shard.token_type()) {
      return DataLoss("dataset ", description.name, ", shard ", number, ": ", (*pair)->prefix(), " holds ",
                      (*pair)->tokens(), " tokens (", TokenTypeName((*pair)->type()), ") in ", (*pair)->documents(),
                      " documents, expected ", shard.tokens(), " (", shard.token_type(), ") in ", shard.documents(),
                      ": it was changed behind the catalog");
    }
    sequence->Append(*std::move(pair));
  }
  return std::shared_ptr<const TokenSequence>(std::move(sequence));
}

bool TokenSequence::FitsUint16() const {
  return std::all_of(shards_.begin(), shards_.end(), [](const auto& shard) {
    return shard->type() == TokenType::kUint8 || shard->type() == TokenType::kUint16;
  });
}

absl::Status TokenSequence::CheckRange(int64_t first, int64_t count) const {
  if (first >= 0 && count >= 0 && count <= tokens() && first <= tokens() - count) return absl::OkStatus();
  return absl::OutOfRangeError(Concatenate("tokens ", first, " to ", first, " + ", count, " of ", description_.name,
                                           " were asked for, which has ", tokens()));
}

size_t TokenSequence::ShardOf(int64_t token) const {
  return std::upper_bound(begins_.begin() + 1, begins_.end() - 1, token) - begins_.begin() - 1;
}

absl::Status TokenSequence::Read(int64_t first, std::span<int32_t> out) const {
  RADLADS_RETURN_IF_ERROR(CheckRange(first, static_cast<int64_t>(out.size())));
  for (size_t shard = ShardOf(first); !out.empty(); ++shard) {
    const size_t part = std::min<size_t>(out.size(), begins_[shard + 1] - first);
    RADLADS_RETURN_IF_ERROR(shards_[shard]->Read(first - begins_[shard], out.first(part)));
    out = out.subspan(part);
    first += static_cast<int64_t>(part);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> TokenSequence::DocumentBegins(int64_t first, int64_t count) const {
  RADLADS_RETURN_IF_ERROR(CheckRange(first, count));
  std::vector<int64_t> begins;
  const int64_t end = first + count;
  for (size_t i = ShardOf(first); i < shards_.size() && begins_[i] < end; ++i) {
    const TokenDataset& shard = *shards_[i];
    if (begins_[i] == begins_[i + 1]) continue;
    const int64_t inside = std::max<int64_t>(first - begins_[i], 0);
    for (int64_t d = shard.DocumentOf(inside); d < shard.documents(); ++d) {
      const int64_t begin = shard.DocumentBegin(d);
      if (begins_[i] + begin >= end) break;
      if (begin >= inside && begin < shard.DocumentBegin(d + 1)) begins.push_back(begins_[i] + begin - first);
    }
  }
  return begins;
}

}  // namespace radlads
