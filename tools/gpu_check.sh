#!/usr/bin/env bash
# Judges the CUDA kernels on a machine with a GPU and a torch wheel, without Bazel: every GPU test, compute-sanitizer on
# small shapes where it is installed, then speed beside flash-linear-attention and the roofline.
#
# Where Bazel is:      tools/gpu_check.sh --bundle DIR           makes what the other machine needs (needs nvcc and
#                                                                tools/setup.sh --cuda)
# Where the GPU is:    DIR/gpu_check.sh [--results DIR]          runs it; under 8 minutes
#
# Results: DIR/gpu_check.md, gpu_benchmark.json, tests.log. The exit status is that of the tests.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
die() { printf 'gpu_check: error: %s\n' "$*" >&2; exit 1; }

bundle=""
results="gpu_check"
while [ $# -gt 0 ]; do
  case "$1" in
    --bundle | --results) [ $# -ge 2 ] || die "$1 needs a directory" ;;
  esac
  case "$1" in
    --bundle) bundle="$2"; shift 2 ;;
    --results) results="$2"; shift 2 ;;
    -h | --help) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown option $1" ;;
  esac
done

if [ -n "$bundle" ]; then
  "$here/bundle.sh" --cuda --to "$bundle" //kernels/wkv/cuda:gpu_test \
    //kernels:operations_gpu_test //serve/engine:engine_gpu_test //kernels:libradlads_kernels.so
  cp "$here/gpu_check.sh" "$here/gpu_benchmark.py" "$bundle/"
  printf 'Copy %s to the machine with the GPU and run gpu_check.sh there.\n' "$bundle"
  exit 0
fi

[ -x "$here/run" ] || die "$here is no bundle; make one with tools/gpu_check.sh --bundle DIR"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || die "nvidia-smi finds no GPU here"
mkdir -p "$results"

status=0
: >"$results/tests.log"
for test in "$here"/bin/*_test; do
  printf 'gpu_check: %s\n' "$(basename "$test")"
  "$here/run" "$(basename "$test")" >>"$results/tests.log" 2>&1 || status=1
done
grep -E '^\[  (PASSED|FAILED|SKIPPED)' "$results/tests.log" || true
[ "$status" = 0 ] || tail -n 60 "$results/tests.log" >&2

sanitizer="$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)"
if [ -n "$sanitizer" ]; then
  for tool in memcheck racecheck initcheck; do
    printf 'gpu_check: compute-sanitizer %s\n' "$tool"
    # shellcheck disable=SC2016
    sed "s|exec \"\$here/bin|exec $sanitizer --tool $tool --error-exitcode 9 \"\$here/bin|" "$here/run" >"$here/run_sanitized"
    chmod +x "$here/run_sanitized"
    timeout 120 "$here/run_sanitized" gpu_test --gtest_filter='*EmptyShapes:*StridedInputs' \
      >"$results/$tool.log" 2>&1 || { status=1; tail -n 40 "$results/$tool.log" >&2; }
    timeout 120 "$here/run_sanitized" operations_gpu_test \
      >"$results/$tool.operations.log" 2>&1 || { status=1; tail -n 40 "$results/$tool.operations.log" >&2; }
  done
else
  printf 'gpu_check: no compute-sanitizer here; its checks were not made\n'
fi

LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" python3 "$here/gpu_benchmark.py" \
  --library "$here/bin/libradlads_kernels.so" --json "$results/gpu_benchmark.json" --markdown "$results/gpu_check.md" || status=1
exit "$status"
