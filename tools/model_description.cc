#include "tools/model_description.h"

#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

constexpr size_t kShownElements = 8;  // of an array in GGUF metadata

// The config with its numbers, or why it is not one of ours, which is an answer and no failure.
absl::StatusOr<ordered_json> Model(const absl::StatusOr<ModelConfig>& config) {
  if (absl::IsUnimplemented(config.status())) return ordered_json{{"not_supported", std::string(config.status().message())}};
  if (!config.ok()) return config.status();
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  RADLADS_CHECK(google::protobuf::util::MessageToJsonString(*config, &text, options).ok());
  ordered_json json = ordered_json::parse(text);
  for (auto& [key, value] : json.items()) {
    // protobuf writes 64-bit integers as strings.
    if (value.is_string() && value.get<std::string>().find_first_not_of("0123456789") == std::string::npos) {
      value = std::stoll(value.get<std::string>());
    }
  }
  return json;
}

void AddTensors(const TensorSource& source, ordered_json& description) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> by_dtype;  // dtype -> tensors, bytes
  uint64_t parameters = 0, bytes = 0;
  ordered_json tensors = ordered_json::array();
  for (const TensorInfo& info : source.tensors()) {
    uint64_t elements = 1;
    for (int64_t size : info.shape) elements *= size;
    parameters += elements;
    bytes += info.bytes;
    by_dtype[info.dtype].first += 1;
    by_dtype[info.dtype].second += info.bytes;
    tensors.push_back({{"name", info.name}, {"dtype", info.dtype}, {"shape", info.shape}, {"bytes", info.bytes}, {"file", info.file}});
  }
  description["parameters"] = parameters;
  description["bytes"] = bytes;
  for (const auto& [dtype, sum] : by_dtype) description["dtypes"][dtype] = {{"tensors", sum.first}, {"bytes", sum.second}};
  description["tensors"] = std::move(tensors);
}

ordered_json Tokenizer(const nlohmann::json& tokenizer) {
  ordered_json summary;
  const auto model = tokenizer.value("model", nlohmann::json::object());
  auto type_of = [&](const char* key) -> std::string {
    if (!tokenizer.contains(key) || !tokenizer[key].is_object()) return "none";
    std::string text = tokenizer[key].value("type", "?");
    for (const char* list : {"pretokenizers", "processors", "normalizers", "decoders"}) {
      if (!tokenizer[key].contains(list)) continue;
      for (const auto& part : tokenizer[key][list]) text += " " + part.value("type", "?");
    }
    return text;
  };
  summary["model"] = model.value("type", "?");
  summary["vocabulary"] = model.contains("vocab") ? model["vocab"].size() : 0;
  summary["merges"] = model.contains("merges") ? model["merges"].size() : 0;
  summary["added_tokens"] = tokenizer.contains("added_tokens") ? tokenizer["added_tokens"].size() : 0;
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) summary[key] = type_of(key);
  return summary;
}

absl::StatusOr<ordered_json> TokenizerAt(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RADLADS_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, {.where = path}));
  try {
    return Tokenizer(json);
  } catch (const nlohmann::json::exception& error) {  // a value of another type than every tokenizer.json has there
    return InvalidArgument(path, ": not a tokenizer.json: ", error.what());
  }
}

ordered_json Metadata(const GgufValue& value) {
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    ordered_json json = {{"array_of", GgufTypeName(array->type)}, {"count", array->count}};
    for (size_t i = 0; i < array->strings.size() && i < kShownElements; ++i) {
      json["first"].push_back(IsUtf8(array->strings[i]) ? std::string(array->strings[i]) : "(not UTF-8)");
    }
    return json;
  }
  if (const auto* text = std::get_if<std::string_view>(&value.value)) return IsUtf8(*text) ? std::string(*text) : "(not UTF-8)";
  if (const auto* number = std::get_if<uint64_t>(&value.value)) return *number;
  if (const auto* number = std::get_if<int64_t>(&value.value)) return *number;
  if (const auto* number = std::get_if<double>(&value.value)) return *number;
  return std::get<bool>(value.value);
}

absl::StatusOr<ordered_json> DescribeGguf(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(auto file, GgufFile::Open(path));
  ordered_json description = {{"path", path}, {"format", Concatenate("GGUF version ", file->version())}};
  RADLADS_ASSIGN_OR_RETURN(description["model"], Model(ModelConfigFromGguf(*file)));
  for (const auto& [key, value] : file->metadata()) description["metadata"][key] = Metadata(value);
  AddTensors(*file, description);
  return description;
}

