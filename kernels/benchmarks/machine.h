// What this machine can do, measured.
#ifndef RADLADS_KERNELS_BENCHMARKS_MACHINE_H_
#define RADLADS_KERNELS_BENCHMARKS_MACHINE_H_

#include <cstdint>
#include <string>

namespace radlads {

// As the operating system has it ("AMD EPYC ..."), and the best instruction set that the kernels use on it.
std::string ProcessorName();
std::string InstructionSet();

// fp32 operations a second, two for each multiply-add, with independent sums in registers, on all threads of
// base/parallel_for.h. The best of several measurements; takes about half a second.
double MeasureFlops();

// Bytes a second read from an array of `bytes`, again and again, on all threads: from a cache where one holds it. The
// best of several measurements.
double MeasureReadBandwidth(int64_t bytes);

// Seconds that this thread has run if there is one thread only, those of the wall clock otherwise.
double BenchmarkClock();

}  // namespace radlads

#endif  // RADLADS_KERNELS_BENCHMARKS_MACHINE_H_
