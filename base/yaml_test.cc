#include "base/yaml.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

namespace radlads {
namespace {

using Json = nlohmann::json;

// As base/testdata/make_yaml_golden.py writes values; `others` counts what is of no type.
Json Typed(const YamlNode& node, int* others) {
  if (node.IsMap()) {
    Json entries = Json::array();
    for (const auto& [key, value] : node.entries) {
      Json name = Typed(*key, others);
      entries.push_back(Json::array({std::move(name), Typed(*value, others)}));
    }
    return {{"map", entries}};
  }
  if (node.IsList()) {
    Json items = Json::array();
    for (const YamlPointer& item : node.items) items.push_back(Typed(*item, others));
    return {{"list", items}};
  }
  const YamlScalar scalar = ReadYamlScalar(node);
  switch (scalar.type) {
    case YamlScalar::Type::kNull:
      return nullptr;
    case YamlScalar::Type::kBool:
      return scalar.integer != 0;
    case YamlScalar::Type::kInt:
      return scalar.integer;
    case YamlScalar::Type::kFloat:
      if (std::isnan(scalar.real)) return {{"float", "nan"}};
      if (std::isinf(scalar.real)) return {{"float", scalar.real > 0 ? "inf" : "-inf"}};
      return {{"float", scalar.real}};
    case YamlScalar::Type::kString:
      return node.text;
    case YamlScalar::Type::kOther:
      ++*others;
      return {{"other", true}};
  }
  return nullptr;
}

std::vector<Json> Golden() {
  std::ifstream file("base/testdata/yaml_golden.jsonl");
  EXPECT_TRUE(file.good());
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(Json::parse(line));
  return rows;
}

TEST(Yaml, ReadsAsPyYaml) {
  const std::vector<Json> golden = Golden();
  ASSERT_GT(golden.size(), 1000u);
  for (const Json& row : golden) {
    const auto root = ParseYaml(row["yaml"].get<std::string>(), "t.yaml");
    int others = 0;
    if (row.contains("error")) {
      // A tag that PyYAML does not know, or that does not fit, is left to the caller.
      if (root.ok()) Typed(**root, &others);
      EXPECT_TRUE(!root.ok() || others > 0) << row;
      continue;
    }
    ASSERT_TRUE(root.ok()) << row << root.status();
    EXPECT_EQ(Typed(**root, &others), row["value"]) << row;
  }
}

std::string Refusal(const std::string& text, const YamlOptions& options = {}) {
  const auto root = ParseYaml(text, "t.yaml", options);
  EXPECT_EQ(root.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(root.status().message());
}

TEST(Yaml, LinesAndTagsAreKept) {
  const auto root = ParseYaml("# c\na: 1\nb:\n  - x\n  - !function u.f\n", "t.yaml");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ((*root)->Find("a")->line, 2);
  const YamlNode& list = *(*root)->Find("b");
  EXPECT_EQ(list.line, 4);
  EXPECT_EQ(list.items[1]->line, 5);
  EXPECT_EQ(list.items[1]->tag, "!function");
  EXPECT_EQ(list.items[1]->text, "u.f");
  EXPECT_EQ((*root)->Find("c"), nullptr);
  EXPECT_TRUE((*ParseYaml("", "t.yaml"))->IsNull());
}

TEST(Yaml, ErrorsNameFileLineAndReason) {
  EXPECT_EQ(Refusal("a: 1\nb: [\n").substr(0, 19), "t.yaml:3: not YAML:");
  EXPECT_EQ(Refusal("a: \n  b\n\x01"), "t.yaml:3: not YAML: control characters are not allowed");
  EXPECT_EQ(Refusal("a: 1\nb: \xff"), "t.yaml:2: not YAML: invalid leading UTF-8 octet");
  EXPECT_EQ(Refusal("a: 1\nb: *c"), "t.yaml:2: not YAML: the alias *c has no anchor &c before it");
  EXPECT_EQ(Refusal("a: &c [*c]"), "t.yaml:1: the alias *c stands within what it names");
  EXPECT_EQ(Refusal("a: 1\n---\nb: 2"), "t.yaml:2: found a second document, expected one in the file");
  EXPECT_EQ(Refusal("? [a]\n: 1"), "t.yaml:1: found a list as a key, expected a scalar");
  EXPECT_EQ(Refusal("a: 1\nb: 2\na: 3", {.unique_keys = true}), "t.yaml:3: a: given twice in one map, first on line 1");
  EXPECT_TRUE(ParseYaml("a: &x {k: 1}\nb: {<<: *x, k: 2}", "t.yaml", {.unique_keys = true}).ok()) << "a merge is no repetition";
}

// A text of a kilobyte may stand for more values than memory has room for.
TEST(Yaml, BoundsHoldWithAliases) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 0; k < 8; ++k) bomb += ", " + before;
    bomb += "]\n";
  }
  EXPECT_NE(Refusal(bomb).find("more than 1000000 values"), std::string::npos);
  EXPECT_NE(Refusal(std::string(100000, '[')).find("more than 64 deep"), std::string::npos);
  EXPECT_TRUE(ParseYaml(std::string(64, '[') + std::string(64, ']'), "t.yaml").ok());
  std::string deep = "a0: &a0 [x]\n";
  for (int i = 1; i < 70; ++i) deep += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  EXPECT_NE(Refusal(deep).find("more than 64 deep"), std::string::npos);
  std::string merges = "a0: &a0 {k0: 1}\n";
  for (int i = 1; i < 60; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    merges += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " {<<: [" + before + ", " + before + ", " + before + "]}\n";
  }
  EXPECT_NE(Refusal(merges).find("more than 1000000 values"), std::string::npos);
  EXPECT_NE(Refusal("[a, b, c]", {.max_nodes = 3}).find("more than 3 values"), std::string::npos);
  EXPECT_TRUE(ParseYaml("[a, b]", "t.yaml", {.max_nodes = 3}).ok());
}

TEST(Yaml, DamagedTextIsReadOrRefused) {
  const std::vector<Json> golden = Golden();
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string text = golden[random() % golden.size()]["yaml"];
    const std::string other = golden[random() % golden.size()]["yaml"];
    text.insert(random() % (text.size() + 1), other.substr(0, random() % (other.size() + 1)));
    if (!text.empty()) text[random() % text.size()] = static_cast<char>(random() % 4 == 0 ? random() : "&*-:[{'\"\n!|>"[random() % 12]);
    const auto root = ParseYaml(text, "t.yaml");
    int others = 0;
    if (root.ok()) Typed(**root, &others);
  }
}

}  // namespace
}  // namespace radlads
