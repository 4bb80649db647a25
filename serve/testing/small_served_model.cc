#include "serve/testing/small_served_model.h"

#include "base/file.h"
#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {

void WriteSmallServedModel(const std::string& directory) {
  RADLADS_CHECK(MakeDirectories(directory).ok());
  const absl::Status saved = SaveTransformer(*SmallModel("rad_rwkv7"), directory, at::kFloat, "");
  RADLADS_CHECK(saved.ok()) << saved;
  WriteSmallTokenizer(directory,
                      "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<|end|>{% endfor %}"
                      "{% if add_generation_prompt %}a:{% endif %}");
}

}  // namespace radlads
