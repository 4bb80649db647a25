#include "data/tokenizer/jinja.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

namespace radlads {
namespace {

using json = nlohmann::ordered_json;

JinjaValue FromJson(const json& value) {
  if (value.is_null()) return JinjaValue(nullptr);
  if (value.is_boolean()) return JinjaValue(value.get<bool>());
  if (value.is_number()) return JinjaValue(value.get<int64_t>());
  if (value.is_string()) return JinjaValue(value.get<std::string>());
  if (value.is_array()) {
    JinjaValue::List list;
    for (const json& item : value) list.push_back(FromJson(item));
    return JinjaValue(std::move(list));
  }
  JinjaValue::Dict dict;
  for (const auto& [key, item] : value.items()) dict.emplace_back(key, FromJson(item));
  return JinjaValue(std::move(dict));
}

absl::StatusOr<std::string> Render(const std::string& source,
                                   const JinjaValue::Dict& variables = {},
                                   const JinjaOptions& options = {}) {
  const auto parsed = JinjaTemplate::Parse(source, options);
  if (!parsed.ok()) return parsed.status();
  return parsed->Render(variables);
}

struct Golden {
  JinjaValue::Dict variables;
  std::vector<json> rows;
};

// First line: the variables; then one template a line with what jinja2 3.1 makes of it.
Golden ReadGolden() {
  std::ifstream file("data/tokenizer/testdata/templates/jinja_golden.jsonl");
  EXPECT_TRUE(file.good());
  Golden golden;
  for (std::string line; std::getline(file, line);) golden.rows.push_back(json::parse(line));
  golden.variables = FromJson(golden.rows.at(0)["variables"]).as_dict();
  golden.rows.erase(golden.rows.begin());
  return golden;
}

TEST(Jinja, RendersAsJinja2) {
  const Golden golden = ReadGolden();
  ASSERT_GT(golden.rows.size(), 80u);
  for (const json& row : golden.rows) {
    const auto text = Render(row["template"], golden.variables);
    if (row.contains("error")) {
      EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument) << row << text.status();
      EXPECT_NE(text.status().message().find("line 1"), absl::string_view::npos) << text.status();
    } else {
      ASSERT_TRUE(text.ok()) << row << "\n" << text.status();
      EXPECT_EQ(*text, row["text"].get<std::string>()) << row;
    }
  }
}

TEST(Jinja, WhatIsOutsideTheSubsetIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"{% macro f() %}{% endmacro %}", "{% macro %}"},
      {"{% include 'x' %}", "{% include %}"},
      {"{% for i in [1] %}{% break %}{% endfor %}", "{% break %}"},
      {"{% raw %}{% endraw %}", "{% raw %}"},
      {"{% set x %}a{% endset %}", "{% set ... %}"},
      {"{{ 2 ** 3 }}", "operator **"},
      {"{{ 1 < 2 < 3 }}", "chain"},
      {"{{ 'ab' * 2 }}", "operator *"},
      {"{{ '%d' % 2 }}", "operator %"},
      {"{{ [1] < [2] }}", "operator <"},
      {"{{ 'a' | groupby }}", "filter groupby"},
      {"{{ 1 is prime }}", "test prime"},
      {"{{ 'a'.zfill(3) }}", "method zfill"},
      {"{{ lipsum() }}", "function lipsum"},
      {"{{ range(3) }}", "printing a range"},
      {"{{ {'a': 1}.items() }}", "printing a dict view"},
      {"{{ [1] | map('string') }}", "printing a generator"},
      {"{{ range }}", "printing a function"},
      {"{{ {'items': 1}.items }}", "is a method of it"},
      {"{{ [1] | tojson(indent=2) }}", "indent="},
      {"{{ 'stra\u00dfe' | upper }}", "upper case of \u00df"},
      {"{{ '\u03a3' | lower }}", "lower case of \u03a3"},
      {"{{ '\u0663' | int }}", "beyond ASCII"}};
  for (const auto& [source, name] : cases) {
    const auto text = Render(source);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kUnimplemented) << source << text.status();
    EXPECT_NE(text.status().message().find(name), absl::string_view::npos) << text.status();
  }
  EXPECT_EQ(Render("{% if false %}{{ 'a' | groupby }}{% endif %}ok").value(), "ok")
      << "what does not run does not matter";
}

