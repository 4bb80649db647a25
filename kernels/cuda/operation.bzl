"""cuda_operation: the CUDA side of an operation whose folder follows the naming of kernels/rms_norm."""

load("//third_party:cuda_rules.bzl", "cuda_library", "cuda_library_test")
load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

def cuda_operation(name, hdrs = []):
    """Makes, in the folder of operation `name` with its targets :<name>, :cpu, :reference and :tests:

      :kernels                    <name>_kernels.h, the functions for each kind of device
      :cuda                       <name>_cuda.cu behind <name>_cuda.h, compiled by nvcc
      :op_cuda                    <name>_op_cuda.cc, which hands :cuda to :kernels; for :<name> under --config=cuda.
                                  Compiles without a GPU; linking needs the GPU libraries of LibTorch
      :<name>_cuda_test           the kernels' source run on the CPU by <name>_cuda_test.cc and :tests
      :<name>_cuda_compiles_test  nvcc takes it, without spills; skips where there is no nvcc

    Args:
      name: of the operation and its folder.
      hdrs: targets with headers of device code that the kernels include.
    """
    cc_library(
        name = "kernels",
        hdrs = [name + "_kernels.h"],
        visibility = ["//visibility:private"],
        deps = [
            ":cpu",
            "//kernels:device_function",
        ],
    )

    cc_library(
        name = "cuda_header",
        hdrs = [name + "_cuda.h"],
        visibility = ["//visibility:private"],
        deps = [
            ":cpu",
            "//kernels/cuda:types",
        ],
    )

    cuda_library(
        name = "cuda",
        srcs = [name + "_cuda.cu"],
        visibility = ["//visibility:private"],
        deps = [
            ":cuda_header",
            "//kernels/cuda:device",
        ] + hdrs,
    )

    cc_library(
        name = "op_cuda",
        srcs = [name + "_op_cuda.cc"],
        tags = ["manual"],
        visibility = ["//visibility:private"],
        deps = [
            ":cuda",
            ":cuda_header",
            ":kernels",
            "//kernels/cuda:torch",
        ],
        alwayslink = True,
    )

    cc_library(
        name = "cuda_source",
        testonly = True,
        textual_hdrs = [name + "_cuda.cu"],
        visibility = ["//visibility:private"],
        deps = [
            ":cuda_header",
            "//kernels/cuda:device",
        ] + hdrs,
    )

    cc_test(
        name = name + "_cuda_test",
        size = "small",
        srcs = [name + "_cuda_test.cc"],
        copts = ["-Wno-unknown-pragmas"],  # of nvcc
        deps = [
            ":" + name,
            ":cuda_source",
            ":kernels",
            ":reference",
            ":tests",
            "//base:status",
            "//kernels/testing:compare",
            "//kernels/testing:cuda_operation",
            "//kernels/testing:operation",
            "@libtorch//:torch",
            "@system//:gtest_main",
        ],
    )

    cuda_library_test(
        name = name + "_cuda_compiles_test",
        library = ":cuda",
    )
