#include "model/checkpoint/safetensors_format.h"

#include <ATen/ATen.h>

#include "base/status.h"
#include "model/checkpoint/safetensors.h"

namespace radlads {
namespace safetensors {
namespace {

using enum at::ScalarType;

constexpr Type kTypes[] = {
    {"BOOL", 8, Bool},          {"U8", 8, Byte},
    {"I8", 8, Char},            {"I16", 16, Short},
    {"U16", 16, UInt16},        {"F16", 16, Half},
    {"BF16", 16, BFloat16},     {"I32", 32, Int},
    {"U32", 32, UInt32},        {"F32", 32, Float},
    {"I64", 64, Long},          {"U64", 64, UInt64},
    {"F64", 64, Double},        {"C64", 64, ComplexFloat},
    {"F8_E5M2", 8, Float8_e5m2},         {"F8_E4M3", 8, Float8_e4m3fn},
    {"F8_E8M0", 8, Float8_e8m0fnu},      {"F8_E4M3FNUZ", 8, Float8_e4m3fnuz},
    {"F8_E5M2FNUZ", 8, Float8_e5m2fnuz}, {"F4", 4, Float4_e2m1fn_x2},
    {"F6_E2M3", 6, Undefined},           {"F6_E3M2", 6, Undefined},
};

}  // namespace

std::span<const Type> Types() { return kTypes; }

const Type* FindType(std::string_view name) {
  for (const Type& type : kTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

const Type* FindType(at::ScalarType dtype) {
  for (const Type& type : kTypes) {
    if (type.dtype == dtype && dtype != Undefined) return &type;
  }
  return nullptr;
}

}  // namespace safetensors

absl::StatusOr<at::ScalarType> SafetensorsDtype(const std::string& name) {
  const safetensors::Type* type = safetensors::FindType(std::string_view(name));
  if (type == nullptr || type->dtype == at::ScalarType::Undefined) return Unimplemented("torch has no type for the dtype ", name);
  return type->dtype;
}

absl::StatusOr<std::string> SafetensorsDtypeName(at::ScalarType dtype) {
  const safetensors::Type* type = safetensors::FindType(dtype);
  if (type == nullptr) return Unimplemented("safetensors has no type for torch's ", c10::toString(dtype));
  return std::string(type->name);
}

}  // namespace radlads
