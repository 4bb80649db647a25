#include "base/program_flags.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/nearest_name.h"
#include "base/status.h"
#include "base/version.h"

namespace radlads {
namespace {

template <typename Number>
CLI::Validator Check(const std::string& range, std::function<bool(Number)> fits) {
  const auto check = [range, fits = std::move(fits)](std::string& text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool number = error == std::errc() && end == text.data() + text.size();
    if (number && fits(value)) return std::string();
    const char* kind = number ? "" : std::is_integral_v<Number> ? "a whole number, " : "a number, ";
    return Concatenate("must be ", kind, range, ", found ", text);
  };
  return CLI::Validator(check, range);
}

// Of `app` and the verb that was given: "--threads", or the names of verbs.
std::vector<std::string> Names(const CLI::App& app, bool flags) {
  std::vector<std::string> names;
  if (flags) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  } else {
    for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(verb->get_name());
    }
  }
  for (const CLI::App* verb : app.get_subcommands()) {
    for (std::string& name : Names(*verb, flags)) names.push_back(std::move(name));
  }
  return names;
}

// What is to be done about an argument that there is not.
std::string Advice(const CLI::App& app, const std::string& argument, bool flag) {
  const std::vector<std::string> names = Names(app, flag);
  const auto has = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if ((argument == "--port" || argument == "--host") && has("--listen")) return "use --listen HOST:PORT";
  if (argument == "--listen" && has("--port")) return "use --host HOST and --port PORT";
  const std::string nearest = NearestName(argument, names);
  if (!nearest.empty()) return Concatenate("did you mean ", nearest, "?");
  return flag ? "--help lists the flags" : "--help says what is expected";
}

// Of `app` or the verb that was given; null: none has this name.
const CLI::Option* FindOption(const CLI::App& app, const std::string& name) {
  const CLI::Option* found = app.get_option_no_throw(name);
  for (const CLI::App* verb : app.get_subcommands()) {
    if (found == nullptr) found = FindOption(*verb, name);
  }
  return found;
}

// What the values of an option are.
const char* KindOf(const CLI::Option* option) {
  const std::string type = option == nullptr ? "" : option->get_type_name();
  if (type.starts_with("INT") || type.starts_with("UINT")) return "must be a whole number";
  if (type.starts_with("FLOAT")) return "must be a number";
  if (type.empty()) return "is on where it stands, and takes no value";
  return "must be of the kind that --help says";
}

// About the first argument that nobody wants; empty: all are wanted.
std::string Unknown(const CLI::App& app) {
  std::vector<std::string> left = app.remaining(/*recurse=*/true);
  const auto is_flag = [](const std::string& text) { return text.size() > 1 && text[0] == '-'; };
  auto found = std::find_if(left.begin(), left.end(), is_flag);
  const bool flag = found != left.end();
  if (!flag) found = left.begin();
  if (found == left.end()) return "";
  const std::string name = flag ? found->substr(0, found->find('=')) : *found;
  return Concatenate(flag ? "there is no flag " : "unexpected argument ", name, "; ", Advice(app, name, flag));
}

std::string Message(const CLI::App& app, const CLI::Error& error) {
  if (const std::string unknown = Unknown(app); !unknown.empty()) return unknown;
  // "--threads: must be ...", "Could not convert: --threads = 0.5", "--model: 1 required TEXT missing"
  std::string message = error.what();
  constexpr std::string_view kConvert = "Could not convert: ";
  const size_t must = message.find(": must be "), equals = message.find(" = "), missing = message.find(": 1 required ");
  if (error.get_name() == "ValidationError" && must != std::string::npos) {
    message.erase(must, 1);
  } else if (message.starts_with(kConvert) && equals != std::string::npos) {
    const std::string name = message.substr(kConvert.size(), equals - kConvert.size());
    message = Concatenate(name, " ", KindOf(FindOption(app, name)), ", found ", message.substr(equals + 3));
  } else if (error.get_name() == "ArgumentMismatch" && missing != std::string::npos) {
    message = message.substr(0, missing) + " needs a value";
  }
  return message;
}

}  // namespace

CLI::Validator AtLeast(int64_t low) {
  return Check<int64_t>(Concatenate(low, " or more"), [low](int64_t value) { return value >= low; });
}
CLI::Validator InRange(int64_t low, int64_t high) {
  return Check<int64_t>(Concatenate(low, " to ", high), [=](int64_t value) { return value >= low && value <= high; });
}
CLI::Validator MoreThan(double low) {
  return Check<double>(Concatenate("more than ", low), [low](double value) { return value > low; });
}
CLI::Validator NumberAtLeast(double low) {
  return Check<double>(Concatenate(low, " or more"), [low](double value) { return value >= low; });
}
CLI::Validator NumberInRange(double low, double high) {
  return Check<double>(Concatenate(low, " to ", high), [=](double value) { return value >= low && value <= high; });
}

CLI::Validator OneOf(const std::vector<std::string>& words) {
  std::string list;
  for (size_t i = 0; i < words.size(); ++i) list += (i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + words[i];
  const auto check = [words, list](std::string& text) {
    const bool known = std::find(words.begin(), words.end(), text) != words.end();
    return known ? "" : Concatenate("must be ", list, ", found ", text);
  };
  return CLI::Validator(check, "{" + CLI::detail::join(words, ",") + "}");
}

std::optional<int> ParseFlags(CLI::App& app, int argc, const char* const* argv) {
  app.set_version_flag("--version", Concatenate("radlads ", kVersion), "Print the version and exit.");
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return Concatenate("error: ", Message(*failed, error), "\n--help says more.\n");
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return std::nullopt;
}

}  // namespace radlads
