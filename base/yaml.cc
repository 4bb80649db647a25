#include "base/yaml.h"

#include <re2/re2.h>
#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include "base/status.h"

namespace radlads {
namespace {

constexpr std::string_view kTagPrefix = "tag:yaml.org,2002:";

std::string Text(const yaml_char_t* text) { return text == nullptr ? "" : reinterpret_cast<const char*>(text); }

bool IsMergeKey(const YamlNode& key) {
  return key.IsScalar() && (key.tag == "tag:yaml.org,2002:merge" || (key.plain && key.tag.empty() && key.text == "<<"));
}

using Entry = std::pair<YamlPointer, YamlPointer>;

// Two keys are one where Python's dict has one of them: the same text of the same type.
std::pair<YamlScalar::Type, std::string> KeyOf(const Entry& entry) {
  return {ReadYamlScalar(*entry.first).type, entry.first->text};
}

// A node with what it counts for.
struct Built {
  YamlPointer node;
  int64_t size = 1;  // nodes, those of aliases too
  int depth = 0;     // of lists and maps
};

class Composer {
 public:
  Composer(std::string_view text, const std::string& name, const YamlOptions& options)
      : text_(text), name_(name), options_(options) {
    RADLADS_CHECK(yaml_parser_initialize(&parser_) != 0);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  Composer(const Composer&) = delete;
  ~Composer() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }

  absl::StatusOr<YamlPointer> Run() {
    RADLADS_RETURN_IF_ERROR(Next());  // the stream begins
    RADLADS_RETURN_IF_ERROR(Next());
    if (event_.type == YAML_STREAM_END_EVENT) {
      auto nothing = std::make_shared<YamlNode>();
      nothing->line = 1;
      nothing->plain = true;
      return nothing;
    }
    RADLADS_RETURN_IF_ERROR(Next());  // the document begins
    RADLADS_ASSIGN_OR_RETURN(const Built root, Node(0));
    RADLADS_RETURN_IF_ERROR(Next());  // it ends
    RADLADS_RETURN_IF_ERROR(Next());
    if (event_.type != YAML_STREAM_END_EVENT) return Error(Line(), "found a second document, expected one in the file");
    return root.node;
  }

 private:
  int Line() const { return static_cast<int>(event_.start_mark.line) + 1; }

  template <typename... Args>
  absl::Status Error(int line, const Args&... args) const {
    return InvalidArgument(name_, ":", line, ": ", args...);
  }

  // The parser's next event into event_.
  absl::Status Next() {
    yaml_event_delete(&event_);
    if (yaml_parser_parse(&parser_, &event_) != 0) return absl::OkStatus();
    event_ = {};
    const std::string problem = Concatenate("not YAML: ", parser_.problem == nullptr ? "" : parser_.problem);
    if (parser_.error == YAML_READER_ERROR) {
      const std::string_view before = text_.substr(0, std::min(parser_.problem_offset, text_.size()));
      return Error(static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1, problem);
    }
    return Error(static_cast<int>(parser_.problem_mark.line) + 1, problem, parser_.context == nullptr ? "" : " ",
                 parser_.context == nullptr ? "" : parser_.context, " (column ", parser_.problem_mark.column + 1, ")");
  }

  // The node that event_ begins; event_ is its last one afterwards. `depth`: of lists and maps around it.
  absl::StatusOr<Built> Node(int depth) {
    const int line = Line();
    if (++written_ > options_.max_nodes) return TooLarge(line);
    if (event_.type == YAML_ALIAS_EVENT) {
      const std::string anchor = Text(event_.data.alias.anchor);
      const auto found = anchors_.find(anchor);
      if (found == anchors_.end()) return Error(line, "not YAML: the alias *", anchor, " has no anchor &", anchor, " before it");
      if (!found->second) return Error(line, "the alias *", anchor, " stands within what it names");
      if (depth + found->second->depth > options_.max_depth) return TooDeep(line);
      return *found->second;
    }
    auto node = std::make_shared<YamlNode>();
    node->line = line;
    Built built;
    std::string anchor;
    if (event_.type == YAML_SCALAR_EVENT) {
      const auto& scalar = event_.data.scalar;
      anchor = Text(scalar.anchor);
      node->tag = Text(scalar.tag);
      node->text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
      node->plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
      RADLADS_RETURN_IF_ERROR(Name(anchor, line));
    } else {
      if (depth == options_.max_depth) return TooDeep(line);
      const bool list = event_.type == YAML_SEQUENCE_START_EVENT;
      node->kind = list ? YamlNode::Kind::kList : YamlNode::Kind::kMap;
      anchor = Text(list ? event_.data.sequence_start.anchor : event_.data.mapping_start.anchor);
      node->tag = Text(list ? event_.data.sequence_start.tag : event_.data.mapping_start.tag);
      RADLADS_RETURN_IF_ERROR(Name(anchor, line));
      RADLADS_RETURN_IF_ERROR(list ? List(*node, built, depth) : Map(*node, built, depth));
      ++built.depth;
    }
    built.node = std::move(node);
    if (built.size > options_.max_nodes) return TooLarge(line);
    if (!anchor.empty()) anchors_[anchor] = built;
    return built;
  }

