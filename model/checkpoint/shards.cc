#include "model/checkpoint/shards.h"

#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

using nlohmann::json;

class Shards : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<Shards>> Open(const std::string& index_path, const OpenShard& open) {
    RADLADS_ASSIGN_OR_RETURN(std::string text, ReadFile(index_path));
    RADLADS_ASSIGN_OR_RETURN(json index, ParseJson(text, {.where = index_path, .unique_keys = true}));
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
      return InvalidArgument(index_path, ": expected an object with a \"weight_map\" from tensor names to files");
    }
    const size_t slash = index_path.rfind('/');
    const std::string directory = slash == index_path.npos ? "." : index_path.substr(0, slash);
    std::map<std::string, std::vector<std::string>> names_of;  // shard -> names
    for (const auto& [name, file] : index["weight_map"].items()) {
      if (!file.is_string()) return InvalidArgument(index_path, ": the file of \"", name, "\" is not a string");
      const std::string shard = file.get<std::string>();
      if (shard.empty() || shard == "." || shard == ".." || shard.find('/') != shard.npos) {
        return InvalidArgument(index_path, ": \"", name, "\" is said to be in \"", shard,
                               "\", expected the name of a file beside the index");
      }
      names_of[shard].push_back(name);
    }
    std::unique_ptr<Shards> source(new Shards);
    source->index_path_ = index_path;
    std::unordered_map<std::string, std::string> first_shard;  // of every tensor, mapped or not
    for (const auto& [shard, names] : names_of) {
      auto opened = open(JoinPath(directory, shard));
      if (absl::IsNotFound(opened.status())) {
        return NotFound(index_path, ": a shard is missing: ", opened.status().message(),
                        "; fetch it, or the whole checkpoint again");
      }
      if (!opened.ok()) return Annotate(opened.status(), index_path);
      std::shared_ptr<const TensorSource> file = std::move(opened).value();
      for (const std::string& name : names) {
        if (!file->Has(name)) {
          return InvalidArgument(index_path, ": the index says that \"", name, "\" is in ", shard, ", but it is not; ",
                                 "the shards and the index are not of one checkpoint");
        }
        source->shard_of_[name] = file;
      }
      for (const TensorInfo& info : file->tensors()) {
        if (const auto [other, is_new] = first_shard.emplace(info.name, shard); !is_new) {
          return InvalidArgument(index_path, ": \"", info.name, "\" is both in ", other->second, " and in ", shard,
                                 "; which of them counts is not for the reader to choose");
        }
        if (source->shard_of_.contains(info.name) && source->shard_of_[info.name] == file) source->tensors_.push_back(info);
      }
    }
    return source;
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool Has(std::string_view name) const override { return shard_of_.contains(std::string(name)); }
  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    auto found = shard_of_.find(name);
    if (found == shard_of_.end()) return NotFound(index_path_, " has no tensor ", name);
    return found->second->Read(name);
  }
  absl::StatusOr<at::Tensor> ReadRows(const std::string& name, int64_t first, int64_t count) const override {
    auto found = shard_of_.find(name);
    if (found == shard_of_.end()) return NotFound(index_path_, " has no tensor ", name);
    return found->second->ReadRows(name, first, count);
  }

 private:
  std::string index_path_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::shared_ptr<const TensorSource>> shard_of_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> OpenShards(const std::string& index_path, const OpenShard& open) {
  return Shards::Open(index_path, open);
}

}  // namespace radlads
