"""The system's clang as a C++ toolchain beside the default one: @clang//:toolchain, for libFuzzer (//testing:fuzz_test.bzl)."""

load("@bazel_tools//tools/cpp:cc_configure.bzl", "cc_autoconf_impl")

def _impl(rctx):
    clang = rctx.which("clang")
    if not clang:
        fail("clang is missing, which builds the fuzz tests; run tools/setup.sh")
    cc_autoconf_impl(rctx, {"gcc": str(clang)})

clang_repository = repository_rule(
    implementation = _impl,
    environ = ["PATH"],
    local = True,
    configure = True,
)
