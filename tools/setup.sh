#!/usr/bin/env bash
# Installs what radlads needs on Debian 12 / Ubuntu: build tools and libraries from the distribution,
# LibTorch from PyPI's torch wheel. Safe to run again: with nothing to do it takes a second or two.
#
#   tools/setup.sh            everything that building and testing on a CPU needs
#   tools/setup.sh --cuda     also the NVIDIA libraries that a --config=cuda build links (about 3 GB)
#   tools/setup.sh --peers    also PyTorch with its Python parts, for the benchmarks against it (about 5 GB)
#
# Distribution packages need root or sudo; nothing else does. LibTorch goes to ~/.cache/radlads/python; the clients that
# the servers are tested with, lm_eval and OpenAI's, to ~/.cache/radlads/lm_eval (0.9 GB).
set -euo pipefail

cache="$HOME/.cache/radlads"
torch_version=2.11.0
cuda_runtime_version=13.0.96
cuda_cupti_version=13.0.85
lm_eval=(lm_eval==0.4.13 datasets==5.2.0 transformers==5.23.0 tokenizers==0.23.3 requests==2.34.2 aiohttp==3.14.5 tenacity==9.2.1)
openai=(openai==3.54.0)

packages=(
  g++ clang libclang-rt-dev git ca-certificates pkg-config python3 python3-venv
  bazel-bootstrap bazel-rules-java bazel-rules-proto bazel-platforms bazel-skylib
  protobuf-compiler libprotobuf-dev protobuf-compiler-grpc libgrpc++-dev libabsl-dev
  librocksdb-dev libcpp-httplib-dev libssl-dev libyaml-dev nlohmann-json3-dev rapidjson-dev
  libspdlog-dev libcli11-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev libbenchmark-dev libhwy-dev libgloo-dev
  libre2-dev libutf8proc-dev zlib1g-dev libzstd-dev liblzma-dev liblz4-dev libsimdjson-dev
)

usage() { sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'; }
say() { printf '[setup] %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

with_cuda=0
with_peers=0
for arg in "$@"; do
  case "$arg" in
    --cuda) with_cuda=1 ;;
    --peers) with_peers=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown option $arg" ;;
  esac
done

install_packages() {
  command -v dpkg-query >/dev/null || die "this script knows Debian and Ubuntu only; on another system install: ${packages[*]}"
  local missing=()
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "distribution packages: all ${#packages[@]} present"
    return
  fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "need root or sudo to install: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} distribution packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || die "apt-get update failed"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >"$cache/apt.log" 2>&1 || { tail -20 "$cache/apt.log" >&2; die "apt-get install failed; the whole log is $cache/apt.log"; }
}

# pip_install VENV PIP-ARGUMENTS...: makes the virtual environment when needed, then installs into it.
pip_install() {
  local venv="$1"
  shift
  if [ ! -x "$venv/bin/pip" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" || die "python3 -m venv $venv failed"
  fi
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" || die "pip install $* failed"
}

# has VENV NAME==VERSION...: whether all of these are installed (reads file names only, so it is quick).
has() {
  local venv="$1" requirement
  shift
  for requirement in "$@"; do
    local name="${requirement%%==*}" version="${requirement##*==}"
    compgen -G "$venv/lib/python3*/site-packages/${name//-/_}-${version}.dist-info" >/dev/null || return 1
  done
}

# ensure WHAT VENV PIP-FLAGS -- REQUIREMENTS...
ensure() {
  local what="$1" venv="$2" flags=()
  shift 2
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  shift
  if has "$venv" "$@"; then
    say "$what: present in $venv"
  else
    say "$what: installing $* into $venv"
    pip_install "$venv" "${flags[@]}" "$@"
  fi
}

mkdir -p "$cache"
install_packages

libtorch=("torch==$torch_version" "nvidia-cuda-runtime==$cuda_runtime_version" "nvidia-cuda-cupti==$cuda_cupti_version")
if [ "$with_cuda" = 1 ]; then
  with_cuda_already=0
  has "$cache/python" "${libtorch[@]}" nvidia-nccl-cu13==2.28.9 && with_cuda_already=1
  ensure "LibTorch $torch_version with CUDA" "$cache/python" -- "${libtorch[@]}" nvidia-nccl-cu13==2.28.9
  # Bazel has seen the directory without NVIDIA's libraries and must look again.
  [ "$with_cuda_already" = 1 ] || (cd "$(dirname "$0")/.." && bazel sync --configure >/dev/null 2>&1) ||
    die "bazel sync --configure failed"
else
  # The CPU libraries of the wheel need only these two NVIDIA packages; --no-deps saves 3 GB.
  ensure "LibTorch $torch_version" "$cache/python" --no-deps -- "${libtorch[@]}"
fi
# With what its client for HTTP needs (local-completions, with a tokenizer of Hugging Face); PyTorch is not among it.
ensure "lm_eval and openai, clients of the servers" "$cache/lm_eval" -- "${lm_eval[@]}" "${openai[@]}"
if [ "$with_peers" = 1 ]; then
  ensure "PyTorch and friends, the peers of the benchmarks" "$cache/peers" -- "torch==$torch_version" numpy==2.3.4 \
    safetensors==0.8.0 tiktoken==0.14.0 bpe-qwen==0.1.5 accelerate==1.15.0 peft==0.21.2 xllamacpp==2026.10.11549 "${lm_eval[@]}"
fi
say "ready"
