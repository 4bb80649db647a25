#include "base/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <cstdio>
#include <string>

namespace radlads {

spdlog::logger& Log() {
  static spdlog::logger* logger = [] {
    auto* made = new spdlog::logger("radlads", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("[%H:%M:%S] %^%v%$");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *logger;
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fflush(stdout);
  std::string message(status.message());
  std::fprintf(stderr, "error: %s\n", message.c_str());
  return 1;
}

}  // namespace radlads
