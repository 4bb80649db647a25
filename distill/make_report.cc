// //distill:make_report RUN: writes RUN/report.html anew, from what the run directory holds now.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "distill/report.h"

int main(int argc, char** argv) {
  absl::Status status = radlads::BeginProgram();
  if (!status.ok()) return radlads::ExitCode(status);
  CLI::App app(
      "Writes report.html of a run of //distill:train anew: curves, student beside teacher, answers, configuration.");
  std::string run;
  app.add_option("RUN", run, "the run directory, out/<name>")->required();
  if (const auto exit_code = radlads::ParseFlags(app, argc, argv)) return *exit_code;
  status = radlads::WriteReport(run);
  if (status.ok()) std::printf("%s/report.html\n", run.c_str());
  return radlads::ExitCode(status);
}
