#include "serve/text/growing_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace radlads {
namespace {

using Json = nlohmann::json;

enum class Verdict { kWrong, kOpen, kComplete };

Verdict Judge(std::string_view text) {
  GrowingJson json;
  if (!json.Append(text)) return Verdict::kWrong;
  return json.complete() ? Verdict::kComplete : Verdict::kOpen;
}

TEST(GrowingJson, ObjectsAreTakenByteByByte) {
  for (const std::string text :
       {R"({})", R"({"a":1})", R"( {"a" : [ ] , "b":{"c":null}})", R"({"n":[0,-0,1.5,-12e3,1E+9,0.25e-7,true,false]})",
        R"({"s":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00 é € 😀"})",
        "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"\"\n    }\n  ]\n}"}) {
    ASSERT_TRUE(Json::accept(text)) << text;
    EXPECT_EQ(Judge(text), Verdict::kComplete) << text;
    for (size_t size = 0; size < text.size(); ++size)
      EXPECT_EQ(Judge(text.substr(0, size)), Verdict::kOpen) << text << size;
    EXPECT_EQ(Judge(text + " "), Verdict::kWrong) << "something after " << text;
  }
}

TEST(GrowingJson, WhatIsNoObjectIsRefusedAtItsFirstWrongByte) {
  // The last byte is the wrong one.
  for (const std::string text : {"[",
                                 "1",
                                 "\"",
                                 "x",
                                 "{]",
                                 "{1",
                                 "{a",
                                 "{,",
                                 "{\"a\",",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":,",
                                 "{\"a\":1,}",
                                 "{\"a\":[1,]",
                                 "{\"a\":[}",
                                 "{\"a\":[1}",
                                 "{\"a\":1]",
                                 "{\"a\":1 1",
                                 "{\"a\":01",
                                 "{\"a\":--",
                                 "{\"a\":-}",
                                 "{\"a\":.",
                                 "{\"a\":1..",
                                 "{\"a\":1.}",
                                 "{\"a\":1e}",
                                 "{\"a\":1e+}",
                                 "{\"a\":1ee",
                                 "{\"a\":+",
                                 "{\"a\":tt",
                                 "{\"a\":nulx",
                                 "{\"a\":T",
                                 "{\"a\":'",
                                 "{\"a\n",
                                 "{\"a\":\"\t",
                                 "{\"\\x",
                                 "{\"\\u12g",
                                 "{\"\\uDC",
                                 "{\"\\uD83D\"",
                                 "{\"\\uD83D\\n",
                                 "{\"\\uD83D\\u00",
                                 "{\"\x80",
                                 "{\"\xC0",
                                 "{\"\xC3\"",
                                 "{\"\xC3\xC3",
                                 "{\"\xE0\x80",
                                 "{\"\xED\xA0",
                                 "{\"\xF0\x80",
                                 "{\"\xF4\x90",
                                 "{\"\xF5",
                                 "{}}",
                                 "{/"}) {
    const std::string before = text.substr(0, text.size() - 1);
    EXPECT_NE(Judge(before), Verdict::kWrong) << text;
    EXPECT_EQ(Judge(text), Verdict::kWrong) << text;
  }
}

TEST(GrowingJson, NothingGoesOnForEver) {
  const std::string open = "{\"a\":";
  EXPECT_EQ(Judge(open + std::string(10, ' ')), Verdict::kOpen);
  EXPECT_EQ(Judge(open + std::string(11, ' ')), Verdict::kWrong);
  EXPECT_EQ(Judge(open + std::string(63, '[')), Verdict::kOpen);
  EXPECT_EQ(Judge(open + std::string(64, '[')), Verdict::kWrong);
  EXPECT_EQ(Judge(open + std::string(63, '[') + std::string(63, ']') + "}"), Verdict::kComplete);
  for (const std::string& number : {std::string(64, '1'), "-1." + std::string(61, '1'), std::string(58, '1') + "e-99",
                                    "0." + std::string(56, '1') + "E+99"}) {
    EXPECT_EQ(Judge(open + number + "}"), Verdict::kComplete) << number;
    EXPECT_TRUE(Json::accept(open + number + "}")) << number;
    EXPECT_EQ(Judge(open + number + "1"), Verdict::kWrong) << number;
  }
  EXPECT_EQ(Judge(open + std::string(59, '1') + "e"), Verdict::kWrong);
  EXPECT_EQ(Judge(open + std::string(59, '1') + "."), Verdict::kWrong);
}

// Whatever is written by bytes that it allows is JSON once it is complete: drawn at random, with what ends things
// likelier the longer it is.
TEST(GrowingJson, WhatItAllowsIsJson) {
  std::mt19937 random(5);
  int completed = 0;
  for (int text_number = 0; text_number < 2000; ++text_number) {
    GrowingJson json;
    std::string text;
    while (!json.complete() && text.size() < 400) {
      static constexpr char kEnds[] = "\"}]}]},:1u0";
      const bool ends = random() % 400 < 20 + text.size();
      const char byte = ends ? kEnds[random() % (sizeof(kEnds) - 1)] : static_cast<char>(random() % 256);
      GrowingJson next = json;
      if (!next.Append(std::string_view(&byte, 1))) continue;
      json = next;
      text += byte;
    }
    if (!json.complete()) continue;
    ++completed;
    EXPECT_TRUE(Json::accept(text)) << text;
  }
  EXPECT_GT(completed, 500) << "the test shows little";
}

// And what JSON is made with one byte changed is refused, or is JSON.
TEST(GrowingJson, ChangedBytesAreSeen) {
  const std::string text = R"({"name":"é\u00e9\uD83D\uDE00","list":[1,-2.5e+3,true,null,{"x":{}}],"deep":[[[]]]})";
  int refused = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[at] = static_cast<char>(byte);
      const Verdict verdict = Judge(changed);
      refused += verdict == Verdict::kWrong;
      if (verdict != Verdict::kComplete) continue;
      EXPECT_TRUE(Json::accept(changed)) << changed;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace radlads
