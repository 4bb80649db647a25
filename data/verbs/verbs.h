// The verbs of make_binidx. A verb is added by a function of this file; to make one, write such a function in a file of
// its own or beside its like, declare it here and name it in make_binidx.cc.
#ifndef RADLADS_DATA_VERBS_VERBS_H_
#define RADLADS_DATA_VERBS_VERBS_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <stop_token>

#include "absl/status/status.h"

namespace radlads {

// What the command line asks for. `stop` is requested by Ctrl-C; CANCELLED then.
using Run = std::function<absl::Status(std::stop_token stop)>;

// Adds a verb with its options to the command line, the parser of which sets *run when the verb is named.
using AddVerb = void(CLI::App& app, Run* run);

// Write datasets, and continue where they were interrupted.
AddVerb AddBuild;   // build.cc
AddVerb AddAppend;  // build.cc
AddVerb AddMerge;   // copy.cc
AddVerb AddSplit;   // copy.cc
AddVerb AddFixEos;  // copy.cc

// Catalogs of datasets.
AddVerb AddImport;   // import.cc
AddVerb AddCatalog;  // catalog.cc

// Look at datasets; nothing is lost when they are interrupted.
AddVerb AddCheck;   // check.cc
AddVerb AddInfo;    // show.cc
AddVerb AddPrimes;  // show.cc
AddVerb AddSample;  // show.cc
AddVerb AddStat;    // show.cc

}  // namespace radlads

#endif  // RADLADS_DATA_VERBS_VERBS_H_