absl::StatusOr<ordered_json> DescribeDirectory(const std::string& path) {
  ordered_json description = {{"path", path}, {"format", "Hugging Face directory"}};
  bool known = false;
  if (const std::string file = JoinPath(path, "config.json"); FileExists(file)) {
    RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    RADLADS_ASSIGN_OR_RETURN(description["model"], Model(ModelConfigFromJson(text, file)));
    known = true;
  }
  if (const std::string file = JoinPath(path, "tokenizer.json"); FileExists(file)) {
    RADLADS_ASSIGN_OR_RETURN(description["tokenizer"], TokenizerAt(file));
    known = true;
  }
  auto tensors = OpenTensors(path);
  if (tensors.ok()) {
    AddTensors(**tensors, description);
  } else if (!known || !absl::IsNotFound(tensors.status())) {
    return tensors.status();
  }
  return description;
}

absl::StatusOr<ordered_json> DescribeJson(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  RADLADS_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, {.where = path}));
  if (json.contains("weight_map")) {
    ordered_json description = {{"path", path}, {"format", "shards"}};
    RADLADS_ASSIGN_OR_RETURN(auto tensors, OpenTensors(path));
    AddTensors(*tensors, description);
    return description;
  }
  if (json.contains("model") && json["model"].is_object()) {
    ordered_json description = {{"path", path}, {"format", "tokenizer.json"}};
    RADLADS_ASSIGN_OR_RETURN(description["tokenizer"], TokenizerAt(path));
    return description;
  }
  if (json.contains("model_type") || json.contains("architectures")) {
    ordered_json description = {{"path", path}, {"format", "config.json"}};
    RADLADS_ASSIGN_OR_RETURN(description["model"], Model(ModelConfigFromJson(text, path)));
    return description;
  }
  return InvalidArgument(path, ": JSON, but neither a config.json, a tokenizer.json nor the index of a checkpoint");
}

std::string OneLine(const ordered_json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  constexpr size_t kWidth = 120;
  if (text.size() <= kWidth) return text;
  size_t cut = kWidth;
  while (cut > 0 && (text[cut] & 0xc0) == 0x80) --cut;  // between characters
  return text.substr(0, cut) + "...";
}

}  // namespace

absl::StatusOr<ordered_json> DescribeModel(const std::string& path) {
  if (IsDirectory(path)) return DescribeDirectory(path);
  RADLADS_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  const std::string_view start(reinterpret_cast<const char*>(file->bytes().data()), std::min<size_t>(file->bytes().size(), 16));
  if (start.starts_with("GGUF")) return DescribeGguf(path);
  if (start.starts_with("MMIDIDX")) {
    return InvalidArgument(path, " is the index of token shards; `bazel run //data:make_binidx -- info` describes it");
  }
  const size_t first = start.find_first_not_of(" \t\r\n");
  // The length of a safetensors header cannot begin with a brace and a line feed, space or quote: it would be too long.
  if (first != start.npos && start[first] == '{' && !(start.size() > 8 && start[8] == '{' && start[7] == '\0')) return DescribeJson(path);
  RADLADS_ASSIGN_OR_RETURN(auto tensors, OpenTensors(path));
  if (start.starts_with("PK")) {
    ordered_json description = {{"path", path}, {"format", "PyTorch weights"}};
    AddTensors(*tensors, description);
    return description;
  }
  ordered_json description = {{"path", path}, {"format", "safetensors"}};
  RADLADS_ASSIGN_OR_RETURN(const auto metadata, SafetensorsMetadata(path));
  if (!metadata.empty()) description["metadata"] = metadata;
  AddTensors(*tensors, description);
  return description;
}

void PrintDescription(const ordered_json& description, bool with_tensors) {
  std::printf("%s: %s\n", description["path"].get<std::string>().c_str(), description["format"].get<std::string>().c_str());
  for (const char* section : {"model", "tokenizer", "metadata"}) {
    if (!description.contains(section)) continue;
    std::printf("%s\n", section);
    for (const auto& [key, value] : description[section].items()) std::printf("  %-34s %s\n", key.c_str(), OneLine(value).c_str());
  }
  if (!description.contains("parameters")) return;
  std::printf("weights\n  %s parameters in %zu tensors, %s\n", HumanCount(description["parameters"].get<double>()).c_str(),
              description["tensors"].size(), HumanCount(description["bytes"].get<double>(), "B").c_str());
  if (description.contains("dtypes")) {
    for (const auto& [dtype, sum] : description["dtypes"].items()) {
      std::printf("  %-8s %5d tensors  %s\n", dtype.c_str(), sum["tensors"].get<int>(), HumanCount(sum["bytes"].get<double>(), "B").c_str());
    }
  }
  if (!with_tensors) return;
  std::printf("tensors\n");
  for (const ordered_json& tensor : description["tensors"]) {
    std::printf("  %-56s %-8s %-20s %s\n", tensor["name"].get<std::string>().c_str(), tensor["dtype"].get<std::string>().c_str(),
                ShapeString(tensor["shape"].get<std::vector<int64_t>>()).c_str(), HumanCount(tensor["bytes"].get<double>(), "B").c_str());
  }
}

}  // namespace radlads
