// Single values of a configuration: between text and the types of proto2 fields. Internal to the loader.
#ifndef RADLADS_CONFIGS_SCALAR_H_
#define RADLADS_CONFIGS_SCALAR_H_

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

namespace radlads {

// "whole number", "number", "true or false", "text", or the names of an enum.
std::string TypeName(const google::protobuf::FieldDescriptor& field);

// What a scalar field expects, for error messages: "a whole number".
std::string Expectation(const google::protobuf::FieldDescriptor& field);

// The default of a scalar field as YAML.
std::string DefaultText(const google::protobuf::FieldDescriptor& field);

// The value of a scalar field (entry `index` of a repeated one) as YAML that reads back to the same bits.
std::string ScalarText(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                       int index = -1);

// Sets the field (appends, when repeated) from `text`. `quoted`: the text was a quoted YAML scalar, which is a string
// and nothing else. Returns "" or what was expected, in which case nothing is changed.
std::string SetScalar(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                      std::string_view text, bool quoted);

}  // namespace radlads

#endif  // RADLADS_CONFIGS_SCALAR_H_
