#include "model/checkpoint/match_tensors.h"

#include <map>

#include "base/nearest_name.h"
#include "base/status.h"

namespace radlads {
namespace {

bool IsIgnorable(const std::string& name, bool tied_head) {
  return name.find("rotary_emb.inv_freq") != std::string::npos || (tied_head && name == "lm_head.weight");
}

}  // namespace

absl::StatusOr<std::vector<TensorInfo>> MatchTensors(const std::string& where, const std::vector<NamedShape>& model,
                                                     bool tied_head, const TensorSource& source) {
  std::map<std::string, const TensorInfo*> found;
  for (const TensorInfo& info : source.tensors()) found[info.name] = &info;
  std::map<std::string, std::vector<int64_t>> wanted;
  for (const NamedShape& tensor : model) wanted[tensor.name] = tensor.shape;

  std::vector<TensorInfo> matched;
  std::vector<std::string> unknown, problems;
  for (const TensorInfo& info : source.tensors()) {
    if (const auto entry = wanted.find(info.name); entry != wanted.end()) {
      matched.push_back(info);
    } else if (!IsIgnorable(info.name, tied_head)) {
      unknown.push_back(info.name);
    }
  }
  for (const auto& [name, shape] : model) {
    const auto entry = found.find(name);
    if (entry == found.end()) {
      const std::string nearest = NearestName(name, unknown);
      problems.push_back(Concatenate("missing: ", name, " ", ShapeString(shape),
                                     nearest.empty() ? "" : "; the nearest name in the file is " + nearest));
    } else if (shape != entry->second->shape) {
      problems.push_back(Concatenate("shape: ", name, " is ", ShapeString(entry->second->shape), " in the file, expected ",
                                     ShapeString(shape)));
    }
  }
  for (const std::string& name : unknown) {
    problems.push_back(Concatenate("unknown: ", name, " ", ShapeString(found[name]->shape)));
  }
  if (problems.empty()) return matched;
  std::string message = Concatenate(where, ": ", problems.size(), problems.size() == 1 ? " tensor does" : " tensors do",
                                    " not fit the model:");
  for (const std::string& problem : problems) message += "\n  " + problem;
  return InvalidArgument(message);
}

}  // namespace radlads
