"""The CUDA toolkit as a repository, and cuda_library: .cu files compiled by nvcc."""

def _cuda_repo_impl(rctx):
    env = rctx.os.environ
    home = env.get("CUDA_HOME", "/usr/local/cuda")
    rctx.template("BUILD.bazel", rctx.attr.build_file, {"%{cuda}": home}, executable = False)
    found = rctx.path(home + "/bin/nvcc").exists
    if found:
        rctx.symlink(home + "/include", "include")
    else:
        rctx.file("include/.keep")
    rctx.file("config.bzl", "HAS_NVCC = %s\nCUDA_HOME = %r\n" % (found, home))

cuda_repository = repository_rule(
    implementation = _cuda_repo_impl,
    attrs = {"build_file": attr.label(allow_single_file = True, mandatory = True)},
    environ = ["CUDA_HOME"],
    local = True,
    configure = True,
)
