#include "serve/transport/served_model.h"

#include "base/status.h"
#include "serve/error_code.h"
#include "serve/transport/json_fields.h"

namespace radlads {

absl::StatusOr<const ServedModel*> FindModel(std::span<const ServedModel> models, const std::string& name) {
  std::string names;
  for (const ServedModel& model : models) {
    if (model.name == name || (name.empty() && models.size() == 1)) return &model;
    names += (names.empty() ? "" : ", ") + model.name;
  }
  if (name.empty()) return InvalidArgument("model is missing; this server has ", names);
  return WithErrorCode(NotFound("there is no model ", Shown(name), "; this server has ", names), kModelNotFound);
}

}  // namespace radlads
