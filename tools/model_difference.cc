#include "tools/model_difference.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

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

// `info` as both have it, of whatever dtypes.
absl::StatusOr<Difference> Compare(const TensorSource& a, const TensorSource& b, const TensorInfo& info) {
  Difference sum;
  sum.elements = c10::multiply_integers(info.shape);
  const absl::Status read = ForEachPieceOfRows(info.shape, kPieceBytes, [&](int64_t first, int64_t count) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor rows_a, a.ReadRows(info.name, first, count));
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor rows_b, b.ReadRows(info.name, first, count));
    const at::Tensor x = rows_a.to(at::kDouble), y = rows_b.to(at::kDouble);
    const at::Tensor apart = at::where(x.eq(y).logical_or(x.isnan().logical_and(y.isnan())), at::zeros_like(x), x - y);
    sum.norm_squares += x.square().sum().item<double>();
    if (apart.eq(0).all().item<bool>()) return absl::OkStatus();
    sum.same = false;
    sum.most = std::max(sum.most, apart.abs().max().item<double>());
    sum.squares += apart.square().sum().item<double>();
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  return sum;
}

}  // namespace

absl::StatusOr<bool> CompareModels(const std::string& path_a, const std::string& path_b, bool as_json, bool with_tensors) {
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
    RADLADS_ASSIGN_OR_RETURN(const Difference difference, Compare(*a, *b, info));
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

}  // namespace radlads
