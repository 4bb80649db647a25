// The Python files of an exported student, which transformers runs with trust_remote_code.
#ifndef RADLADS_TOOLS_TRANSFORMERS_TRANSFORMERS_CODE_H_
#define RADLADS_TOOLS_TRANSFORMERS_TRANSFORMERS_CODE_H_

#include <span>
#include <string_view>

namespace radlads {

struct EmbeddedFile {
  std::string_view name, contents;
};

// The Python files of this folder.
std::span<const EmbeddedFile> TransformersCode();

}  // namespace radlads

#endif  // RADLADS_TOOLS_TRANSFORMERS_TRANSFORMERS_CODE_H_
