// What a transport serves.
#ifndef RADLADS_SERVE_TRANSPORT_SERVED_MODEL_H_
#define RADLADS_SERVE_TRANSPORT_SERVED_MODEL_H_

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/text_service.h"

namespace radlads {

struct ServedModel {
  std::string name;  // in requests and replies
  TextService* service = nullptr;
  std::shared_ptr<const Tokenizer> tokenizer;
};

// The one that a request names; it need not where there is only one. NOT_FOUND, or INVALID_ARGUMENT for an empty name,
// lists those that there are.
absl::StatusOr<const ServedModel*> FindModel(std::span<const ServedModel> models, const std::string& name);

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_SERVED_MODEL_H_
