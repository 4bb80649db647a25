#!/usr/bin/env bash
# Collects programs with the libraries they need, except LibTorch and NVIDIA's, so that they run on a machine that has a
# torch wheel but neither Bazel nor Debian's libraries.
#
#   tools/bundle.sh --to DIR [--cuda] TARGET...     Bazel targets: programs, tests, shared libraries
#
# Makes DIR/bin (what was built), DIR/lib (shared libraries), DIR/run:
#   DIR/run PROGRAM [arguments]                     runs DIR/bin/PROGRAM with the torch wheel of `python3` (or of $TORCH)
set -euo pipefail

cd "$(dirname "$0")/.."
die() { printf 'bundle: error: %s\n' "$*" >&2; exit 1; }

to=""
options=()
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --to) [ $# -ge 2 ] || die "--to needs a directory"; to="$2"; shift 2 ;;
    --cuda) options+=(--config=cuda); shift ;;
    -h | --help) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) die "unknown option $1" ;;
    *) targets+=("$1"); shift ;;
  esac
done
[ -n "$to" ] || die "--to DIR is missing"
[ ${#targets[@]} -gt 0 ] || die "name at least one target"
[ ! -e "$to" ] || die "$to exists; remove it or name another directory"

bazel build "${options[@]}" "${targets[@]}"

partial="$to.partial"
rm -rf "$partial"
mkdir -p "$partial/bin" "$partial/lib"
trap 'rm -rf "$partial"' EXIT
for target in "${targets[@]}"; do
  package="${target#//}"
  file="bazel-bin/${package/://}"
  [ -f "$file" ] || die "$target made no file $file"
  cp -L "$file" "$partial/bin/"
  chmod u+w "$partial/bin/$(basename "$file")"
done
# LibTorch stays out (it is 3 GB and comes from the wheel), and so does glibc (it belongs to the machine).
for file in "$partial"/bin/*; do
  ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
done | sort -u | grep -v -E '/(torch|nvidia)/|/cuda|/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so' |
  while read -r library; do cp -L "$library" "$partial/lib/"; done

cat >"$partial/run" <<'RUN'
#!/usr/bin/env bash
# run PROGRAM [arguments]: with the libraries beside this script and the torch wheel of python3, or of $TORCH.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
torch="${TORCH:-$(python3 -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))')}"
[ -f "$torch/lib/libtorch_cpu.so" ] || { echo "run: no LibTorch in $torch/lib; install torch, or name the directory of the torch package in TORCH" >&2; exit 1; }
program="$1"
shift
libraries="$torch/lib"
for directory in "$torch"/../nvidia/*/lib; do [ -d "$directory" ] && libraries+=":$directory"; done
LD_LIBRARY_PATH="$libraries:$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/bin/$program" "$@"
RUN
chmod +x "$partial/run"
mv "$partial" "$to"
trap - EXIT
printf '%s: %d programs, %d libraries, %s\n' "$to" "$(ls "$to/bin" | wc -l)" "$(ls "$to/lib" | wc -l)" "$(du -sh "$to" | cut -f1)"
