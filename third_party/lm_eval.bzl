"""The Python environment with lm_eval and openai that tools/setup.sh makes, as a program for the tests that need it."""

def _impl(rctx):
    python = rctx.os.environ["HOME"] + "/.cache/radlads/lm_eval/bin/python"
    rctx.file("python.sh", """#!/bin/sh
[ -x '{python}' ] || {{ echo 'error: there is no {python}; run tools/setup.sh, which installs the clients' >&2; exit 1; }}
exec '{python}' "$@"
""".format(python = python))
    rctx.file("BUILD.bazel", 'exports_files(["python.sh"])\n', executable = False)

lm_eval_repository = repository_rule(
    implementation = _impl,
    environ = ["HOME"],
    local = True,
    configure = True,
)
