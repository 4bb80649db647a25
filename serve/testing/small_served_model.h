// A model on disk that tests start //serve:server with. Free of tensors.
#ifndef RADLADS_SERVE_TESTING_SMALL_SERVED_MODEL_H_
#define RADLADS_SERVE_TESTING_SMALL_SERVED_MODEL_H_

#include <string>

namespace radlads {

// A RAD-RWKV7 with SmallTokenizer, and a chat template that writes the first letter of the role, a colon, the content
// and "<|end|>". Aborts the test program when it cannot.
void WriteSmallServedModel(const std::string& directory);

}  // namespace radlads

#endif  // RADLADS_SERVE_TESTING_SMALL_SERVED_MODEL_H_
