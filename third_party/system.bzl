"""Debian's packages as cc_library targets (headers in /usr/include, found by the compiler)."""

def _impl(rctx):
    r = rctx.execute(["/usr/bin/pkg-config", "--libs", "grpc++", "protobuf", "absl_status", "absl_statusor", "absl_strings", "yaml-cpp"])
    if r.return_code != 0:
        fail("system packages missing; run tools/setup.sh: " + r.stderr)
    rctx.symlink(rctx.attr.build_file, "BUILD.bazel")

system_repository = repository_rule(
    implementation = _impl,
    attrs = {"build_file": attr.label(allow_single_file = True, mandatory = True)},
    local = True,
    configure = True,
)
