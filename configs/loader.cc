#include "configs/loader.h"

#include <google/protobuf/descriptor.h>

#include <cstdio>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "base/version.h"
#include "configs/merge.h"
#include "configs/scalar.h"

namespace radlads {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void LogNotes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) Log().info("note: {}", note);
}

absl::Status FinishOne(Merger& merger, std::vector<std::string>* notes) {
  std::vector<std::string> logged;
  const absl::Status status = merger.Finish(notes != nullptr ? *notes : logged);
  LogNotes(logged);
  return status;
}

std::string Yaml(const Message& message, const std::string& indent, bool show_defaults) {
  const Reflection& reflection = *message.GetReflection();
  const Descriptor& descriptor = *message.GetDescriptor();
  std::string text;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    const std::string line = indent + field.name() + ":";
    if (field.is_repeated()) {
      const int size = reflection.FieldSize(message, &field);
      if (size == 0) continue;
      text += line;
      if (field.message_type() == nullptr) {
        for (int k = 0; k < size; ++k) {
          text += k == 0 ? " [" : ", ";
          text += ScalarText(message, field, k);
        }
        text += "]\n";
        continue;
      }
      text += "\n";
      for (int k = 0; k < size; ++k) {
        const std::string entry = Yaml(reflection.GetRepeatedMessage(message, &field, k), indent + "    ", false);
        text += indent + "  - " + (entry.empty() ? "{}\n" : entry.substr(indent.size() + 4));
      }
    } else if (!reflection.HasField(message, &field)) {
      if (!show_defaults) continue;
      const bool has_default = field.message_type() == nullptr && field.has_default_value();
      text += indent + "# " + field.name() + ": " + (has_default ? DefaultText(field) : "null") + "\n";
    } else if (field.message_type() == nullptr) {
      text += line + " " + ScalarText(message, field) + "\n";
    } else {
      const Message& inner = reflection.GetMessage(message, &field);
      const bool empty = Yaml(inner, "", false).empty();
      text += line + (empty ? " {}\n" : "\n" + Yaml(inner, indent + "  ", show_defaults));
    }
  }
  return text;
}

}  // namespace

absl::Status ParseCommandLine(int argc, const char* const* argv, Message& config, CommandLine& out) {
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<std::string> errors;
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      out.positional.insert(out.positional.end(), arguments.begin() + i + 1, arguments.end());
      break;
    }
    if (argument != "-c" && argument != "-h" && argument.rfind("--", 0) != 0) {
      if (argument.size() > 1 && argument[0] == '-') {
        errors.push_back("command line: " + argument + ": unknown option; knobs have two dashes, files come after -c");
      } else {
        out.positional.push_back(argument);
      }
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument == "-c" ? "config" : argument == "-h" ? "help" : argument.substr(2, equals - 2);
    const bool has_value = equals != std::string::npos;
    std::string value = has_value ? argument.substr(equals + 1) : "";
    const bool next_is_value = i + 1 < arguments.size() && arguments[i + 1].rfind("--", 0) != 0;
    if (name == "help") {
      out.help = true;
      if (!has_value && next_is_value && arguments[i + 1][0] != '-') value = arguments[++i];
      if (!value.empty()) out.help_filter = value;
      continue;
    }
    if (name == "print_config" || name == "version") {
      (name == "version" ? out.version : out.print_config) = true;
      if (has_value) errors.push_back("command line: --" + name + " takes no value");
      continue;
    }
    if (!has_value) {
      if (!next_is_value) {
        errors.push_back("command line: " + argument + ": has no value; " +
                         (name == "config" ? "expected a file" : "write " + argument + "=VALUE"));
        continue;
      }
      value = arguments[++i];
    }
    if (name == "config") {
      out.config_files.push_back(value);
    } else {
      options.emplace_back(name, value);
    }
  }
  if (out.help || out.version) return absl::OkStatus();

  Merger merger(config);
  for (const std::string& error : errors) merger.AddError(error);
  for (const std::string& file : out.config_files) merger.AddFile(file);
  for (const auto& [key, value] : options) merger.AddOption(key, value);
  RADLADS_RETURN_IF_ERROR(merger.Finish(out.notes));
  LogNotes(out.notes);
  return absl::OkStatus();
}

bool PrintIfAsked(const CommandLine& command, const Message& config) {
  std::string text;
  if (command.help) {
    text = HelpText(*config.GetDescriptor(), command.help_filter);
  } else if (command.version) {
    text = std::string("radlads ") + kVersion + "\n";
  } else if (command.print_config) {
    text = ToYaml(config, /*show_defaults=*/true);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return command.help || command.version || command.print_config;
}

absl::Status MergeFile(const std::string& path, Message& config, std::vector<std::string>* notes) {
  Merger merger(config);
  merger.AddFile(path);
  return FinishOne(merger, notes);
}

absl::Status MergeYaml(const std::string& text, const std::string& file_name, Message& config,
                       std::vector<std::string>* notes) {
  Merger merger(config);
  merger.AddText(text, file_name);
  return FinishOne(merger, notes);
}

std::string ToYaml(const Message& config, bool show_defaults) { return Yaml(config, "", show_defaults); }

}  // namespace radlads
