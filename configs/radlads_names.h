// Names of the reference (the RADLADS Python code) that mean something else here, or nothing: one table, as data.
//
// Keys are listed by the message they occur in, so every configuration that holds a ModelConfig or a TrainConfig
// understands them.
#ifndef RADLADS_CONFIGS_RADLADS_NAMES_H_
#define RADLADS_CONFIGS_RADLADS_NAMES_H_

#include <span>
#include <string_view>
#include <vector>

namespace radlads {

// A key that is no knob here.
struct ReferenceKey {
  enum Treatment {
    kNoEffect,  // accepted; `text` says what replaces it
    kOnly,      // accepted with the values `only` (separated by |), refused with any other: `text` says what to do
    kMixer,     // as kNoEffect, but the mixer it names (MixerOfAttentionType) must be the one of tmix or tmix2
    kRefused,   // refused; `text` says what to use instead
  };
  std::string_view message;  // ModelConfig, TrainConfig, ...; "" is the outermost message
  std::string_view key;
  Treatment treatment;
  std::string_view text;
  std::string_view only = {};
};

// A value that is called differently here.
struct ReferenceValue {
  std::string_view message, key;
  std::string_view from;
  std::string_view to;       // "" when it is refused
  std::string_view instead;  // what to use instead of a refused value
};

// A file of the reference's configs/ folder, as a stack of recipes of this repository.
struct ReferenceFile {
  std::string_view name;                // qwen7b.yaml
  std::vector<std::string_view> stack;  // recipes, relative to the folder the file was looked for in
  // The recipes describe the teacher (they are merged into train.teacher), whose path is this.
  std::string_view teacher_path = {};
  // What the reference's file says beyond the recipes, as YAML.
  std::string_view overlay = {};
};

std::span<const ReferenceKey> ReferenceKeys();
std::span<const ReferenceValue> ReferenceValues();
std::span<const ReferenceFile> ReferenceFiles();

// nullptr when there is none.
const ReferenceKey* FindReferenceKey(std::string_view message, std::string_view key);
const ReferenceValue* FindReferenceValue(std::string_view message, std::string_view key, std::string_view value);
const ReferenceFile* FindReferenceFile(std::string_view name);

// The time mixer that a kernel name of the reference (model.attention_type) belongs to: rad_rwkv6, rad_rwkv7,
// or "" for a name of neither.
std::string_view MixerOfAttentionType(std::string_view attention_type);

}  // namespace radlads

#endif  // RADLADS_CONFIGS_RADLADS_NAMES_H_
