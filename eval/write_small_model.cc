// Writes a model that tests can start programs with: write_small_model DIRECTORY. It is SmallModel's hybrid
// (model/testing.h) with the tokenizer of testing.h, as a Hugging Face directory.
#include <cstdio>

#include "absl/status/status.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "eval/testing.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

absl::Status Write(const std::string& directory) {
  RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  WriteSmallTokenizer(directory);
  return SaveTransformer(*SmallModel("hybrid"), directory, at::kFloat, /*tokenizer_from=*/"");
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 1;
  }
  return radlads::ExitCode(radlads::Write(argv[1]));
}
