// The order of the folders, and the check that nothing points against it.
//
//   base < configs < kernels < model, data < distill, serve < eval < tools
//
// A file may include, and a target may depend on, its own folder and those before it. Folders of one rank may use
// each other in one direction only. Transports (serve/http, serve/grpc) never reach LibTorch, and no file reaches
// both LibTorch and gRPC, directly or through headers of ours.
#ifndef RADLADS_TESTING_INCLUDE_DIRECTION_H_
#define RADLADS_TESTING_INCLUDE_DIRECTION_H_

#include <map>
#include <string>
#include <vector>

namespace radlads {

// Path relative to the root of the repository ("model/state.h", "data/BUILD.bazel") -> contents.
using SourceTree = std::map<std::string, std::string>;

// One line for each offence: "file:line: what", in order of the paths. C++, CUDA and BUILD.bazel files are read, others
// and third_party/ are passed over. A folder with C++ code that has no place in the order is an offence too.
std::vector<std::string> FindIncludeOffences(const SourceTree& tree);

}  // namespace radlads

#endif  // RADLADS_TESTING_INCLUDE_DIRECTION_H_
