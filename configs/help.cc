#include <google/protobuf/descriptor.h>

#include <map>
#include <sstream>

#include "configs/comments.h"
#include "configs/loader.h"
#include "configs/scalar.h"

namespace radlads {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr std::string_view kOptions =
    "Options:\n"
    "  -c FILE, --config=FILE       read a YAML or JSON file; repeatable, later files win key by key\n"
    "  --KEY VALUE, --KEY=VALUE     set one of the knobs below, after all files\n"
    "  --print_config               print the resolved configuration as YAML\n"
    "  --version                    print the version\n"
    "  --help [PART]                print this, or the knobs whose name contains PART\n"
    "\n"
    "Knobs:\n";

class Writer {
 public:
  explicit Writer(std::string_view filter) : filter_(filter) {}

  void Message(const Descriptor& message, const std::string& path) {
    first_path_.emplace(&message, path);
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      const std::string name = path.empty() ? field.name() : path + "." + field.name();
      if (field.message_type() == nullptr) {
        Entry("--" + name, Kind(field), field);
      } else if (field.is_repeated()) {
        const bool named = field.message_type()->FindFieldByName("name") != nullptr;
        Entry("--" + name + (named ? ".NAME.*" : ".INDEX.*"), "list of " + Members(*field.message_type()), field);
      } else {
        const auto known = first_path_.find(field.message_type());
        const bool asked_for = !filter_.empty() && filter_.compare(0, name.size(), name) == 0;
        if (known != first_path_.end() && !asked_for) {
          Entry(name + ".*", "the same knobs as " + known->second + ".*", field);
        } else {
          Entry(name + ".*", "", field);
          Message(*field.message_type(), name);
        }
      }
    }
  }

  std::string text() const { return out_.str(); }

 private:
  static std::string Kind(const FieldDescriptor& field) {
    std::string kind = TypeName(field);
    if (field.is_repeated()) return "list of " + kind;
    if (field.has_default_value()) kind += ", default " + DefaultText(field);
    return kind;
  }

  static std::string Members(const Descriptor& message) {
    std::string text = "{";
    for (int i = 0; i < message.field_count(); ++i) text += (i == 0 ? "" : ", ") + message.field(i)->name();
    return text + "}";
  }

  void Entry(const std::string& name, const std::string& kind, const FieldDescriptor& field) {
    if (name.find(filter_) == std::string::npos) return;
    out_ << "  " << name << (kind.empty() ? "" : "  (" + kind + ")") << "\n";
    std::istringstream lines(CommentOf(field));
    for (std::string line; std::getline(lines, line);) out_ << "      " << line << "\n";
  }

  const std::string filter_;
  std::map<const Descriptor*, std::string> first_path_;
  std::ostringstream out_;
};

}  // namespace

std::string HelpText(const Descriptor& root, std::string_view filter) {
  Writer writer(filter);
  writer.Message(root, "");
  if (!filter.empty()) {
    const std::string text = writer.text();
    if (!text.empty()) return text;
    return "No knob's name contains '" + std::string(filter) + "'; --help alone lists all of them.\n";
  }
  return std::string(kOptions) + writer.text();
}

}  // namespace radlads
