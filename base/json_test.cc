#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/status.h"

namespace radlads {
namespace {

using testing::HasSubstr;

std::string Error(std::string_view text, const JsonOptions& options = {}) {
  const absl::StatusOr<nlohmann::json> json = ParseJson(text, options);
  const absl::StatusOr<nlohmann::ordered_json> ordered = ParseOrderedJson(text, options);
  EXPECT_EQ(json.status(), ordered.status());
  EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(json.status().message());
}

TEST(Json, ReadsWhatNlohmannReads) {
  for (const char* text : {"null",
                           "true",
                           " [false] ",
                           "0",
                           "-0",
                           "-1",
                           "9223372036854775807",
                           "-9223372036854775808",
                           "18446744073709551615",
                           "18446744073709551616",
                           "-9223372036854775809",
                           "1.5",
                           "-2.5e-3",
                           "1E+2",
                           "1e-400",
                           "123456789012345678901234567890",
                           "0.1",
                           "5.0",
                           R"("")",
                           R"("a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀")",
                           "[]",
                           "{}",
                           R"([1,[2,[3,{}]],"x"])",
                           R"({"b":1,"a":{"c":[{"d":null}]},"":[]})",
                           "\xef\xbb\xbf[1]",
                           "\"\\u0000\""}) {
    const absl::StatusOr<nlohmann::json> json = ParseJson(text);
    ASSERT_TRUE(json.ok()) << text << ": " << json.status();
    const nlohmann::json expected = nlohmann::json::parse(text);
    EXPECT_EQ(*json, expected) << text;
    EXPECT_EQ(json->type(), expected.type()) << text;
    EXPECT_EQ(ParseOrderedJson(text)->dump(), nlohmann::ordered_json::parse(text).dump()) << text;
  }
}

TEST(Json, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(Error(R"({"a":1,})"), R"(not JSON: at byte 7, "}": expected a key in double quotes)");
  EXPECT_EQ(Error("{'a':1}"), R"(not JSON: at byte 1, "'a':1}": expected a key in double quotes)");
  EXPECT_EQ(Error("[1 2]"), R"(not JSON: at byte 3, "2]": expected a comma or ] after the value of a list)");
  EXPECT_EQ(Error(R"({"a" 1})"), R"(not JSON: at byte 5, "1}": expected a colon after the key)");
  EXPECT_EQ(Error(R"({"a":1 "b":2})"),
            R"(not JSON: at byte 7, "\"b\":2}": expected a comma or } after the value of a key)");
  EXPECT_EQ(Error("[1]]"), R"(not JSON: at byte 3, "]": expected the end of the text after the value)");
  EXPECT_EQ(Error(R"({"a":NaN})"), R"(not JSON: at byte 5, "NaN}": expected a value)");
  EXPECT_EQ(Error(""), "not JSON: at byte 0, the end of the text: there is no value");
  EXPECT_EQ(Error("[1"), "not JSON: at byte 2, the end of the text: expected a comma or ] after the value of a list");
  EXPECT_EQ(Error("[1e999]"), R"(not JSON: at byte 1, "1e999]": this number is too large for a double)");
  EXPECT_THAT(Error("[\"\xff\"]"), HasSubstr("not JSON: at byte 2, \"\\xff\\\"]\": these bytes are not UTF-8"));
  EXPECT_THAT(Error("[\"\xc0\x80\"]"), HasSubstr("not UTF-8"));
  EXPECT_THAT(Error("[\"\x01\"]"),
              HasSubstr("at byte 2, \"\\x01\\\"]\": a control character in a string must be escaped"));
  EXPECT_THAT(Error(R"(["\x"])"), HasSubstr("there is no such escape"));
  EXPECT_THAT(Error(R"(["a\ud800b"])"), HasSubstr("at byte 3, \"\\\\ud800b\\\"]\": half of a surrogate pair"));
  EXPECT_THAT(Error(R"(["\udc00"])"), HasSubstr("half of a surrogate pair"));
  EXPECT_THAT(Error(R"({"\udc00":1})"), HasSubstr("half of a surrogate pair"));
  EXPECT_THAT(Error(std::string_view("[1]\0", 4)), HasSubstr("at byte 3 there is a NUL"));
  EXPECT_THAT(Error(R"(["a)"), HasSubstr("a string does not end"));
  for (const char* text :
       {"[01]", "[+1]", "[.5]", "[1.]", "[1e]", "[-]", "[0x1]", "[tru]", "[Infinity]", "//\n1", "[1,]"}) {
    EXPECT_THAT(Error(text), HasSubstr("not JSON: at byte ")) << text;
  }
}

