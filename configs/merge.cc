#include "configs/merge.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/nearest_name.h"
#include "base/status.h"
#include "base/yaml.h"
#include "configs/scalar.h"

namespace radlads {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Join(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }

bool IsQuoted(const YamlNode& node) {
  return node.IsScalar() && (!node.plain || node.tag == "tag:yaml.org,2002:str");
}

// Whether a file says null, ~ or nothing at all. What the command line says (line 0) is text, never null.
bool IsNull(const YamlNode& node) { return node.line > 0 && node.IsNull(); }

// None is how the reference's command lines say it.
bool IsNothing(const YamlNode& node) {
  if (IsNull(node)) return true;
  if (!node.IsScalar() || IsQuoted(node)) return false;
  return node.text == "None" || node.text == "null" || node.text == "~";
}

std::string Found(const YamlNode& node) {
  if (node.IsMap()) return "a map";
  if (node.IsList()) return "a list";
  if (IsNull(node)) return "nothing";
  std::string text = node.text;
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return (IsQuoted(node) ? "the string '" : "'") + text + "'";
}

std::vector<std::string> Keys(const Descriptor& message) {
  std::vector<std::string> keys;
  for (int i = 0; i < message.field_count(); ++i) keys.push_back(message.field(i)->name());
  return keys;
}

// "a map with keys such as path, model, kl_weight"
std::string MapExpectation(const Descriptor& message) {
  std::string text = "a map with keys such as ";
  for (int i = 0; i < std::min(3, message.field_count()); ++i) text += (i == 0 ? "" : ", ") + message.field(i)->name();
  return text;
}

// Every knob: path and last part. A message type is entered once.
void CollectKnobs(const Descriptor& message, const std::string& path, std::set<const Descriptor*>& seen,
                  std::vector<std::pair<std::string, std::string>>& knobs) {
  if (!seen.insert(&message).second) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string name = Join(path, field.name());
    knobs.emplace_back(name, field.name());
    if (field.message_type() != nullptr && !field.is_repeated()) {
      CollectKnobs(*field.message_type(), name, seen, knobs);
    }
  }
}

// Entries of a list of messages go by their name where they have one, else by their index.
std::string EntryName(const Message& entry, int index) {
  const FieldDescriptor* name = entry.GetDescriptor()->FindFieldByName("name");
  if (name == nullptr || name->is_repeated() || name->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    return std::to_string(index);
  }
  const std::string text = entry.GetReflection()->GetString(entry, name);
  return text.empty() ? std::to_string(index) : text;
}

// ReferenceKeys lists keys by message; "" stands for whichever is outermost.
const ReferenceKey* FindKey(const Message& message, const std::string& path, const std::string& key) {
  const ReferenceKey* row = FindReferenceKey(message.GetDescriptor()->name(), key);
  return row == nullptr && path.empty() ? FindReferenceKey("", key) : row;
}

// The message at `path`, made if need be; nullptr when there is no such map.
Message* Descend(Message& root, const std::string& path) {
  Message* message = &root;
  std::istringstream parts(path);
  for (std::string part; std::getline(parts, part, '.');) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(part);
    if (field == nullptr || field->message_type() == nullptr || field->is_repeated()) return nullptr;
    message = message->GetReflection()->MutableMessage(message, field);
  }
  return message;
}

}  // namespace

Merger::Merger(Message& target) : target_(target), work_(target.New()) { work_->CopyFrom(target); }

void Merger::AddFile(const std::string& path) {
  if (IsDirectory(path)) return AddError(path + ": is a directory, expected a YAML or JSON file");
  if (FileExists(path)) {
    absl::StatusOr<std::string> text = ReadFile(path);
    if (text.ok()) return AddText(*text, path);
    return AddError(std::string(text.status().message()));
  }
  const std::filesystem::path file(path);
  if (const ReferenceFile* known = FindReferenceFile(file.filename().string())) return AddReferenceFile(path, *known);

  std::vector<std::string> neighbours;
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    neighbours.push_back(entry.path().filename().string());
  }
  std::sort(neighbours.begin(), neighbours.end());
  const std::string nearest = NearestName(file.filename().string(), neighbours);
  ++missing_files_;
  AddError(path + ": no such file" +
           (error             ? "; there is no folder " + folder.string() + " either"
            : nearest.empty() ? ""
                              : "; did you mean " + (file.parent_path() / nearest).string() + "?"));
}

