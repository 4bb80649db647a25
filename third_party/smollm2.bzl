"""The teacher that tools/fetch_teacher.sh puts beside the other downloads, as a repository for the tests that need it."""

def _impl(rctx):
    model = rctx.path(rctx.os.environ["HOME"] + "/.cache/radlads/teacher/SmolLM2-135M-Instruct.gguf")
    if model.exists:
        rctx.symlink(model, "SmolLM2-135M-Instruct.gguf")
    rctx.file("BUILD.bazel", """
filegroup(
    name = "model",
    srcs = glob(["*.gguf"]),
    visibility = ["//visibility:public"],
)
""", executable = False)

smollm2_repository = repository_rule(
    implementation = _impl,
    environ = ["HOME"],
    local = True,
    configure = True,
)
