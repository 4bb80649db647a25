// Prints what is in a model file or directory, or how two models differ.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "tools/model_description.h"
#include "tools/model_difference.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

constexpr char kDescription[] =
    "Prints architecture, parameter count, metadata and the name, shape, type and size of every tensor of\n"
    "  - a Hugging Face directory (config.json, safetensors, tokenizer.json)\n"
    "  - a .safetensors file or model.safetensors.index.json\n"
    "  - a GGUF file\n"
    "  - a config.json or tokenizer.json\n"
    "  - a .pth or .bin file of PyTorch\n"
    "Files are recognised by what is in them. Token shards (.bin, .idx) are described by //data:make_binidx info.\n\n"
    "--diff compares two models of any of these formats, runs of //distill:train included, tensor by tensor under their\n"
    "Hugging Face names. Like diff, it exits with 1 when they differ in a tensor or a number; dtypes may differ.";

absl::Status Inspect(const std::vector<std::string>& paths, bool as_json, bool with_tensors) {
  ordered_json all = ordered_json::array();
  for (const std::string& path : paths) {
    RADLADS_ASSIGN_OR_RETURN(ordered_json description, DescribeModel(path));
    if (as_json) {
      if (!with_tensors) description.erase("tensors");
      all.push_back(std::move(description));
    } else {
      PrintDescription(description, with_tensors);
    }
  }
  if (as_json) std::printf("%s\n", (all.size() == 1 ? all[0] : all).dump(2).c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  std::vector<std::string> paths;
  bool as_json = false, summary = false, diff = false;
  CLI::App app(kDescription, "inspect");
  app.add_option("paths", paths, "files or directories")->required();
  app.add_flag("--json", as_json, "print JSON: an object for one path, a list for several");
  app.add_flag("--summary", summary, "leave out the list of tensors");
  app.add_flag("--diff", diff, "compare two models");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  if (diff) {
    if (paths.size() != 2) return ExitCode(InvalidArgument("--diff takes two models, found ", paths.size()));
    const absl::StatusOr<bool> same = CompareModels(paths[0], paths[1], as_json, !summary);
    return same.ok() ? !*same : ExitCode(same.status());
  }
  return ExitCode(Inspect(paths, as_json, !summary));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) { return radlads::Main(argc, argv); }
