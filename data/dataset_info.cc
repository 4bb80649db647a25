#include "data/dataset_info.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr int kFormatVersion = 1;

}  // namespace

std::string DatasetInfoPath(const std::string& prefix) {
  return prefix + ".json";
}

std::string DatasetInfo::ToJson() const {
  nlohmann::ordered_json json;
  json["format"] = "radlads token dataset";
  json["version"] = kFormatVersion;
  json["tokenizer"] = tokenizer;
  json["tokenizer_hash"] = tokenizer_hash;
  json["vocabulary_size"] = vocabulary_size;
  json["eos_id"] = eos_id ? nlohmann::ordered_json(*eos_id) : nlohmann::ordered_json(nullptr);
  json["documents"] = documents;
  json["tokens"] = tokens;
  json["sources"] = sources;
  json["created"] = created;
  // Names of files need not be UTF-8.
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::optional<DatasetInfo>> ReadDatasetInfo(const std::string& prefix) {
  const std::string path = DatasetInfoPath(prefix);
  if (!FileExists(path)) return std::optional<DatasetInfo>();
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  DatasetInfo info;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    if (const int version = json.at("version").get<int>(); version != kFormatVersion) {
      return InvalidArgument(path, " has version ", version, ", expected ", kFormatVersion);
    }
    info.tokenizer = json.at("tokenizer").get<std::string>();
    info.tokenizer_hash = json.at("tokenizer_hash").get<std::string>();
    info.vocabulary_size = json.at("vocabulary_size").get<int64_t>();
    if (const auto& eos = json.at("eos_id"); !eos.is_null()) info.eos_id = eos.get<int64_t>();
    info.documents = json.at("documents").get<int64_t>();
    info.tokens = json.at("tokens").get<int64_t>();
    info.sources = json.at("sources").get<std::vector<std::string>>();
    info.created = json.at("created").get<std::string>();
  } catch (const nlohmann::json::exception& e) {
    return InvalidArgument(path, " does not describe a token dataset: ", e.what(),
                           "; remove the file if it belongs to something else");
  }
  return std::optional<DatasetInfo>(std::move(info));
}

absl::Status CheckTokenizer(const std::string& prefix, const std::string& tokenizer,
                            const std::string& tokenizer_hash) {
  RADLADS_ASSIGN_OR_RETURN(const std::optional<DatasetInfo> info, ReadDatasetInfo(prefix));
  if (!info || info->tokenizer_hash.empty() || info->tokenizer_hash == tokenizer_hash) return absl::OkStatus();
  return FailedPrecondition(prefix, " was made with the tokenizer ", info->tokenizer, " (hash ", info->tokenizer_hash,
                            ", ", info->vocabulary_size, " ids), but ", tokenizer, " has hash ", tokenizer_hash,
                            "; build the dataset again with make_binidx build --tokenizer ", tokenizer);
}

}  // namespace radlads
