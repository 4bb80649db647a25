"""operation_benchmark: a benchmark of one operation, alone and as a part of //kernels:benchmark."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")

def operation_benchmark(name, deps):
    """Makes of <name>.cc, which registers cases (kernels/benchmarks/benchmark.h):

      :<name>        the program
      :<name>_cases  the cases, for //kernels:benchmark

    Args:
      name: <operation>_benchmark.
      deps: of <name>.cc, besides //kernels/benchmarks.
    """
    cc_library(
        name = name + "_cases",
        testonly = True,
        srcs = [name + ".cc"],
        visibility = ["//kernels:__pkg__"],
        deps = deps + ["//kernels/benchmarks:benchmark"],
        alwayslink = True,
    )
    cc_binary(
        name = name,
        testonly = True,
        deps = [
            ":" + name + "_cases",
            "//kernels/benchmarks:main",
        ],
    )
