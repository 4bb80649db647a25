#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/tasks/python_random.h"
#include "eval/tasks/python_text.h"

namespace radlads {
namespace {

nlohmann::json ReadGolden(const std::string& name) {
  std::ifstream file("eval/testdata/" + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

TEST(PythonRandom, SamplesAndChoosesAsPython) {
  const auto golden = ReadGolden("python_random.json");
  for (const auto& part : golden["sample"]) {
    PythonRandom random(part["seed"].get<uint64_t>());
    for (const auto& row : part["rows"]) {
      EXPECT_EQ(random.Sample(part["n"], row["k"]), row["picked"].get<std::vector<uint32_t>>())
          << "seed " << part["seed"] << ", " << row["k"] << " of " << part["n"];
    }
  }
  for (const auto& part : golden["choices"]) {
    PythonRandom random(part["seed"].get<uint64_t>());
    for (const auto& picked : part["picked"]) {
      for (const auto& index : picked) EXPECT_EQ(random.Choice(part["n"]), index.get<uint32_t>());
    }
  }
}

TEST(PythonText, CountsWordsAsPython) {
  const auto golden = ReadGolden("metrics_golden.json");
  for (const auto& row : golden["words"]) {
    EXPECT_EQ(SpaceSeparatedParts(row["text"].get<std::string>()), row["words"].get<int64_t>()) << row;
  }
}

TEST(PythonText, StripsAndMeasures) {
  EXPECT_EQ(WithoutTrailingSpace("a b \n\u00a0\u3000\x1c"), "a b");
  EXPECT_EQ(WithoutTrailingSpace(" \t"), "");
  EXPECT_EQ(WithoutTrailingSpace("a\u200b"), "a\u200b") << "a zero-width space is no space";
  EXPECT_EQ(Characters("“é”"), 3);
  EXPECT_TRUE(IsDigits("012"));
  EXPECT_FALSE(IsDigits(""));
  EXPECT_FALSE(IsDigits("-1"));
  EXPECT_EQ(Lowercase("ÉCOLE Δx"), "école δx");
}

}  // namespace
}  // namespace radlads
