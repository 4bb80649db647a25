"""fuzz_test: a libFuzzer target, run as a test on a bounded number of inputs that are the same every time.

    fuzz_test(
        name = "parser_fuzz_test",
        srcs = ["parser_fuzz_test.cc"],              # has LLVMFuzzerTestOneInput
        corpus = glob(["testdata/fuzz/parser/*"]),   # what the inputs grow from
        deps = [":parser"],
    )

It fails on a crash, a report of the address or undefined-behaviour sanitizer, a leak, an input that takes 10 s or
2 GiB, and where the target aborts because what it looks at is wrong. Everything it links from this workspace is built
by clang with these sanitizers and coverage, whatever --config says. Arguments replace those of the test:

    bazel run //folder:parser_fuzz_test -- -max_total_time=3600 "$PWD/new_inputs" "$PWD/folder/testdata/fuzz/parser"
    bazel run //folder:parser_fuzz_test -- "$PWD/crash-0123"
"""

load("@rules_cc//cc:defs.bzl", "cc_binary")

_SANITIZERS = "address,undefined"

def _with_fuzzer_impl(_settings, _attr):
    return {
        "//command_line_option:crosstool_top": "@clang//:toolchain",
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:copt": [
            "-fsanitize=fuzzer-no-link," + _SANITIZERS,
            "-fno-sanitize-recover=all",
            "-fno-omit-frame-pointer",
            "-O1",
            "-g",
            "-UNDEBUG",
        ],
        "//command_line_option:linkopt": ["-fsanitize=fuzzer," + _SANITIZERS, "-fsanitize-link-c++-runtime"],
        "//command_line_option:strip": "never",
    }

_with_fuzzer = transition(
    implementation = _with_fuzzer_impl,
    inputs = [],
    outputs = [
        "//command_line_option:" + option
        for option in ["crosstool_top", "compilation_mode", "copt", "linkopt", "strip"]
    ],
)

def _fuzz_test_impl(ctx):
    fuzzer = ctx.attr.fuzzer[0][DefaultInfo]
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        script,
        """#!/bin/bash
set -eu
fuzzer="$PWD/{fuzzer}"
[ $# -eq 0 ] || exec "$fuzzer" "$@"
mkdir "$TEST_TMPDIR/corpus"
cp -L {corpus} "$TEST_TMPDIR/corpus"
exec "$fuzzer" -seed=1 -runs={runs} -max_len={max_len} -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \\
  -artifact_prefix="$TEST_UNDECLARED_OUTPUTS_DIR/" "$TEST_TMPDIR/corpus"
""".format(
            fuzzer = fuzzer.files_to_run.executable.short_path,
            corpus = " ".join([file.short_path for file in ctx.files.corpus]),
            runs = ctx.attr.runs,
            max_len = ctx.attr.max_len,
        ),
        is_executable = True,
    )
    runfiles = ctx.runfiles(ctx.files.corpus + [fuzzer.files_to_run.executable])
    return [DefaultInfo(executable = script, runfiles = runfiles.merge(fuzzer.default_runfiles))]

_fuzz_test = rule(
    implementation = _fuzz_test_impl,
    test = True,
    attrs = {
        "fuzzer": attr.label(cfg = _with_fuzzer, mandatory = True),
        "corpus": attr.label_list(allow_files = True, allow_empty = False),
        "runs": attr.int(),
        "max_len": attr.int(),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def fuzz_test(name, srcs, corpus, deps = [], data = [], runs = 20000, max_len = 4096, **kwargs):
    """Runs the seeds of `corpus`, then `runs` inputs of at most `max_len` bytes that grow from them."""
    cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        srcs = srcs,
        data = data,
        tags = ["manual"],  # only the test builds it as it must be
        deps = deps,
        visibility = ["//visibility:private"],
    )
    _fuzz_test(name = name, fuzzer = name + "_fuzzer", corpus = corpus, runs = runs, max_len = max_len, **kwargs)