  absl::Status Name(const std::string& anchor, int line) {
    if (anchor.empty() || anchors_.emplace(anchor, std::nullopt).second) return absl::OkStatus();
    return Error(line, "not YAML: the anchor &", anchor, " is there twice");
  }

  absl::Status TooLarge(int line) const { return Error(line, "more than ", options_.max_nodes, " values, with those of aliases"); }
  absl::Status TooDeep(int line) const { return Error(line, "lists and maps within each other more than ", options_.max_depth, " deep"); }

  static void Add(const Built& part, Built& whole) {
    whole.size += part.size;  // each at most max_nodes, and at most max_nodes of them
    whole.depth = std::max(whole.depth, part.depth);
  }

  absl::Status List(YamlNode& node, Built& built, int depth) {
    while (true) {
      RADLADS_RETURN_IF_ERROR(Next());
      if (event_.type == YAML_SEQUENCE_END_EVENT) return absl::OkStatus();
      RADLADS_ASSIGN_OR_RETURN(const Built item, Node(depth + 1));
      Add(item, built);
      if (built.size > options_.max_nodes) return TooLarge(node.line);
      node.items.push_back(item.node);
    }
  }

  absl::Status Map(YamlNode& node, Built& built, int depth) {
    std::vector<Entry> own, merged;
    while (true) {
      RADLADS_RETURN_IF_ERROR(Next());
      if (event_.type == YAML_MAPPING_END_EVENT) break;
      RADLADS_ASSIGN_OR_RETURN(const Built key, Node(depth + 1));
      RADLADS_RETURN_IF_ERROR(Next());
      RADLADS_ASSIGN_OR_RETURN(const Built value, Node(depth + 1));
      if (!key.node->IsScalar()) return Error(key.node->line, "found a ", key.node->IsList() ? "list" : "map", " as a key, expected a scalar");
      Add(key, built);
      Add(value, built);
      if (built.size > options_.max_nodes) return TooLarge(node.line);
      if (!IsMergeKey(*key.node)) {
        own.emplace_back(key.node, value.node);
      } else {
        RADLADS_RETURN_IF_ERROR(Merge(*key.node, *value.node, merged));
      }
    }
    // A key counts where it first stands, with its last value.
    std::map<std::pair<YamlScalar::Type, std::string>, size_t> places;
    const auto add = [&](const Entry& entry) {
      const auto [place, is_new] = places.try_emplace(KeyOf(entry), node.entries.size());
      if (is_new) {
        node.entries.push_back(entry);
      } else {
        node.entries[place->second] = entry;
      }
    };
    for (const Entry& entry : merged) add(entry);
    std::map<std::pair<YamlScalar::Type, std::string>, int> lines;
    for (const Entry& entry : own) {
      const auto [first, is_new] = lines.try_emplace(KeyOf(entry), entry.first->line);
      if (!is_new && options_.unique_keys) {
        return Error(entry.first->line, entry.first->text, ": given twice in one map, first on line ", first->second);
      }
      add(entry);
    }
    return absl::OkStatus();
  }

  // <<: a map, or a list of maps; of two with the same key the first counts.
  absl::Status Merge(const YamlNode& key, const YamlNode& value, std::vector<Entry>& merged) const {
    const auto add = [&](const YamlNode& map) {
      for (const Entry& entry : map.entries) {
        const auto same = [&](const Entry& other) { return KeyOf(other) == KeyOf(entry); };
        if (std::none_of(merged.begin(), merged.end(), same)) merged.push_back(entry);
      }
    };
    if (value.IsMap()) {
      add(value);
      return absl::OkStatus();
    }
    const bool maps = value.IsList() && std::all_of(value.items.begin(), value.items.end(), [](const auto& i) { return i->IsMap(); });
    if (!maps) return Error(key.line, "<< has no map to merge, expected a map or a list of maps");
    for (const YamlPointer& item : value.items) add(*item);
    return absl::OkStatus();
  }

