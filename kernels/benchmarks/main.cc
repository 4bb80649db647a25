#include "kernels/benchmarks/benchmark.h"

int main(int argc, char** argv) {
  return radlads::BenchmarkMain(argc, argv);
}
