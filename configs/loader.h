// Configurations: any proto2 message, filled from YAML or JSON files and from the command line.
//
//   Config config;
//   CommandLine command;
//   RADLADS_RETURN_IF_ERROR(ParseCommandLine(argc, argv, config, command));
//   if (PrintIfAsked(command, config)) return absl::OkStatus();
//
// Files are maps whose keys are the fields of the message. Several files are merged in order: a map is merged key by
// key, anything else replaces what was there. A list of messages that have a `name` (pipeline) may also be given as
// a map from name (or index) to what changes in that entry; on the command line: --pipeline.stage1.train.lr_init 1e-3.
//
// Scalars are read as the reference reads them: 1e-3 is a number, a whole number is a fraction too, 0 and 1 are
// booleans, any scalar is a string where a string is wanted. null, ~ and None put a scalar back to its default.
// Keys and values of the reference (configs/radlads_names.h) are translated or answered with what replaces them.
// `__type__` is ignored anywhere.
//
// Errors are INVALID_ARGUMENT (NOT_FOUND for a missing file), list every problem of the files and the command line,
// one per line, and name file and line, key, what was found, what was expected and the nearest known key.
// Everything here is a pure function of its arguments and the named files, and thread-safe.
#ifndef RADLADS_CONFIGS_LOADER_H_
#define RADLADS_CONFIGS_LOADER_H_

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace radlads {

struct CommandLine {
  bool help = false;
  std::string help_filter;  // of --help train.teacher
  bool version = false, print_config = false;
  std::vector<std::string> config_files;  // in the order given, as given
  std::vector<std::string> positional;    // arguments that belong to no option, and all after --
  std::vector<std::string> notes;         // remarks on knobs without effect; logged already
};

// Reads
//   -c FILE, --config FILE, --config=FILE   merge a file (repeatable)
//   --a.b.c VALUE, --a.b.c=VALUE            set a knob, after all files, in order
//   --help [FILTER], -h; --version; --print_config
// into `config`, which may hold values already. argv[0] is skipped. With --help or --version nothing else is looked at.
absl::Status ParseCommandLine(int argc, const char* const* argv, google::protobuf::Message& config, CommandLine& out);

// Prints on stdout what --help, --version or --print_config ask for. True if one of them did: the program is done.
bool PrintIfAsked(const CommandLine& command, const google::protobuf::Message& config);

// Merges one file. The names of the reference's own files (configs/qwen7b.yaml) stand for recipes of this
// repository where no such file exists. Notes go to `notes`, or to the log when it is null.
absl::Status MergeFile(const std::string& path, google::protobuf::Message& config,
                       std::vector<std::string>* notes = nullptr);

// Merges YAML (JSON is YAML) text. `file_name` is for messages only.
absl::Status MergeYaml(const std::string& text, const std::string& file_name, google::protobuf::Message& config,
                       std::vector<std::string>* notes = nullptr);

// The fields that are set, as YAML: MergeYaml into an empty message gives an equal message, to the last bit.
// With `show_defaults`, the other knobs are there too, as comments with their defaults.
std::string ToYaml(const google::protobuf::Message& config, bool show_defaults = false);

// Every knob with its type, default and the comment of the .proto, whose path contains `filter` ('' for all).
std::string HelpText(const google::protobuf::Descriptor& root, std::string_view filter = "");

}  // namespace radlads

#endif  // RADLADS_CONFIGS_LOADER_H_
