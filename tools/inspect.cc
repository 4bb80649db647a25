// Prints what is in a model file or directory, or how two models differ.
#include <ATen/ATen.h>
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/logging.h"
#include "base/progress.h"
#include "base/status.h"
#include "base/working_directory.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/strict_json.h"
#include "model/checkpoint/tensor_source.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

constexpr char kDescription[] =
    "Prints architecture, parameter count, metadata and the name, shape, type and size of every tensor of\n"
    "  - a Hugging Face directory (config.json, safetensors, tokenizer.json)\n"
    "  - a .safetensors file or model.safetensors.index.json\n"
    "  - a GGUF file\n"
    "  - a config.json or tokenizer.json\n"
    "  - a .pth or .bin file of PyTorch\n"
    "Files are recognised by what is in them. Token shards (.bin, .idx) are described by //data:make_binidx info.\n\n"
    "--diff compares two models of any of these formats, runs of //distill:train included, tensor by tensor under their\n"
    "Hugging Face names. Like diff, it exits with 1 when they differ in a tensor or a number; dtypes may differ.";

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
  RADLADS_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(text, path));
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
  RADLADS_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(text, path));
  if (json.contains("weight_map")) {
    ordered_json description = {{"path", path}, {"format", "safetensors in shards"}};
    RADLADS_ASSIGN_OR_RETURN(auto tensors, OpenShardedSafetensors(path));
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

absl::StatusOr<ordered_json> Describe(const std::string& path) {
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

void PrintText(const ordered_json& description, bool with_tensors) {
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

absl::StatusOr<std::unique_ptr<TensorSource>> OpenForDiff(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string resolved, ResolveModelDirectory(path));
  if (IsDirectory(resolved)) return OpenTensors(resolved);
  auto gguf = GgufFile::Open(resolved);
  if (!gguf.ok()) return OpenTensors(resolved);
  auto as_hugging_face = OpenGgufAsHuggingFace(std::shared_ptr<const GgufFile>(*std::move(gguf)));
  // Of an architecture that we do not know, under its own names.
  return absl::IsUnimplemented(as_hugging_face.status()) ? OpenGguf(resolved) : std::move(as_hugging_face);
}

struct Difference {
  double most = 0;           // |a - b|
  double squares = 0;        // sum of (a - b)^2
  double norm_squares = 0;   // sum of a^2
  int64_t elements = 0;
  bool same = true;          // NaN equals NaN
};

Difference Compare(const at::Tensor& a, const at::Tensor& b) {
  constexpr int64_t kPiece = int64_t{1} << 22;
  const at::Tensor flat_a = a.reshape({-1}), flat_b = b.reshape({-1});
  Difference sum;
  sum.elements = flat_a.numel();
  for (int64_t first = 0; first < sum.elements; first += kPiece) {
    const int64_t size = std::min(kPiece, sum.elements - first);
    const at::Tensor x = flat_a.narrow(0, first, size).to(at::kDouble), y = flat_b.narrow(0, first, size).to(at::kDouble);
    const at::Tensor apart = at::where(x.eq(y).logical_or(x.isnan().logical_and(y.isnan())), at::zeros_like(x), x - y);
    if (apart.eq(0).all().item<bool>()) {
      sum.norm_squares += x.square().sum().item<double>();
      continue;
    }
    sum.same = false;
    sum.most = std::max(sum.most, apart.abs().max().item<double>());
    sum.squares += apart.square().sum().item<double>();
    sum.norm_squares += x.square().sum().item<double>();
  }
  return sum;
}

// -> whether they are the same.
absl::StatusOr<bool> Diff(const std::string& path_a, const std::string& path_b, bool as_json, bool with_tensors) {
  RADLADS_ASSIGN_OR_RETURN(const auto a, OpenForDiff(path_a));
  RADLADS_ASSIGN_OR_RETURN(const auto b, OpenForDiff(path_b));
  std::map<std::string, const TensorInfo*> in_b;
  for (const TensorInfo& info : b->tensors()) in_b[info.name] = &info;
  ordered_json rows = ordered_json::array();
  int64_t same = 0, other_dtype = 0;
  auto lacks = [&](const TensorInfo& info, const std::string& where) {
    rows.push_back({{"name", info.name}, {"only_in", where}, {"dtype", info.dtype}, {"shape", info.shape}});
  };
  Progress progress("comparing", a->tensors().size(), "tensors");
  for (const TensorInfo& info : a->tensors()) {
    progress.Advance(1);
    const auto found = in_b.find(info.name);
    if (found == in_b.end()) {
      lacks(info, path_a);
      continue;
    }
    const TensorInfo other = *found->second;
    in_b.erase(found);
    if (info.shape != other.shape) {
      rows.push_back({{"name", info.name}, {"shape", {info.shape, other.shape}}});
      continue;
    }
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor x, a->Read(info.name));
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor y, b->Read(info.name));
    const Difference difference = Compare(x, y);
    other_dtype += info.dtype != other.dtype;
    if (difference.same) {
      ++same;
      continue;
    }
    const double rms = std::sqrt(difference.squares / difference.elements);
    rows.push_back({{"name", info.name}, {"dtype", {info.dtype, other.dtype}}, {"shape", info.shape}, {"max_difference", difference.most},
                    {"rms_difference", rms}, {"relative_rms", std::sqrt(difference.squares / difference.norm_squares)}});
  }
  progress.Finish();
  for (const auto& [name, info] : in_b) lacks(*info, path_b);
  if (as_json) {
    std::printf("%s\n", ordered_json{{"a", path_a}, {"b", path_b}, {"same", same}, {"other_dtype", other_dtype}, {"different", rows}}.dump(2).c_str());
    return rows.empty();
  }
  for (const ordered_json& row : rows) {
    if (!with_tensors) break;
    const std::string name = row["name"].get<std::string>();
    if (row.contains("only_in")) {
      std::printf("  %-56s only in %s\n", name.c_str(), row["only_in"].get<std::string>().c_str());
    } else if (!row.contains("max_difference")) {
      std::printf("  %-56s shape %s and %s\n", name.c_str(), ShapeString(row["shape"][0].get<std::vector<int64_t>>()).c_str(),
                  ShapeString(row["shape"][1].get<std::vector<int64_t>>()).c_str());
    } else {
      std::printf("  %-56s %s and %s, differ by at most %.3g, RMS %.3g (relative %.3g)\n", name.c_str(),
                  row["dtype"][0].get<std::string>().c_str(), row["dtype"][1].get<std::string>().c_str(), row["max_difference"].get<double>(),
                  row["rms_difference"].get<double>(), row["relative_rms"].get<double>());
    }
  }
  std::printf("%lld tensors are the same (%lld of another dtype), %zu differ\n", static_cast<long long>(same), static_cast<long long>(other_dtype),
              rows.size());
  return rows.empty();
}