TEST(Json, IsBounded) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParseJson(nested(64)).ok());
  EXPECT_EQ(Error(nested(65)), "lists and objects are nested more than 64 deep (at byte 65)");
  EXPECT_THAT(Error(std::string(100'000'000, '[')), HasSubstr("nested more than 64 deep"));
  JsonOptions options{.max_values = 5};
  EXPECT_TRUE(ParseJson("[1,2,3,4]", options).ok());
  EXPECT_THAT(Error("[1,2,3,4,5]", options), HasSubstr("more than 5 values (at byte "));
  EXPECT_TRUE(ParseJson(R"({"a":1,"b":2})", options).ok());
  EXPECT_THAT(Error(R"({"a":1,"b":2,"c":3})", options), HasSubstr("more than 5 values"));

  const absl::StatusOr<JsonSize> size = MeasureJson(R"({"key":["four",1,{"x":[]}]})");
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(size->depth, 4);
  EXPECT_EQ(size->values, 8);
  EXPECT_EQ(size->string_bytes, 8);
  EXPECT_EQ(MeasureJson(nested(65)).status(), ParseJson(nested(65)).status());
}

TEST(Json, TakesPythonsNumbersWhenAsked) {
  const JsonOptions python{.python_numbers = true};
  const auto json = ParseJson(R"([NaN, Infinity, -Infinity, 1e999, -1e999, 1e-999, 1, "1e999\"1e999"])", python);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_TRUE(std::isnan((*json)[0].get<double>()));
  EXPECT_EQ((*json)[1], INFINITY);
  EXPECT_EQ((*json)[2], -INFINITY);
  EXPECT_EQ((*json)[3], INFINITY);
  EXPECT_EQ((*json)[4], -INFINITY);
  EXPECT_EQ((*json)[5], 0.0);
  EXPECT_EQ((*json)[6], 1);
  EXPECT_EQ((*json)[7], "1e999\"1e999");
  EXPECT_EQ(ParseJson("\xef\xbb\xbf[1e999]", python)->front(), INFINITY);
  EXPECT_EQ(ParseJson(std::string(400, '1'), python)->get<double>(), INFINITY);
  EXPECT_FALSE(ParseJson(std::string(400, '1')).ok());
  EXPECT_THAT(Error("[0e999]", python), HasSubstr("this number is too large"));  // as RapidJSON has it
  EXPECT_EQ(Error("[1e999,}", python), R"(not JSON: at byte 7, "}": expected a value)");
  EXPECT_TRUE(MeasureJson("[NaN]", python).ok());
  EXPECT_FALSE(MeasureJson("[NaN]").ok());
}

TEST(Json, LastOfEqualKeysCountsUnlessTheyMustBeUnique) {
  const char* text = R"({"a":1,"b":{"a":2},"a":[3]})";
  EXPECT_EQ(ParseJson(text)->at("a"), nlohmann::json({3}));
  EXPECT_EQ(ParseOrderedJson(text)->dump(), R"({"a":[3],"b":{"a":2}})");
  EXPECT_THAT(Error(text, {.unique_keys = true}), HasSubstr("the key \"a\" appears twice in one object"));
}

TEST(Json, OrderedObjectsOfManyKeysAreReadQuickly) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += Concatenate(i ? "," : "", "\"", i, "\":0");
  EXPECT_EQ(ParseOrderedJson(text + "}")->size(), 200'000);  // hours, when every key looks at all before it
}

TEST(Json, QuotesForMessages) {
  EXPECT_EQ(Quoted("a\"b\\c\n\x1b\x7f\xff é"), "\"a\\\"b\\\\c\\n\\x1b\\x7f\\xff é\"");
  EXPECT_EQ(Quoted("abcdef", 3), "\"abc\"...");
  EXPECT_EQ(Quoted("ab😀", 3), "\"ab\"...");
  EXPECT_EQ(Quoted(""), "\"\"");
}

}  // namespace
}  // namespace radlads
