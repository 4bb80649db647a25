// The command line of a program, by CLI11, in words of one kind: ranges of flags, --version, and what is wrong.
//
//   CLI::App app("Counts.");
//   app.add_option("--threads", threads, "CPU threads.")->check(AtLeast(1));
//   if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
#ifndef RADLADS_BASE_PROGRAM_FLAGS_H_
#define RADLADS_BASE_PROGRAM_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace radlads {

// For Option::check. Of whole numbers, and of any.
CLI::Validator AtLeast(int64_t low);
CLI::Validator InRange(int64_t low, int64_t high);  // both belong to it
CLI::Validator MoreThan(double low);
CLI::Validator NumberAtLeast(double low);
CLI::Validator NumberInRange(double low, double high);
CLI::Validator OneOf(const std::vector<std::string>& words);

// Fills in what the flags of `app` stand for, and calls its callbacks. Adds --version. The exit code where the program
// is done: 0 after --help and --version; else the error is on stderr, with the nearest flag for one that there is not.
std::optional<int> ParseFlags(CLI::App& app, int argc, const char* const* argv);

}  // namespace radlads

#endif  // RADLADS_BASE_PROGRAM_FLAGS_H_