absl::Status Inspect(const std::vector<std::string>& paths, bool as_json, bool with_tensors) {
  ordered_json all = ordered_json::array();
  for (const std::string& path : paths) {
    RADLADS_ASSIGN_OR_RETURN(ordered_json description, Describe(path));
    if (as_json) {
      if (!with_tensors) description.erase("tensors");
      all.push_back(std::move(description));
    } else {
      PrintText(description, with_tensors);
    }
  }
  if (as_json) std::printf("%s\n", (all.size() == 1 ? all[0] : all).dump(2).c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  std::vector<std::string> paths;
  bool as_json = false, summary = false, diff = false;
  CLI::App app(kDescription, "inspect");
  app.add_option("paths", paths, "files or directories")->required();
  app.add_flag("--json", as_json, "print JSON: an object for one path, a list for several");
  app.add_flag("--summary", summary, "leave out the list of tensors");
  app.add_flag("--diff", diff, "compare two models");
  CLI11_PARSE(app, argc, argv);
  if (absl::Status status = EnterWorkingDirectory(); !status.ok()) return ExitCode(status);
  if (diff) {
    if (paths.size() != 2) return ExitCode(InvalidArgument("--diff takes two models, found ", paths.size()));
    const absl::StatusOr<bool> same = Diff(paths[0], paths[1], as_json, !summary);
    return same.ok() ? !*same : ExitCode(same.status());
  }
  return ExitCode(Inspect(paths, as_json, !summary));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) { return radlads::Main(argc, argv); }