TEST(Jinja, OptionsOfEvaluationTasks) {
  const JinjaOptions options = {.whitespace = {.trim_blocks = false, .lstrip_blocks = false, .keep_trailing_newline = true},
                                .strict_undefined = true};
  EXPECT_EQ(Render("a\n  {% if true %}\nb\n{% endif %}\n", {}, options).value(), "a\n  \nb\n\n");
  EXPECT_EQ(Render("a\n  {% if true %}\nb\n{% endif %}\n").value(), "a\nb\n");
  for (const char* source : {"{{ x }}", "{% if x %}{% endif %}", "{{ x == 1 }}", "{{ x | trim }}", "{{ {}.x }}"}) {
    const auto text = Render(source, {}, options);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument) << source;
    EXPECT_NE(text.status().message().find("\"x\" is undefined"), absl::string_view::npos) << text.status();
    EXPECT_TRUE(Render(source).ok()) << source;
  }
  EXPECT_EQ(Render("{{ x | default('d') }}{{ x is defined }}", {}, options).value(), "dFalse");
  EXPECT_EQ(Render("{% set y = x %}{{ [x] }}{{ [x, 1] | length }}", {}, options).value(), "[Undefined]2");
  for (const char* source : {"{{ [x] | join }}", "{% set y = x %}{{ y }}", "{{ [{}] | map(attribute='a') | join }}", "{{ [x] | first }}"}) {
    EXPECT_EQ(Render(source, {}, options).status().code(), absl::StatusCode::kInvalidArgument) << source;
    EXPECT_EQ(Render(source).value(), "") << source;
  }
  EXPECT_EQ(Render("{{ 'a_b_c'.split('_', 1)[1] }}", {}, options).value(), "b_c");
  EXPECT_EQ(Render("{{ 'a_b_c'.split('_', -1) | length }}", {}, options).value(), "3");
}

