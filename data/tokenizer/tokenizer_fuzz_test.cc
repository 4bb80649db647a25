// Any bytes as a tokenizer.json: refused with a message, or a tokenizer whose ids have tokens.
#include <string>
#include <string_view>

#include "base/status.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {
namespace {

constexpr std::string_view kTexts[] = {"", "the inner  thing's\n\n12345 <|im_start|>", "caf\u00e9 e\u0301 \u4e2d\u6587 \U0001f600",
                                       "\xff\xc3(\xe4\xb8 a\0b"};

void Try(std::string_view text) {
  const auto tokenizer = Tokenizer::FromJson(text, "tokenizer.json");
  if (!tokenizer.ok()) {
    RADLADS_CHECK(absl::IsInvalidArgument(tokenizer.status()) || absl::IsUnimplemented(tokenizer.status())) << tokenizer.status();
    return;
  }
  RADLADS_CHECK((*tokenizer)->Hash().size() == 32);
  for (const std::string_view sample : kTexts) {
    const auto decoded = (*tokenizer)->Decode((*tokenizer)->Encode(sample, /*add_special_tokens=*/true), /*skip_special_tokens=*/false);
    RADLADS_CHECK(decoded.ok()) << decoded.status();
  }
}

}  // namespace
}  // namespace radlads

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  radlads::Try(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
