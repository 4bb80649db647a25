#include "data/dataset_info.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

// Version 1 had the names of the sources only, no checksum and no job.
constexpr int kFormatVersion = 2;

DatasetSource SourceFrom(const nlohmann::json& json, int version) {
  if (version == 1) return {json.get<std::string>(), -1, -1, -1};
  return {json.at("name").get<std::string>(), json.at("documents").get<int64_t>(), json.at("tokens").get<int64_t>(),
          json.at("text_bytes").get<int64_t>()};
}

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
  json["tokens_crc32c"] = tokens_crc32c ? nlohmann::ordered_json(*tokens_crc32c) : nlohmann::ordered_json(nullptr);
  json["sources"] = nlohmann::ordered_json::array();
  for (const DatasetSource& source : sources) {
    nlohmann::ordered_json entry;
    entry["name"] = source.name;
    entry["documents"] = source.documents;
    entry["tokens"] = source.tokens;
    entry["text_bytes"] = source.text_bytes;
    json["sources"].push_back(std::move(entry));
  }
  json["job"] = job;
  json["created"] = created;
  // Names of files need not be UTF-8.
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::optional<DatasetInfo>> ReadDatasetInfo(const std::string& prefix) {
  const std::string path = DatasetInfoPath(prefix);
  if (!FileExists(path)) return std::optional<DatasetInfo>();
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RADLADS_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, {.where = path}));
  DatasetInfo info;
  try {
    const int version = json.at("version").get<int>();
    if (version < 1 || version > kFormatVersion) {
      return InvalidArgument(path, " has version ", version, ", expected 1 to ", kFormatVersion,
                             "; a newer release of this program wrote it");
    }
    info.tokenizer = json.at("tokenizer").get<std::string>();
    info.tokenizer_hash = json.at("tokenizer_hash").get<std::string>();
    info.vocabulary_size = json.at("vocabulary_size").get<int64_t>();
    if (const auto& eos = json.at("eos_id"); !eos.is_null()) info.eos_id = eos.get<int64_t>();
    info.documents = json.at("documents").get<int64_t>();
    info.tokens = json.at("tokens").get<int64_t>();
    for (const nlohmann::json& source : json.at("sources")) info.sources.push_back(SourceFrom(source, version));
    if (version >= 2) {
      info.job = json.at("job").get<std::string>();
      if (const auto& crc32c = json.at("tokens_crc32c"); !crc32c.is_null()) info.tokens_crc32c = crc32c.get<uint32_t>();
    }
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
