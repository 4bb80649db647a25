#include "testing/include_direction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(FindIncludeOffences, DownwardIsFine) {
  EXPECT_THAT(FindIncludeOffences({
                  {"base/file.h", "#include <string>\n"},
                  {"model/state.h", "#include \"base/file.h\"\n#include <ATen/core/Tensor.h>\n"},
                  {"model/BUILD.bazel", "deps = [\"//base:file\", \"@libtorch//:torch\"]\n"},
                  {"tools/generate.cc", "#include \"model/state.h\"\n#include \"eval/run.h\"\n"},
                  {"data/BUILD.bazel", "visibility = [\"//distill:__subpackages__\", \"//visibility:private\"]\n"},
                  {"third_party/x.h", "#include \"tools/generate.h\"\n"},
                  {"docs/page.md", "#include \"tools/generate.h\"\n"},
              }),
              IsEmpty());
}

TEST(FindIncludeOffences, UpwardIncludeIsNamedWithFileAndLine) {
  EXPECT_THAT(FindIncludeOffences({{"kernels/wkv7/wkv7.cc", "// a comment\n  #  include \"model/state.h\"\n"}}),
              ElementsAre(StartsWith("kernels/wkv7/wkv7.cc:2: kernels/ stands before model/")));
}

TEST(FindIncludeOffences, UpwardDependencyIsNamed) {
  EXPECT_THAT(FindIncludeOffences({{"base/BUILD.bazel", "deps = [\n    \"//configs:loader\",\n]\n"}}),
              ElementsAre(StartsWith("base/BUILD.bazel:2: base/ stands before configs/")));
}

TEST(FindIncludeOffences, FoldersOfOneRankMayNotUseEachOther) {
  const std::string data_uses_model = "#include \"model/state.h\"\n", model_uses_data = "#include \"data/binidx.h\"\n";
  EXPECT_THAT(FindIncludeOffences({{"data/a.cc", ""}, {"model/b.cc", model_uses_data}}), IsEmpty());
  EXPECT_THAT(FindIncludeOffences({{"data/a.cc", data_uses_model}, {"model/b.cc", model_uses_data}}),
              ElementsAre(HasSubstr("model/ and data/ use each other")));
}

TEST(FindIncludeOffences, TransportsReachNoTorchEvenThroughHeaders) {
  EXPECT_THAT(FindIncludeOffences({{"model/state.h", "#include <ATen/core/Tensor.h>\n"},
                                   {"serve/engine.h", "#include \"model/state.h\"\n"},
                                   {"serve/http/server.cc", "#include \"serve/engine.h\"\n"}}),
              ElementsAre(StartsWith("serve/http/server.cc:1: a transport reaches LibTorch")));
}

TEST(FindIncludeOffences, TorchAndGrpcDoNotMeet) {
  EXPECT_THAT(FindIncludeOffences({{"serve/a.cc", "#include <torch/library.h>\n#include <grpcpp/server.h>\n"}}),
              ElementsAre(HasSubstr("both LibTorch and gRPC")));
}

TEST(FindIncludeOffences, UnknownFolderIsAnOffence) {
  EXPECT_THAT(FindIncludeOffences({{"util/a.h", ""}}), ElementsAre(HasSubstr("util/ has no place")));
}

// The real thing. The test runs outside of the sandbox and follows one of its own sources to the checkout.
TEST(IncludeDirection, HoldsInThisRepository) {
  namespace fs = std::filesystem;
  const fs::path root = fs::canonical("testing/BUILD.bazel").parent_path().parent_path();
  ASSERT_TRUE(fs::exists(root / "WORKSPACE")) << root << " is not the root of the repository";
  SourceTree tree;
  for (const fs::directory_entry& folder : fs::directory_iterator(root)) {
    const std::string name = folder.path().filename().string();
    if (folder.is_symlink() || !folder.is_directory() || name[0] == '.' || name == "out") continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".json" || extension == ".jsonl" || extension == ".xz" || extension == ".safetensors") continue;
      if (!entry.is_regular_file()) continue;
      auto text = ReadFile(entry.path().string());
      ASSERT_TRUE(text.ok()) << text.status();
      tree[fs::relative(entry.path(), root).string()] = *std::move(text);
    }
  }
  ASSERT_GT(tree.size(), 30u) << "the repository was not found below " << root;
  EXPECT_EQ(tree.count("base/file.h"), 1u);
  EXPECT_THAT(FindIncludeOffences(tree), IsEmpty());
}

}  // namespace
}  // namespace radlads
