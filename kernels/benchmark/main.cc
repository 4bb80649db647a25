#include "kernels/benchmark/benchmark.h"

int main(int argc, char** argv) {
  return radlads::BenchmarkMain(argc, argv);
}
