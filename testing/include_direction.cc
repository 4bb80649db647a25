#include "testing/include_direction.h"

#include <set>
#include <sstream>

namespace radlads {
namespace {

const std::map<std::string, int>& Ranks() {
  // testing/ helps the tests of every folder, so it stands beside base.
  static const std::map<std::string, int> ranks = {{"base", 0},  {"testing", 0}, {"configs", 1}, {"kernels", 2},
                                                   {"model", 3}, {"data", 3},    {"distill", 4}, {"serve", 4},
                                                   {"eval", 5},  {"tools", 6}};
  return ranks;
}

std::string TopFolder(const std::string& path) {
  const size_t slash = path.find('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

bool IsCode(const std::string& path) {
  for (const char* extension : {".h", ".cc", ".cu", ".cuh", ".inc", ".hpp", ".cpp"}) {
    if (path.ends_with(extension)) return true;
  }
  return false;
}

// Something that `line` refers to: an included path, or the folder part of a label.
struct Reference {
  int line;
  std::string target;
  bool system = false;  // #include <...>
};

std::vector<Reference> Includes(const std::string& text) {
  std::vector<Reference> found;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    size_t at = line.find_first_not_of(" \t");
    if (at == std::string::npos || line[at] != '#') continue;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string::npos || line.compare(at, 7, "include") != 0) continue;
    at = line.find_first_of("<\"", at + 7);
    if (at == std::string::npos) continue;
    const size_t end = line.find(line[at] == '<' ? '>' : '"', at + 1);
    if (end == std::string::npos) continue;
    found.push_back({number, line.substr(at + 1, end - at - 1), line[at] == '<'});
  }
  return found;
}

// Labels "//folder/...": dependencies. Who may see a target is no dependency.
std::vector<Reference> Labels(const std::string& text) {
  std::vector<Reference> found;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    for (size_t at = line.find("\"//"); at != std::string::npos; at = line.find("\"//", at + 1)) {
      const size_t end = line.find('"', at + 1);
      if (end == std::string::npos) break;
      const std::string label = line.substr(at + 3, end - at - 3);
      if (label.starts_with("visibility:") || label.ends_with(":__subpackages__") || label.ends_with(":__pkg__"))
        continue;
      const size_t name = label.find(':');
      found.push_back({number, (name == std::string::npos ? label : label.substr(0, name)) + "/"});
    }
  }
  return found;
}

bool IsTorch(const std::string& header) {
  return header.starts_with("torch/") || header.starts_with("ATen/") || header.starts_with("c10/");
}

bool IsGrpc(const std::string& header) {
  return header.starts_with("grpc");
}

// What a file reaches through includes.
struct Reach {
  bool torch = false, grpc = false;
};

class ReachFinder {
 public:
  explicit ReachFinder(const SourceTree& tree) : tree_(tree) {}

  Reach Of(const std::string& path) {
    const auto known = known_.find(path);
    if (known != known_.end()) return known->second;
    known_[path] = {};  // ends a cycle
    Reach reach;
    const auto file = tree_.find(path);
    if (file != tree_.end()) {
      for (const Reference& include : Includes(file->second)) {
        Reach through;
        if (!tree_.count(include.target)) {
          through = {IsTorch(include.target), IsGrpc(include.target) || include.target.ends_with(".grpc.pb.h")};
        } else {
          through = Of(include.target);
        }
        reach.torch |= through.torch;
        reach.grpc |= through.grpc;
      }
    }
    return known_[path] = reach;
  }

 private:
  const SourceTree& tree_;
  std::map<std::string, Reach> known_;
};

}  // namespace

std::vector<std::string> FindIncludeOffences(const SourceTree& tree) {
  std::vector<std::string> offences;
  const auto offence = [&offences](const std::string& path, int line, const std::string& what) {
    offences.push_back(path + ":" + std::to_string(line) + ": " + what);
  };
  ReachFinder reach(tree);
  std::map<std::pair<std::string, std::string>, std::string> sideways;  // (from, to) of one rank -> where

  for (const auto& [path, text] : tree) {
    const std::string folder = TopFolder(path);
    const bool code = IsCode(path), build = path.ends_with("/BUILD.bazel");
    if (folder == "third_party" || folder.empty() || (!code && !build)) continue;
    const auto own = Ranks().find(folder);
    if (own == Ranks().end()) {
      if (code)
        offence(path, 1, "the folder " + folder + "/ has no place in the order of testing/include_direction.cc");
      continue;
    }
    for (const Reference& reference : code ? Includes(text) : Labels(text)) {
      const std::string target = TopFolder(reference.target);
      const auto rank = Ranks().find(target);
      if (reference.system || target == folder || rank == Ranks().end()) continue;
      if (rank->second > own->second) {
        offence(path, reference.line,
                folder + "/ stands before " + target + "/ and must not use it (" + reference.target + ")");
      } else if (rank->second == own->second && target != "testing") {
        const std::string where = path + ":" + std::to_string(reference.line);
        sideways.emplace(std::pair(folder, target), where);
        const auto back = sideways.find({target, folder});
        if (back != sideways.end())
          offence(path, reference.line, folder + "/ and " + target + "/ use each other, see " + back->second);
      }
    }
    if (!code) continue;
    const Reach reached = reach.Of(path);
    if (reached.torch && (path.starts_with("serve/http/") || path.starts_with("serve/grpc/") ||
                          path.starts_with("data/index_service/") || path.starts_with("eval/service/"))) {
      offence(path, 1, "a transport reaches LibTorch through its includes");
    }
    if (reached.torch && reached.grpc) offence(path, 1, "reaches both LibTorch and gRPC through its includes");
  }
  return offences;
}

}  // namespace radlads
