// Merges files and options into a message, collecting every problem. Internal to the loader.
#ifndef RADLADS_CONFIGS_MERGE_H_
#define RADLADS_CONFIGS_MERGE_H_

#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "configs/radlads_names.h"

namespace radlads {

struct YamlNode;

class Merger {
 public:
  // Works on a copy of `target`, which Finish() replaces.
  explicit Merger(google::protobuf::Message& target);

  void AddFile(const std::string& path);
  // The keys of `text` are relative to the message at `at` ("train.teacher"; "" is the outermost one).
  void AddText(const std::string& text, const std::string& file_name, const std::string& at = "");
  // key: a.b.c, without dashes.
  void AddOption(const std::string& key, const std::string& value);
  void AddError(std::string error) { errors_.push_back(std::move(error)); }

  // All errors, or OK and then the target is replaced. `notes` gets each remark once.
  absl::Status Finish(std::vector<std::string>& notes);

 private:
  // Where a value came from, for messages.
  struct Source {
    std::string file;  // "" is the command line
    int line = 0;
    std::string Where() const { return file.empty() ? "command line" : file + ":" + std::to_string(line); }
  };
  struct MixerClaim {
    Source source;
    std::string attention_type;
  };

  void Map(const YamlNode& map, google::protobuf::Message& message, const std::string& path, const Source& source);
  void Key(const std::string& key, const YamlNode& value, google::protobuf::Message& message,
           const std::string& path, const Source& source);
  void List(const YamlNode& value, google::protobuf::Message& message,
            const google::protobuf::FieldDescriptor& field, const std::string& path, const Source& source);
  void Entries(const YamlNode& map, google::protobuf::Message& message,
               const google::protobuf::FieldDescriptor& field, const std::string& path, const Source& source);
  void Scalar(const YamlNode& value, google::protobuf::Message& message,
              const google::protobuf::FieldDescriptor& field, const std::string& path, const Source& source);
  void ReferenceOnly(const ReferenceKey& row, const YamlNode& value, const std::string& path, const Source& source);
  void UnknownKey(const std::string& key, const google::protobuf::Message& message, const std::string& path,
                  const Source& source);
  void Wrong(const Source& source, const std::string& path, const YamlNode& found, const std::string& expected);
  void CheckMixers(const google::protobuf::Message& message, const std::string& path);
  void AddReferenceFile(const std::string& path, const ReferenceFile& file);

  google::protobuf::Message& target_;
  std::unique_ptr<google::protobuf::Message> work_;
  std::vector<std::string> errors_, notes_;
  size_t missing_files_ = 0;  // of errors_
  std::map<std::string, MixerClaim> mixer_claims_;  // by the path of the message
};

}  // namespace radlads

#endif  // RADLADS_CONFIGS_MERGE_H_
