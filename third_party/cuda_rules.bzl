"""cuda_library: compile .cu with nvcc, hand the objects to the C++ rules. cuda_library_test: what nvcc says of it."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@cuda//:config.bzl", "CUDA_HOME", "HAS_NVCC")
load("@rules_cc//cc:defs.bzl", "cc_test")

DEFAULT_ARCHS = ["80", "90a", "120"]

def _nvcc_flags(archs):
    out = []
    for a in archs:
        out.append("-gencode=arch=compute_%s,code=sm_%s" % (a, a))
    return out

def _impl(ctx):
    cc = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    dep_cc = cc_common.merge_cc_infos(cc_infos = [d[CcInfo] for d in ctx.attr.deps])
    cctx = dep_cc.compilation_context
    opt = ctx.var["COMPILATION_MODE"]

    if not HAS_NVCC:
        fail("%s is CUDA code, and there is no nvcc in %s/bin: install the CUDA toolkit, or name it with --repo_env=CUDA_HOME=..." %
             (ctx.label, CUDA_HOME))

    objs = []
    logs = []
    for src in ctx.files.srcs:
        obj = ctx.actions.declare_file("_nvcc/%s/%s.o" % (ctx.label.name, src.basename))
        log = ctx.actions.declare_file("_nvcc/%s/%s.ptxas.txt" % (ctx.label.name, src.basename))
        args = ctx.actions.args()
        args.add(CUDA_HOME + "/bin/nvcc")
        args.add("-c", src)
        args.add("-o", obj)
        args.add_all(["-std=c++20", "-Xcompiler=-fPIC", "--expt-relaxed-constexpr", "--extended-lambda", "-lineinfo", "-Xptxas=-v"])
        args.add("-ccbin", "/usr/bin/g++")
        args.add("--threads", "2")
        args.add_all(["-O0", "-g"] if opt == "dbg" else ["-O3", "-DNDEBUG"])
        args.add_all(_nvcc_flags(ctx.attr.archs))
        args.add_all(ctx.attr.copts)
        args.add_all(cctx.defines, before_each = "-D")
        args.add_all(cctx.local_defines, before_each = "-D")
        args.add("-I.")
        args.add_all(cctx.includes, before_each = "-I")
        args.add_all(cctx.quote_includes, before_each = "-I")
        args.add_all(cctx.system_includes, before_each = "-isystem")
        # What ptxas says of registers and spills goes to a file; errors and warnings to the terminal.
        ctx.actions.run_shell(
            mnemonic = "NvccCompile",
            progress_message = "nvcc %s" % src.short_path,
            command = 'log="$1"; shift; "$@" >"$log" 2>&1; status=$?; ' +
                      'grep -v -E "^ptxas info|bytes stack frame|^ *$" "$log" >&2; exit $status',
            arguments = [log.path, args],
            inputs = depset(ctx.files.srcs + ctx.files.hdrs, transitive = [cctx.headers]),
            outputs = [obj, log],
            env = {"PATH": "/usr/bin:/bin"},
        )
        objs.append(obj)
        logs.append(log)

    outs = cc_common.create_compilation_outputs(
        objects = depset(objs),
        pic_objects = depset(objs),
    )
    linking, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        feature_configuration = features,
        cc_toolchain = cc,
        compilation_outputs = outs,
        alwayslink = ctx.attr.alwayslink,
        disallow_dynamic_library = True,
        user_link_flags = ["-L%s/lib64" % CUDA_HOME, "-Wl,-rpath,%s/lib64" % CUDA_HOME] +
                          (["-lcudart"] if ctx.attr.link_cudart else []),
    )
    own = CcInfo(
        compilation_context = cc_common.create_compilation_context(
            headers = depset(ctx.files.hdrs),
        ),
        linking_context = linking,
    )
    return [
        DefaultInfo(files = depset(objs)),
        OutputGroupInfo(ptxas = depset(logs)),
        cc_common.merge_cc_infos(cc_infos = [own] + [d[CcInfo] for d in ctx.attr.deps]),
    ]

_cuda_library = rule(
    implementation = _impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh", ".hpp"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(),
        "archs": attr.string_list(default = DEFAULT_ARCHS),
        "alwayslink": attr.bool(default = False),
        "link_cudart": attr.bool(default = True),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def cuda_library(name, tags = [], **kwargs):
    """CUDA code that needs nvcc to build; left out of wildcards, so that a machine without it builds the rest."""
    _cuda_library(name = name, tags = tags + ["manual"], **kwargs)

def cuda_library_test(name, library, may_spill = []):
    """Compiles `library` for all architectures and reads ptxas's report: no spills. Skips where there is no nvcc.

    Args:
      name: of the test.
      library: a cuda_library.
      may_spill: parts of the names of kernels that may spill a few registers.
    """
    native.filegroup(
        name = name + "_ptxas",
        srcs = [library],
        output_group = "ptxas",
        tags = ["manual"],
    )
    cc_test(
        name = name,
        size = "small",
        args = ["--may_spill=" + kernel for kernel in may_spill] +
               (["$(rootpaths :%s_ptxas)" % name] if HAS_NVCC else []),
        data = [":%s_ptxas" % name] if HAS_NVCC else [],
        deps = ["//kernels/cuda:ptxas_report_test"],
    )