void Merger::AddReferenceFile(const std::string& path, const ReferenceFile& file) {
  const std::string at = file.teacher_path.empty() ? "" : "train.teacher";
  std::string stack;
  for (const std::string_view name : file.stack) {
    const std::string recipe = (std::filesystem::path(path).parent_path() / name).string();
    absl::StatusOr<std::string> text = ReadFile(recipe);
    if (!text.ok()) {
      return AddError(path + ": no such file; as a file of the reference it stands for " + recipe +
                      ", which is not there either");
    }
    AddText(*text, recipe, at);
    stack += (stack.empty() ? "" : " + ") + recipe;
  }
  if (!file.overlay.empty()) AddText(std::string(file.overlay), path, at);
  if (!file.teacher_path.empty()) AddText("path: " + std::string(file.teacher_path), path, at);
  notes_.push_back(path + " is a file of the reference; read as " + stack + (at.empty() ? "" : " under " + at) +
                   (file.overlay.empty() ? "" : " with " + std::string(file.overlay)));
}

void Merger::AddText(const std::string& text, const std::string& file_name, const std::string& at) {
  const absl::StatusOr<YamlPointer> root = ParseYaml(text, file_name, {.unique_keys = true});
  if (!root.ok()) return AddError(std::string(root.status().message()));
  if ((*root)->IsNull()) return;
  Message* message = Descend(*work_, at);
  if (message == nullptr) return AddError(file_name + ": describes " + at + ", which this program does not have");
  Source source{file_name, (*root)->line};
  if (!(*root)->IsMap()) {
    return AddError(source.Where() + ": found " + Found(**root) + ", expected " +
                    MapExpectation(*message->GetDescriptor()));
  }
  Map(**root, *message, at, source);
}

void Merger::AddOption(const std::string& key, const std::string& value) {
  std::vector<std::string> parts;
  std::istringstream stream(key);
  for (std::string part; std::getline(stream, part, '.');) parts.push_back(part);
  if (parts.empty()) return AddError("command line: found a value without a knob, expected --KEY=VALUE");
  const auto plain = [](const std::string& text) {
    auto node = std::make_shared<YamlNode>();
    node->text = text;
    node->plain = true;
    return node;
  };
  YamlPointer node = plain(value);
  for (size_t i = parts.size(); i > 1; --i) {
    auto outer = std::make_shared<YamlNode>();
    outer->kind = YamlNode::Kind::kMap;
    outer->entries.emplace_back(plain(parts[i - 1]), std::move(node));
    node = std::move(outer);
  }
  Key(parts[0], *node, *work_, "", Source{});
}

void Merger::Map(const YamlNode& map, Message& message, const std::string& path, const Source& source) {
  for (const auto& [key, value] : map.entries) Key(key->text, *value, message, path, Source{source.file, key->line});
}

void Merger::Key(const std::string& key, const YamlNode& value, Message& message, const std::string& path,
                 const Source& source) {
  if (key == "__type__") return;
  const std::string full = Join(path, key);
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(key);
  if (field == nullptr) {
    const ReferenceKey* row = FindKey(message, path, key);
    return row == nullptr ? UnknownKey(key, message, path, source) : ReferenceOnly(*row, value, full, source);
  }
  const Reflection& reflection = *message.GetReflection();
  if (field->is_repeated()) {
    if (IsNothing(value)) return reflection.ClearField(&message, field);
    if (field->message_type() != nullptr && value.IsMap()) return Entries(value, message, *field, full, source);
    return List(value, message, *field, full, source);
  }
  if (field->message_type() != nullptr) {
    if (IsNull(value)) return;  // a key with nothing under it says nothing
    if (IsNothing(value)) return reflection.ClearField(&message, field);
    if (!value.IsMap()) return Wrong(source, full, value, MapExpectation(*field->message_type()));
    return Map(value, *reflection.MutableMessage(&message, field), full, source);
  }
  if (IsNothing(value)) return reflection.ClearField(&message, field);
  Scalar(value, message, *field, full, source);
}

