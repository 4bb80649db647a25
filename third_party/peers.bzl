"""The Python environment of `tools/setup.sh --peers`, with PyTorch and transformers, as a program for the tests that
need it. Without it they are skipped, and say so."""

def _impl(rctx):
    python = rctx.os.environ["HOME"] + "/.cache/radlads/peers/bin/python"
    rctx.file("python.sh", """#!/bin/sh
[ -x '{python}' ] && exec '{python}' "$@"
reason='there is no {python}; tools/setup.sh --peers makes it'
echo "skipped: $reason"
[ -z "$XML_OUTPUT_FILE" ] || cat >"$XML_OUTPUT_FILE" <<XML
<testsuites><testsuite name="peers" tests="1" skipped="1"><testcase name="$(basename "$1")" classname="peers">
<skipped message="$reason"/></testcase></testsuite></testsuites>
XML
""".format(python = python))
    rctx.file("BUILD.bazel", 'exports_files(["python.sh"])\n', executable = False)

peers_repository = repository_rule(
    implementation = _impl,
    environ = ["HOME"],
    local = True,
    configure = True,
)
