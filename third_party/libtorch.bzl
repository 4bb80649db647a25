"""Finds an installed LibTorch (the PyPI torch wheel) and exposes it as a repository."""

def _candidates(rctx):
    env = rctx.os.environ
    if env.get("RADLADS_LIBTORCH"):
        # Named outright: no fallback, so a wrong path is an error and not a surprise.
        return [env["RADLADS_LIBTORCH"]]
    found = []
    lib = rctx.path(env["HOME"] + "/.cache/radlads/python/lib")  # the environment that tools/setup.sh makes
    if lib.exists:
        for python in lib.readdir():
            if python.basename.startswith("python3"):
                found.append(str(python) + "/site-packages/torch")
    return found

def _impl(rctx):
    candidates = _candidates(rctx)
    torch = None
    for candidate in candidates:
        if rctx.path(candidate + "/lib/libtorch_cpu.so").exists:
            torch = rctx.path(candidate)
            break
    if torch == None:
        fail("LibTorch not found. Run tools/setup.sh, or name a <site-packages>/torch with " +
             "--repo_env=RADLADS_LIBTORCH=... Looked in: %s" % candidates)
    site = torch.dirname

    # All headers but the wheel's own copies of protobuf 3.13's and of fmt's, which would shadow the system's wherever
    # the compiler may look beyond what a rule declares (spdlog is built with the system's fmt).
    for child in torch.get_child("include").readdir():
        if child.basename not in ["google", "fmt"]:
            rctx.symlink(child, "include/" + child.basename)
    rctx.symlink(torch.get_child("lib"), "lib")
    has_cuda = rctx.path(str(site) + "/nvidia/nccl/lib/libnccl.so.2").exists and \
               rctx.path(str(torch) + "/lib/libtorch_cuda.so").exists
    nccl_include = rctx.path(str(site) + "/nvidia/nccl/include")
    if nccl_include.exists:
        rctx.symlink(nccl_include, "nccl_include")
    else:
        rctx.file("nccl_include/.keep")

    nvidia = str(site) + "/nvidia"
    dirs = [str(torch) + "/lib"] + [nvidia + d for d in [
        "/cu13/lib",
        "/nccl/lib",
        "/cudnn/lib",
        "/cusparselt/lib",
        "/nvshmem/lib",
    ] if rctx.path(nvidia + d).exists]

    substitutions = {
        "%{libdirs}": "\n".join(['    "-L%s",' % d for d in dirs]),
        "%{rpaths}": "\n".join(['    "-Wl,-rpath,%s",' % d for d in dirs]),
        "%{rpath_links}": "\n".join(['    "-Wl,-rpath-link,%s",' % d for d in dirs]),
    }
    rctx.template("BUILD.bazel", rctx.attr.build_file, substitutions, executable = False)
    rctx.file("config.bzl", "LIBTORCH_HAS_CUDA = %s\nLIBTORCH_DIR = %r\n" % (has_cuda, str(torch)))

libtorch_repository = repository_rule(
    implementation = _impl,
    attrs = {"build_file": attr.label(allow_single_file = True, mandatory = True)},
    environ = ["RADLADS_LIBTORCH", "HOME"],
    local = True,
    configure = True,
)
