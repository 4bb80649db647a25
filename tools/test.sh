#!/usr/bin/env bash
# Sets up what is missing, then builds everything and runs every test.
#
#   tools/test.sh                        all tests
#   tools/test.sh //model/... --config=asan   these targets, with these Bazel options
#   tools/test.sh --test_env=RADLADS_INSTRUCTIONS=avx2   as on a processor without AVX-512 (avx512: without VNNI, BF16, AMX)
#
# The last line says "N passed, N failed, N skipped", counted in test cases from Bazel's results. Output of failing
# tests and the reasons of skipped ones come before it. Exits with 0 only when everything was built and passed.
set -euo pipefail

case "${1:-}" in
  -h | --help) sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
esac

cd "$(dirname "$0")/.."
tools/setup.sh
# Tests of the real model skip, and say so, when it cannot be had.
tools/fetch_teacher.sh >/dev/null || echo "test: going on without the SmolLM2 teacher" >&2

targets=()
options=()
for argument in "$@"; do
  case "$argument" in
    -*) options+=("$argument") ;;
    *) targets+=("$argument") ;;
  esac
done
[ ${#targets[@]} -gt 0 ] || targets=(//...)

events="$(mktemp)"
trap 'rm -f "$events"' EXIT
bazel_exit=0
bazel test --keep_going --build_event_json_file="$events" "${options[@]}" -- "${targets[@]}" || bazel_exit=$?

python3 - "$events" "$bazel_exit" <<'PYTHON'
import json
import sys
import urllib.parse
import xml.etree.ElementTree

events, bazel_exit = sys.argv[1], int(sys.argv[2])
results = {}  # label -> {(shard, run): (status, path of test.xml)}, the last attempt of each
not_built = set()
for line in open(events, encoding="utf-8"):
    event = json.loads(line)
    if "testResult" in event:
        test, result = event["id"]["testResult"], event["testResult"]
        xml_uri = next((o["uri"] for o in result.get("testActionOutput", []) if o["name"] == "test.xml"), None)
        path = urllib.parse.unquote(urllib.parse.urlparse(xml_uri).path) if xml_uri else None
        results.setdefault(test["label"], {})[test.get("shard", 1), test.get("run", 1)] = result.get("status"), path
    elif "targetCompleted" in event.get("id", {}) and not event.get("completed", {}).get("success"):
        not_built.add(event["id"]["targetCompleted"]["label"])
not_built -= set(results)

passed = skipped = 0
failed, reasons = [], []
for label, runs in sorted(results.items()):
    for status, path in runs.values():
        failed_before = len(failed)
        try:
            cases = list(xml.etree.ElementTree.parse(path).iter("testcase")) if path else []
        except (OSError, xml.etree.ElementTree.ParseError):
            cases = []
        for case in cases:
            name = f"{label} {case.get('classname', '')}.{case.get('name', '')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
            elif skip is not None or case.get("result") == "skipped":
                skipped += 1
                message = " ".join((skip.get("message") or skip.text or "").split()) if skip is not None else ""
                reasons.append(f"{name}: {message or 'no reason given'}")
            elif case.get("status") != "notrun":
                passed += 1
        if status != "PASSED" and len(failed) == failed_before:
            failed.append(f"{label} ({status})")  # crashed, timed out, or left no result
failed += [f"{label} (not built)" for label in sorted(not_built)]

for reason in reasons:
    print("skipped:", reason)
for name in failed:
    print("failed:", name)
if bazel_exit and not failed:
    print(f"bazel failed with exit code {bazel_exit}; see its messages above")
print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
sys.exit(bazel_exit or (1 if failed or not passed else 0))
PYTHON