TEST(Jinja, FloatsPrintAsPython) {
  const std::pair<double, const char*> cases[] = {{1, "1.0"}, {0.1, "0.1"}, {-2.5, "-2.5"}, {1e16, "1e+16"}, {0, "0.0"},
                                                  {1e15, "1000000000000000.0"}, {NAN, "nan"}, {-INFINITY, "-inf"}, {1e-4, "0.0001"}, {1e-5, "1e-05"}, {1.5e300, "1.5e+300"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(JinjaValue(value).Print().value(), text);
  EXPECT_TRUE(JinjaValue(1.0).Equals(JinjaValue(int64_t{1})));
}

TEST(Jinja, TheEnvironmentSaysWhatIsDefined) {
  const JinjaOptions options = {.chat = false};
  EXPECT_EQ(Render("{{ strftime_now is defined }}{{ raise_exception is defined }}{{ range is defined }}", {}, options).value(),
            "FalseFalseTrue");
  EXPECT_EQ(Render("{{ [1] | tojson }}", {}, options).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(Render("{{ strftime_now('%Y') }}", {}, options).status().message().find("\"strftime_now\" is undefined"),
            absl::string_view::npos);
}

TEST(Jinja, StrftimeNowIsPythons) {
  setenv("TZ", "Asia/Kolkata", 1);
  tzset();
  const JinjaOptions options = {.now = absl::FromUnixMicros(1785061230123456)};  // 10:20:30 in London, in summer
  // datetime.fromtimestamp(1785061230.123456).strftime(...), whose %z and %Z are empty
  EXPECT_EQ(Render("{{ strftime_now('%d %b %Y, %H:%M:%S.%f|%j %A %B %-d %p %y %e %%|%z%Z|é') }}", {}, options).value(),
            "26 Jul 2026, 15:50:30.123456|207 Sunday July 26 PM 26 26 %||é");
  EXPECT_EQ(Render("{{ strftime_now('') }}", {}, options).value(), "");
  EXPECT_EQ(Render("{{ strftime_now('%Y') | length }}").value(), "4") << "the clock's";
  EXPECT_EQ(Render("{{ strftime_now() }}").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PythonLiteral, ReadsAsLiteralEval) {
  const auto repr = [](const std::string& text) {
    const auto value = ParsePythonLiteral(text);
    return value.ok() ? value->Repr().value() : std::string(value.status().message());
  };
  for (const char* text : {"['a', \"it's\", -1, +2.5, True, None, ('x',), {'k': [1]}]", "[]", "()", "'a'", "-1", " [1]", "[1,\n 2,]"}) {
    EXPECT_TRUE(ParsePythonLiteral(text).ok()) << text << ParsePythonLiteral(text).status();
  }
  EXPECT_EQ(repr("['a', \"it's\", -1, +2.5, True, None, ('x',), {'k': [1]}]"),
            "['a', \"it's\", -1, 2.5, True, None, ('x',), {'k': [1]}]");
  EXPECT_EQ(repr("[1, -1]"), "[1, -1]");
  EXPECT_EQ(repr("'a' 'b'"), "'ab'");
  for (const char* text : {"a", "[a]", "true", "1 + 1", "f(1)", "'a'.x", "[1][0]", "['a'](1)", "'a' | upper", "", "[1", "1 2", "--1",
                           "-'a'", "] }} {{ [", "[1]}}x", "not True", "[1] if True"}) {
    EXPECT_EQ(ParsePythonLiteral(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  std::string many = "[";
  for (int i = 0; i < 50000; ++i) many += "'a', ";
  EXPECT_EQ(ParsePythonLiteral(many + "]")->as_list().size(), 50000u);
  EXPECT_FALSE(ParsePythonLiteral(std::string(100000, '[')).ok());
  EXPECT_FALSE(ParsePythonLiteral(std::string(100000, '-') + "1").ok());
}

TEST(Jinja, LimitsHold) {
  const auto refuses = [](const std::string& source) {
    const auto text = Render(source);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument)
        << source.substr(0, 60) << text.status();
  };
  refuses("{{ " + std::string(100000, '(') + "1");
  refuses("{{ " + std::string(100000, '-') + "1 }}");
  std::string ifs, chain = "{{ 1", members = "{{ x";
  for (int i = 0; i < 10000; ++i) ifs += "{% if 1 %}", chain += " + 1", members += ".x";
  refuses(ifs);
  refuses(chain + " }}");
  refuses(members + " }}");
  refuses(
      "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s + "
      "ns.s %}{% endfor %}");
  refuses("{% for a in range(9999) %}{% for b in range(9999) %}{{ '' }}{% endfor %}{% endfor %}");
  refuses("{{ range(99999999999) }}");
  refuses("{{ 9223372036854775807 + 1 }}");
}

// Each of these would take more memory or time than there is; the budget refuses it where it would begin to.
TEST(Jinja, ARenderingStaysWithinItsBudget) {
  const std::string steps = "the template takes more than 10000000 steps", bytes = "the template takes more than 268435456 bytes";
  const JinjaValue::Dict variables = {{"big", JinjaValue(std::string(4 << 20, 'a'))},
                                      {"huge", JinjaValue(std::string(40 << 20, '\1'))}};
  const auto refuses = [&](const std::string& source, const std::string& reason, int line = 1) {
    const auto text = Render(source, variables);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument) << source;
    EXPECT_EQ(std::string(text.status().message()), "line " + std::to_string(line) + ": " + reason) << source;
  };
  // x is `first`, then 40 times `next`, which is about twice as large.
  const auto doubled = [](const std::string& first, const std::string& next, const std::string& then) {
    std::string source = "{% set x = " + first + " %}";
    for (int i = 0; i < 40; ++i) source += "{% set x = " + next + " %}";
    return source + then;
  };
  refuses(doubled("'ab'", "x + x", ""), bytes);
  refuses(doubled("'ab'", "x ~ x", ""), bytes);
  refuses(doubled("[1]", "x + x", ""), bytes);
  refuses(doubled("'ab'", "x | replace('a', 'aa')", ""), bytes);
  refuses(doubled("'ab'", "x | replace('', 'aa')", ""), bytes);
  refuses(doubled("'abc'", "[x, x] | join(x)", ""), bytes);
  // Lists that hold one list twice: small in memory, but not where each item is visited.
  refuses(doubled("[]", "[x, x]", "\n{{ x | tojson }}"), steps, 2);
  refuses(doubled("[]", "[x, x]", "\n{{ x }}"), steps, 2);
  refuses(doubled("['" + std::string(1000, 'a') + "']", "[x, x]", "\n{{ x | tojson }}"), bytes, 2);
  refuses(doubled("{}", "{'a': x, 'b': x}", "\n{{ x | string }}"), steps, 2);
  refuses(doubled("[]", "[x, x]", "{{ x == x }}"), steps);
  refuses(doubled("[]", "[x, x]", "{{ x in [x] }}"), steps);
  refuses(doubled("[]", "[x, x]", "{{ [x].count(x) }}"), steps);
  refuses(doubled("[]", "[x, x]", "{{ x is eq(x) }}"), steps);
  refuses("{{ range(6000000) }}", bytes);
  refuses("{{ range(1000000000) }}", steps);
  refuses("{{ range(-999999999999999999, 999999999999999999) }}", steps);
  refuses("{% for a in range(9999) %}\n{% for b in range(9999) %}{% endfor %}{% endfor %}", bytes, 2);
  refuses("{% for a in range(9999) %}\n{% for b in range(99) %}{{ a + b + 1 - 1 + 1 - 1 + 1 - 1 }}{% endfor %}{% endfor %}", steps, 2);
  refuses("{% set n = namespace(s='ab') %}{% for i in range(60) %}\n{% set n.s = n.s + n.s %}{% endfor %}", bytes, 2);
  refuses("{% for i in range(99) %}{{ big }}{% endfor %}", bytes);
  refuses("{% for c in big %}{% endfor %}", bytes);
  refuses("{{ big | list | length }}", bytes);
  refuses("{{ big.split('a') }}", bytes);
  refuses("{{ big | map('upper') | list }}", bytes);
  refuses("{{ range(999) | map('replace', '1', big) | list }}", bytes);
  refuses("{{ big | replace('a', big) }}", bytes);
  refuses("{{ big.join(big.split('b') + range(99) | map('string') | list) }}", bytes);
  refuses("{{ huge | tojson }}", bytes);
  refuses("{{ [huge, huge] }}", bytes);
  // Much text walked over again and again.
  refuses("{% for i in range(999) %}{{ 'b' in big }}{% endfor %}", steps);
  refuses("{% for i in range(999) %}{{ big[-1] }}{% endfor %}", steps);
  refuses("{{ big.strip(big) }}", steps);
}

TEST(Jinja, TextIsWalkedOverInPlace) {
  const JinjaValue::Dict variables = {{"big", JinjaValue(std::string(16 << 20, 'a') + "\u00e9b")}};
  const auto text = Render("{{ big | length }} {{ big[-2] }} {{ big[-3:] }} {{ big.find('b') }} {{ big.count('aa') }} "
                           "{{ (big | trim)[-1:] }}", variables);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, "16777218 \u00e9 a\u00e9b 16777217 8388608 b");
  EXPECT_EQ(Render("{{ '\u00e9 x\u3000'.strip() }}|{{ '\u00e9x\u00e9'.strip('\u00e9') }}|{{ '\u00e9x\u00e9'[::-1] }}|"
                   "{{ ' a\u3000\u00e9 '.split() }}|{{ 'a,b,'.split(',', 1) }}|{{ ''.split(',') }}|{{ 'ab'[5:] }}|{{ 'ab'[1:0] }}").value(),
            "\u00e9 x|x|\u00e9x\u00e9|['a', '\u00e9']|['a', 'b,']|['']||");
  // A pattern whose every place almost fits.
  const JinjaValue::Dict almost = {{"text", JinjaValue(std::string(1 << 20, 'a'))},
                                   {"part", JinjaValue(std::string(1 << 19, 'a') + "b")}};
  EXPECT_EQ(Render("{{ part in text }}", almost).value(), "False");
}

TEST(Jinja, DamagedTemplatesAreRefusedOrRendered) {
  const Golden golden = ReadGolden();
  std::mt19937 random(9);
  const std::string_view pieces[] = {"{{", "}}", "{%", "%}", "-",    "'",    "(",  ")",
                                     "[",  "]",  "|",  ".",  " if ", " in ", "{#", ":"};
  for (int i = 0; i < 4000; ++i) {
    std::string source = golden.rows[random() % golden.rows.size()]["template"];
    for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
      const size_t place = random() % (source.size() + 1);
      source.replace(place, std::min<size_t>(random() % 4, source.size() - place),
                     pieces[random() % std::size(pieces)]);
    }
    Render(source, golden.variables).status().IgnoreError();
  }
}

}  // namespace
}  // namespace radlads