void Merger::Scalar(const YamlNode& value, Message& message, const FieldDescriptor& field, const std::string& path,
                    const Source& source) {
  if (!value.IsScalar() || IsNull(value)) return Wrong(source, path, value, Expectation(field));
  std::string text = value.text;
  if (const ReferenceValue* row = FindReferenceValue(message.GetDescriptor()->name(), field.name(), text)) {
    if (row->to.empty()) {
      return AddError(source.Where() + ": " + path + ": '" + text + "' is not here: " + std::string(row->instead));
    }
    text = row->to;
  }
  const std::string expected = SetScalar(message, field, text, IsQuoted(value));
  if (!expected.empty()) Wrong(source, path, value, expected);
}

void Merger::List(const YamlNode& value, Message& message, const FieldDescriptor& field, const std::string& path,
                  const Source& source) {
  const Reflection& reflection = *message.GetReflection();
  if (!value.IsList()) {
    if (field.message_type() != nullptr) return Wrong(source, path, value, "a list of maps");
    reflection.ClearField(&message, &field);
    return Scalar(value, message, field, path, source);
  }
  reflection.ClearField(&message, &field);
  for (size_t i = 0; i < value.items.size(); ++i) {
    const YamlNode& item = *value.items[i];
    Source here{source.file, item.line};
    if (field.message_type() == nullptr) {
      Scalar(item, message, field, Join(path, std::to_string(i)), here);
      continue;
    }
    Message* entry = reflection.AddMessage(&message, &field);
    std::string name = std::to_string(i);
    if (!item.IsMap()) {
      Wrong(here, Join(path, name), item, MapExpectation(*field.message_type()));
      continue;
    }
    const YamlNode* given = item.Find("name");
    if (given != nullptr && given->IsScalar() && !IsNull(*given)) name = given->text;
    Map(item, *entry, Join(path, name), here);
  }
}

void Merger::Entries(const YamlNode& map, Message& message, const FieldDescriptor& field, const std::string& path,
                     const Source& source) {
  const Reflection& reflection = *message.GetReflection();
  const int count = reflection.FieldSize(message, &field);
  for (const auto& [key, change] : map.entries) {
    Source here{source.file, key->line};
    const std::string& name = key->text;
    std::vector<std::string> names;
    Message* entry = nullptr;
    for (int i = 0; i < count; ++i) {
      Message* candidate = reflection.MutableRepeatedMessage(&message, &field, i);
      names.push_back(EntryName(*candidate, i));
      if (entry == nullptr && (names.back() == name || std::to_string(i) == name)) entry = candidate;
    }
    if (entry == nullptr) {
      std::string list;
      for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
      AddError(here.Where() + ": " + Join(path, name) + ": no such entry; " +
               (list.empty() ? path + " is empty" : "there are " + list));
      continue;
    }
    if (!change->IsMap()) {
      Wrong(here, Join(path, name), *change, MapExpectation(*field.message_type()));
      continue;
    }
    Map(*change, *entry, Join(path, name), here);
  }
}