  const std::string_view text_;
  const std::string& name_;
  const YamlOptions options_;
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  int64_t written_ = 0;
  std::map<std::string, std::optional<Built>> anchors_;  // nothing while the node is not complete
};

// The plain scalars that PyYAML reads as booleans; the group holds those that are false.
const RE2& BoolPattern() {
  static const RE2& pattern = *new RE2("yes|Yes|YES|true|True|TRUE|on|On|ON|(no|No|NO|false|False|FALSE|off|Off|OFF)");
  return pattern;
}
const RE2& IntPattern() {
  static const RE2& pattern = *new RE2("[-+]?(?:0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)");
  return pattern;
}
const RE2& FloatPattern() {
  static const RE2& pattern = *new RE2(
      "[-+]?(?:[0-9][0-9_]*)\\.[0-9_]*(?:[eE][-+][0-9]+)?|\\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|"
      "[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\\.[0-9_]*|[-+]?\\.(?:inf|Inf|INF)|\\.(?:nan|NaN|NAN)");
  return pattern;
}
const RE2& TimePattern() {
  static const RE2& pattern = *new RE2(
      "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]|"
      "[0-9][0-9][0-9][0-9]-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \\t]+)[0-9][0-9]?:[0-9][0-9]:[0-9][0-9](?:\\.[0-9]*)?"
      "(?:[ \\t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?");
  return pattern;
}

// "1:30" is 90. The parts of `digits` between colons, the last of which may be a fraction.
double Sexagesimal(std::string_view digits) {
  double value = 0;
  while (true) {
    const size_t colon = digits.find(':');
    value = value * 60 + std::strtod(std::string(digits.substr(0, colon)).c_str(), nullptr);
    if (colon == std::string_view::npos) return value;
    digits.remove_prefix(colon + 1);
  }
}

YamlScalar IntOf(std::string_view digits, bool negative) {
  using Type = YamlScalar::Type;
  if (digits.find(':') != std::string_view::npos) {
    const double value = Sexagesimal(digits);
    if (value >= 0x1p53) return {.type = Type::kOther};
    return {.type = Type::kInt, .integer = static_cast<int64_t>(negative ? -value : value)};
  }
  int base = 10;
  if (digits.starts_with("0b") || digits.starts_with("0x")) {
    base = digits[1] == 'b' ? 2 : 16;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits[0] == '0') {
    base = 8;
    digits.remove_prefix(1);
  }
  const std::string text = (negative ? "-" : "") + std::string(digits);
  int64_t value;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value, base);
  const bool read = end.ec == std::errc() && end.ptr == text.data() + text.size();
  return {.type = read ? Type::kInt : Type::kOther, .integer = read ? value : 0};
}

}  // namespace

bool YamlNode::IsNull() const { return IsScalar() && ReadYamlScalar(*this).type == YamlScalar::Type::kNull; }

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name->text == key) return value.get();
  }
  return nullptr;
}

YamlScalar ReadYamlScalar(const YamlNode& scalar) {
  using Type = YamlScalar::Type;
  const std::string& text = scalar.text;
  std::string_view tag = scalar.tag;
  if (tag == "!") tag = "";  // says no more than the quotes do
  if (!tag.empty() && !tag.starts_with(kTagPrefix)) return {.type = Type::kOther};
  if (!tag.empty()) tag.remove_prefix(kTagPrefix.size());
  if (tag == "str" || (tag.empty() && !scalar.plain)) return {.type = Type::kString};
  const bool any = tag.empty();
  if ((any && (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")) || tag == "null") {
    return {.type = Type::kNull};
  }
  if (any && (text == "=" || text == "<<")) return {.type = Type::kOther};
  re2::StringPiece no;
  if ((any || tag == "bool") && RE2::FullMatch(text, BoolPattern(), &no)) {
    return {.type = Type::kBool, .integer = no.empty()};
  }
  const bool is_int = RE2::FullMatch(text, IntPattern()), is_float = RE2::FullMatch(text, FloatPattern());
  std::string digits = text;
  std::erase(digits, '_');
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  if (is_int && (any || tag == "int")) return IntOf(digits, negative);
  double decimal;
  const char* const end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, decimal);
  if (tag == "float" && !is_float && !is_int && read.ec == std::errc() && read.ptr == end) {
    return {.type = Type::kFloat, .real = negative ? -decimal : decimal};
  }
  if ((is_float && any) || ((is_float || is_int) && tag == "float")) {
    double value = Sexagesimal(digits);
    if (digits.size() == 4 && digits[0] == '.' && (digits[1] == 'i' || digits[1] == 'I')) value = INFINITY;
    if (digits.size() == 4 && digits[0] == '.' && (digits[1] == 'n' || digits[1] == 'N')) value = NAN;
    return {.type = Type::kFloat, .real = negative ? -value : value};
  }
  if (!any || RE2::FullMatch(text, TimePattern())) return {.type = Type::kOther};
  return {.type = Type::kString};
}

absl::StatusOr<YamlPointer> ParseYaml(std::string_view text, const std::string& name, const YamlOptions& options) {
  return Composer(text, name, options).Run();
}

}  // namespace radlads
