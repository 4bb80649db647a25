// YAML 1.1 from outside, as Python's PyYAML reads it (its C parser, libyaml, is the one here too), with bounds on depth
// and size that hold while a text is parsed.
//
// A text is one document. What is not read: more documents, keys that are lists or maps, aliases within what they name.
// Aliases are their anchors' nodes; merge keys (<<) are resolved (of two maps that are merged, the first counts).
// Errors are INVALID_ARGUMENT: "NAME:LINE: reason".
#ifndef RADLADS_BASE_YAML_H_
#define RADLADS_BASE_YAML_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace radlads {

struct YamlNode;
using YamlPointer = std::shared_ptr<const YamlNode>;  // never null

struct YamlNode {
  enum class Kind { kScalar, kList, kMap };
  Kind kind = Kind::kScalar;
  int line = 0;        // where it begins, from 1
  std::string tag;     // as it is resolved: "!function", "tag:yaml.org,2002:str"; "" where none is written
  std::string text;    // of a scalar, in UTF-8
  bool plain = false;  // a scalar without quotes that is no block: its text says of which type it is
  std::vector<YamlPointer> items;                             // of a list
  std::vector<std::pair<YamlPointer, YamlPointer>> entries;   // of a map, in the order of its keys, which are scalars

  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsList() const { return kind == Kind::kList; }
  bool IsMap() const { return kind == Kind::kMap; }
  bool IsNull() const;  // a scalar that is nothing, ~ or null
  // The value of a key of a map, or null; of another node, null.
  const YamlNode* Find(std::string_view key) const;
};

struct YamlOptions {
  int max_depth = 64;              // lists and maps within each other
  int64_t max_nodes = 1'000'000;   // lists, maps and scalars, those of an alias again for each of its uses
  bool unique_keys = false;        // a map with the same key twice is an error; otherwise the last value counts
};

// `name` stands for the text in messages. Takes at most 400 bytes for each node that is written, and twice the text.
absl::StatusOr<YamlPointer> ParseYaml(std::string_view text, const std::string& name, const YamlOptions& options = {});

// What PyYAML's safe loader makes of a scalar. kOther: a tag of its own, a time, a number beyond 64 bits.
struct YamlScalar {
  enum class Type { kNull, kBool, kInt, kFloat, kString, kOther };
  Type type = Type::kString;
  int64_t integer = 0;  // of kInt, and 0 or 1 of kBool
  double real = 0;      // of kFloat
};
YamlScalar ReadYamlScalar(const YamlNode& scalar);

}  // namespace radlads

#endif  // RADLADS_BASE_YAML_H_
