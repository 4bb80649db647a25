"""cuda_library: compile .cu with nvcc, hand the objects to the C++ rules."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@cuda//:config.bzl", "CUDA_HOME")

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

    objs = []
    for src in ctx.files.srcs:
        obj = ctx.actions.declare_file("_nvcc/%s/%s.o" % (ctx.label.name, src.basename))
        args = ctx.actions.args()
        args.add("-c", src)
        args.add("-o", obj)
        args.add_all(["-std=c++20", "-Xcompiler=-fPIC", "--expt-relaxed-constexpr", "--extended-lambda", "-lineinfo"])
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
        ctx.actions.run(
            mnemonic = "NvccCompile",
            progress_message = "nvcc %s" % src.short_path,
            executable = CUDA_HOME + "/bin/nvcc",
            arguments = [args],
            inputs = depset(ctx.files.srcs + ctx.files.hdrs, transitive = [cctx.headers]),
            outputs = [obj],
            env = {"PATH": "/usr/bin:/bin"},
        )
        objs.append(obj)

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
        cc_common.merge_cc_infos(cc_infos = [own] + [d[CcInfo] for d in ctx.attr.deps]),
    ]

cuda_library = rule(
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