void Merger::ReferenceOnly(const ReferenceKey& row, const YamlNode& value, const std::string& path,
                           const Source& source) {
  const std::string text = IsNothing(value) ? "None" : value.IsScalar() ? value.text : Found(value);
  switch (row.treatment) {
    case ReferenceKey::kRefused:
      return AddError(source.Where() + ": " + path + ": is not a knob here: " + std::string(row.text));
    case ReferenceKey::kOnly: {
      std::istringstream allowed{std::string(row.only)};
      for (std::string one; std::getline(allowed, one, '|');) {
        if (one == text) return;
      }
      return AddError(source.Where() + ": " + path + ": found '" + text + "': " + std::string(row.text));
    }
    case ReferenceKey::kMixer:
      mixer_claims_[path.substr(0, path.rfind('.'))] = {source, IsNothing(value) ? "" : text};
      break;
    case ReferenceKey::kNoEffect: break;
  }
  notes_.push_back(path + " has no effect here: " + std::string(row.text));
}

void Merger::UnknownKey(const std::string& key, const Message& message, const std::string& path,
                        const Source& source) {
  std::vector<std::pair<std::string, std::string>> knobs;
  std::set<const Descriptor*> seen;
  CollectKnobs(*work_->GetDescriptor(), "", seen, knobs);
  std::vector<std::string> names;
  std::string nearest;
  for (const auto& [knob, name] : knobs) {
    if (name == key && nearest.empty()) nearest = knob;
    names.push_back(name);
  }
  if (nearest.empty()) {
    const std::string sibling = NearestName(key, Keys(*message.GetDescriptor()));
    if (!sibling.empty()) nearest = Join(path, sibling);
  }
  if (nearest.empty()) {
    const std::string elsewhere = NearestName(key, names);
    for (const auto& [knob, name] : knobs) {
      if (nearest.empty() && !elsewhere.empty() && name == elsewhere) nearest = knob;
    }
  }
  AddError(source.Where() + ": " + Join(path, key) + ": unknown key; " +
           (nearest.empty() ? "--help lists all knobs" : "did you mean " + nearest + "?"));
}

void Merger::Wrong(const Source& source, const std::string& path, const YamlNode& found,
                   const std::string& expected) {
  AddError(source.Where() + ": " + path + ": found " + Found(found) + ", expected " + expected);
}

// The reference chooses the mixer by attention_type and names the run by tmix; here tmix does both.
void Merger::CheckMixers(const Message& message, const std::string& path) {
  const Descriptor& descriptor = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  const auto claim = mixer_claims_.find(path);
  if (claim != mixer_claims_.end() && !claim->second.attention_type.empty()) {
    const auto& [source, type] = claim->second;
    const std::string mixer(MixerOfAttentionType(type));
    const auto text = [&](const char* name) {
      const FieldDescriptor* field = descriptor.FindFieldByName(name);
      return field == nullptr ? "" : reflection.GetString(message, field);
    };
    const std::string where = source.Where() + ": " + path + ".attention_type: ";
    if (mixer.empty()) {
      AddError(where + "found '" + type + "', expected the name of an rwkv6, gla or rwkv7 kernel");
    } else if (!text("tmix").empty() && text("tmix") != mixer && text("tmix2") != mixer) {
      AddError(where + "'" + type + "' is a kernel of " + mixer + ", but " + path + ".tmix is " + text("tmix") +
               "; set tmix to the mixer you mean and leave attention_type out");
    }
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->message_type() == nullptr) continue;
    const std::string name = Join(path, field->name());
    if (!field->is_repeated()) {
      CheckMixers(reflection.GetMessage(message, field), name);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      const Message& entry = reflection.GetRepeatedMessage(message, field, i);
      CheckMixers(entry, Join(name, EntryName(entry, i)));
    }
  }
}

absl::Status Merger::Finish(std::vector<std::string>& notes) {
  CheckMixers(*work_, "");
  if (!errors_.empty()) {
    std::string text;
    for (const std::string& error : errors_) text += (text.empty() ? "" : "\n") + error;
    return missing_files_ == errors_.size() ? absl::NotFoundError(text) : absl::InvalidArgumentError(text);
  }
  for (const std::string& note : notes_) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }
  target_.GetReflection()->Swap(work_.get(), &target_);
  return absl::OkStatus();
}

}  // namespace radlads
