"""The distribution's libraries as cc_library targets: @system//:NAME.

Headers lie in /usr/include, which the compiler searches; what to link, pkg-config knows. Asking it matters: Abseil
divides itself into other libraries with every release.
"""

def _library(packages = [], linkopts = [], deps = [], defines = [], ask_defines = False):
    """Says how to use a library.

    Args:
      packages: its names in pkg-config.
      linkopts: what pkg-config does not say, or does not know.
      deps: other libraries of the table, that come with it.
      defines: preprocessor macros of all that uses it.
      ask_defines: whether pkg-config knows macros that must be as the distribution had them when it built the library.
    """
    return struct(packages = packages, linkopts = linkopts, deps = deps, defines = defines, ask_defines = ask_defines)

_LIBRARIES = {
    "absl_container": _library(["absl_flat_hash_map"]),
    "absl_status": _library(["absl_status", "absl_statusor"]),
    "absl_strings": _library(["absl_str_format", "absl_strings"]),
    "absl_sync": _library(["absl_synchronization", "absl_time"]),
    "benchmark": _library(["benchmark"], ["-pthread"]),
    "cli11": _library(),
    "crypto": _library(["libcrypto"]),
    "grpc": _library(["grpc++", "grpc"], deps = ["protobuf", "absl_sync"]),
    # Found by the linker only; it registers itself before main, and nothing names it.
    "grpc_reflection": _library(linkopts = ["-Wl,--no-as-needed", "-lgrpc++_reflection", "-Wl,--as-needed"], deps = ["grpc"]),
    "gtest": _library(["gmock", "gtest"], ["-pthread"]),
    "gtest_main": _library(linkopts = ["-lgtest_main"], deps = ["gtest"]),
    # Its macros decide the layout of its classes.
    "httplib": _library(["cpp-httplib", "openssl"], ["-pthread"], ask_defines = True),
    "hwy": _library(["libhwy"]),
    "json": _library(),
    "lz4": _library(["liblz4"]),
    "lzma": _library(["liblzma"]),
    # LibTorch brings a libgomp of the same soname; whichever is loaded first serves both.
    "openmp": _library(linkopts = ["-lgomp"]),
    "prometheus": _library(["prometheus-cpp-core"]),
    "protobuf": _library(["protobuf"], ["-pthread"]),
    "rapidjson": _library(),
    "re2": _library(["re2"]),
    "rocksdb": _library(["rocksdb"]),
    "simdjson": _library(["simdjson"]),
    "spdlog": _library(["spdlog"], defines = ["SPDLOG_COMPILED_LIB", "SPDLOG_SHARED_LIB", "SPDLOG_FMT_EXTERNAL"]),
    "utf8proc": _library(["libutf8proc"]),
    "yaml": _library(["yaml-0.1"]),
    "zlib": _library(["zlib"]),
    "zstd": _library(["libzstd"]),
}

def _ask(rctx, question, packages):
    answer = rctx.execute(["/usr/bin/pkg-config", question] + packages)
    if answer.return_code != 0:
        fail("pkg-config does not find %s; run tools/setup.sh: %s" % (" ".join(packages), answer.stderr))
    return [flag for flag in answer.stdout.replace("\n", " ").split(" ") if flag]

def _impl(rctx):
    targets = []
    for name, library in _LIBRARIES.items():
        linkopts, defines = list(library.linkopts), list(library.defines)
        if library.packages:
            # pkg-config names all that a static library would need; of shared ones, only those that are used stay.
            flags = _ask(rctx, "--libs", library.packages)
            linkopts = ["-Wl,--push-state,--as-needed"] + flags + ["-Wl,--pop-state"] + linkopts
        if library.ask_defines:
            flags = _ask(rctx, "--cflags-only-other", library.packages)
            defines += [flag[2:] for flag in flags if flag.startswith("-D")]
        targets.append("""cc_library(
    name = %r,
    defines = %r,
    linkopts = %r,
    deps = %r,
)
""" % (name, defines, linkopts, [":" + dep for dep in library.deps]))
    rctx.file("BUILD.bazel", "\n".join(['package(default_visibility = ["//visibility:public"])\n'] + targets), executable = False)

system_repository = repository_rule(
    implementation = _impl,
    local = True,
    configure = True,
)
