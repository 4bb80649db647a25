#include "serve/transport/request_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr RequestPath kPaths[] = {RequestPath::kServeChat, RequestPath::kServeCompletions, RequestPath::kEvalChat,
                                  RequestPath::kEvalCompletions};

std::string Refusal(const Json& json, RequestPath path = RequestPath::kServeChat) {
  const absl::Status status = CheckFields(json, path);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << json << status;
  return std::string(status.message());
}

TEST(RequestFields, TheListIsInOrderAndWhole) {
  std::string_view last;
  for (const RequestField& field : RequestFields()) {
    EXPECT_LT(last, field.name);
    last = field.name;
    ASSERT_EQ(std::string_view(field.uses).size(), kRequestPaths) << field.name;
    EXPECT_EQ(std::string_view(field.uses).find_first_not_of("ht-x"), std::string_view::npos) << field.name;
    EXPECT_TRUE(Json::accept(Concatenate("[", field.neutral, "]"))) << field.name;
  }
}

// In everyone's words, whatever the path.
TEST(RequestFields, AConstraintIsRefusedByName) {
  for (const char* name : {"guided_json",
                           "guided_regex",
                           "guided_choice",
                           "guided_grammar",
                           "guided_anything",
                           "structured_outputs",
                           "grammar",
                           "regex",
                           "ebnf",
                           "json_schema",
                           "choice",
                           "bad_words",
                           "typical_p",
                           "mirostat",
                           "dry_multiplier",
                           "xtc_probability",
                           "dynatemp_range",
                           "top_n_sigma",
                           "samplers",
                           "allowed_token_ids",
                           "tools",
                           "n"}) {
    for (const RequestPath path : kPaths) {
      EXPECT_THAT(Refusal({{name, {{"a", 3}}}}, path), HasSubstr(Concatenate(name, " is not supported; leave it out")));
    }
  }
  EXPECT_EQ(Refusal({{"n", 2}}), "n is not supported; leave it out, or set it to 1; send a request for each");
  EXPECT_EQ(Refusal({{"n_predict", 5}}),
            "n_predict is not supported; leave it out, or set it to -1; max_tokens is the name");
  EXPECT_THAT(Refusal({{"echo", true}}), HasSubstr("echo"));
  EXPECT_TRUE(CheckFields({{"echo", true}}, RequestPath::kEvalCompletions).ok());
}

TEST(RequestFields, WhatChangesNothingIsTaken) {
  for (const RequestField& field : RequestFields()) {
    for (const Json& nothing : {Json(), Json(""), Json::array()}) {
      for (const RequestPath path : kPaths) EXPECT_TRUE(CheckFields({{field.name, nothing}}, path).ok()) << field.name;
    }
  }
  const Json harmless = {{"user", "somebody"},       {"metadata", {{"a", "b"}}},
                         {"service_tier", "auto"},   {"n", 1},
                         {"typical_p", 1.0},         {"mirostat", 0},
                         {"mirostat_tau", 5.0},      {"grammar", nullptr},
                         {"tool_choice", "none"},    {"parallel_tool_calls", true},
                         {"nobody_knows_it", {1, 2}}};
  for (const RequestPath path : kPaths) EXPECT_TRUE(CheckFields(harmless, path).ok()) << CheckFields(harmless, path);
  // Tools that are not to be called.
  EXPECT_TRUE(CheckFields({{"tools", {{{"type", "function"}}}}, {"tool_choice", "none"}}, kPaths[0]).ok());
  EXPECT_THAT(Refusal({{"tools", {{{"type", "function"}}}}, {"tool_choice", "auto"}}), HasSubstr("tools"));
}

TEST(RequestFields, PartsAreFieldsToo) {
  const auto check = [](const Json& json, const char* place, const char* shown = "") {
    return std::string(CheckFields(json, RequestPath::kServeChat, place, shown).message());
  };
  EXPECT_THAT(check({{"schema", Json::object()}}, "response_format."), HasSubstr("response_format.schema is not"));
  EXPECT_THAT(check({{"continuous_usage_stats", true}}, "stream_options."),
              HasSubstr("stream_options.continuous_usage"));
  EXPECT_EQ(check({{"tool_calls", {1}}}, "messages[].", "messages[3]."),
            "messages[3].tool_calls is not supported; leave it out");
  EXPECT_EQ(check({{"tool_call_id", "1"}, {"content", "x"}}, "messages[]."), "");
}

// The table of the documentation, a line for each field.
TEST(RequestFields, TheDocumentationHasThem) {
  const auto page = ReadFile("docs/formats/request_fields.md");
  ASSERT_TRUE(page.ok()) << page.status();
  std::string table;
  for (const RequestField& field : RequestFields()) {
    table += Concatenate("| `", field.name, "` |");
    for (const char* use = field.uses; *use != '\0'; ++use) {
      table += *use == 'h' ? " yes |" : *use == 't' ? " template |" : *use == '-' ? " harmless |" : " refused |";
    }
    const std::string_view neutral = field.neutral;
    table += Concatenate(neutral.empty() ? "" : Concatenate(" `", neutral, "`"), " | ", field.instead, " |\n");
  }
  EXPECT_NE(page->find("\n" + table + "\n"), std::string::npos)
      << "docs/formats/request_fields.md must have just this table:\n"
      << table;
}

}  // namespace
}  // namespace radlads
