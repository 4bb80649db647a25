// bazel run //distill:train -- -c configs/teachers/smollm2-135m.yaml -c configs/quickstart.yaml [--train.lr_init 1e-3
// ...]
#include <cstdio>

#include "base/logging.h"
#include "base/program.h"
#include "configs/config.pb.h"
#include "configs/loader.h"
#include "distill/caching_allocator.h"
#include "distill/run.h"

namespace radlads {
namespace {

constexpr int kExitInterrupted = 130;  // what shells report for a program ended by SIGINT

constexpr char kUsage[] =
    "usage: train -c FILE [-c FILE ...] [--knob value ...]\n"
    "Distils a softmax transformer into an RWKV-style student: one stage, or the pipeline: of stages that the\n"
    "configuration lists. Results go to train.proj_dir/train.proj_name; run the same command again to continue.\n"
    "--print_config shows what a command line amounts to, --help KNOB explains some knobs only.\n\n";

int Main(int argc, char** argv) {
  if (absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  Config config;
  CommandLine command;
  if (absl::Status status = ParseCommandLine(argc, argv, config, command); !status.ok()) return ExitCode(status);
  if (command.help) std::fputs(kUsage, stdout);
  if (PrintIfAsked(command, config)) return 0;
  if (!command.positional.empty()) {
    return ExitCode(absl::InvalidArgumentError("unexpected argument '" + command.positional[0] +
                                               "'; options are -c FILE and --knob value"));
  }
  InstallCachingAllocator();
  const absl::Status status = Train(config);
  if (absl::IsCancelled(status)) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return kExitInterrupted;
  }
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
