#include "model/checkpoint/strict_json.h"

#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

using nlohmann::json;

// Builds the value event by event; returning false stops the parser.
class StrictBuilder : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return Put(nullptr) != nullptr; }
  bool boolean(bool value) override { return Put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return Put(value) != nullptr; }
  bool string(string_t& value) override { return Put(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(json::object()); }
  bool start_array(size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      error_ = Concatenate("the key \"", name, "\" appears twice in one object; every key must be unique");
      return false;
    }
    slot_ = &(*open_.back())[name];
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    error_ = Concatenate("not valid JSON at byte ", position, ": ", error.what());
    return false;
  }

  json& root() { return root_; }
  const std::string& error() const { return error_; }

 private:
  json* Put(json value) {
    json* place = &root_;
    if (!open_.empty()) {
      if (open_.back()->is_array()) {
        open_.back()->push_back(nullptr);
        place = &open_.back()->back();
      } else {
        place = slot_;
      }
    }
    *place = std::move(value);
    return place;
  }
  bool Open(json value) {
    if (static_cast<int>(open_.size()) >= max_depth_) {
      error_ = Concatenate("nested more than ", max_depth_, " levels deep");
      return false;
    }
    open_.push_back(Put(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const int max_depth_;
  json root_;
  std::vector<json*> open_;
  json* slot_ = nullptr;
  std::string error_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, const std::string& where, int max_depth) {
  // nlohmann takes a NUL for the end of its input.
  if (size_t nul = text.find('\0'); nul != text.npos) return InvalidArgument(where, ": NUL at byte ", nul, "; JSON is text");
  if (!IsUtf8(text)) return InvalidArgument(where, ": not UTF-8");
  StrictBuilder builder(max_depth);
  if (!json::sax_parse(text.begin(), text.end(), &builder)) return InvalidArgument(where, ": ", builder.error());
  return std::move(builder.root());
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = text[i];
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const int length = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (int j = 1; j < length; ++j) {
      if ((static_cast<uint8_t>(text[i + j]) & 0xc0) != 0x80) return false;
    }
    const uint8_t second = text[i + 1];
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second >= 0x90)) {
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace radlads
