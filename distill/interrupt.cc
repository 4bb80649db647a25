#include "distill/interrupt.h"

namespace radlads {
namespace {

volatile std::sig_atomic_t g_signal = 0;

void Remember(int signal) {
  g_signal = signal;
}

}  // namespace

InterruptFlag::InterruptFlag() {
  g_signal = 0;
  struct sigaction action = {};
  action.sa_handler = Remember;
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, &before_int_);
  sigaction(SIGTERM, &action, &before_term_);
}

InterruptFlag::~InterruptFlag() {
  sigaction(SIGINT, &before_int_, nullptr);
  sigaction(SIGTERM, &before_term_, nullptr);
}

const char* InterruptFlag::signal() const {
  if (g_signal == 0) return nullptr;
  return g_signal == SIGINT ? "SIGINT" : "SIGTERM";
}

}  // namespace radlads
