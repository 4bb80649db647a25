#!/usr/bin/env bash
# Makes a new Debian in a folder and runs the README's two commands in it, from nothing.
#
#   tools/test_fresh.sh debian12|debian13 [--dir DIR] [--tokens N] [--only quickstart|test]
#
# --dir DIR       where the system lies: DIR/NAME (default: ~/.cache/radlads/fresh). About 25 GB; remove it by hand.
# --tokens N      tokens for the quickstart's training (default: what tools/quickstart.sh takes)
# --only COMMAND  one of the two
#
# Needs root, debootstrap and the network, and an hour or two. The system is made once; what this checkout has committed
# (HEAD) is copied into it anew each time, and a second run finds the first one's packages and objects. The log lies in
# DIR/NAME.log, and the last lines of both commands are printed at the end. Nothing of the host is changed; what runs in
# the system is ended with this script.
set -euo pipefail

die() { printf 'test_fresh: error: %s\n' "$*" >&2; exit 1; }
say() { printf '[test_fresh] %s\n' "$*"; }

name="" only="" tokens=() place="$HOME/.cache/radlads/fresh"
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    debian12) name="$1" suite=bookworm ;;
    debian13) name="$1" suite=trixie ;;
    --dir) [ $# -ge 2 ] || die "--dir needs a directory"; place="$2"; shift ;;
    --tokens) [ $# -ge 2 ] || die "--tokens needs a number"; tokens=(--tokens "$2"); shift ;;
    --only)
      [[ "${2:-}" = quickstart || "${2:-}" = test ]] || die "--only takes quickstart or test, found \"${2:-}\""
      only="$2"; shift ;;
    *) die "unknown argument $1; --help says what there is" ;;
  esac
  shift
done
[ -n "$name" ] || die "name a system: debian12 or debian13"
[ "$(id -u)" -eq 0 ] || die "making a system needs root"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"

cd "$(dirname "$0")/.."
mkdir -p "$place"
place="$(cd "$place" && pwd)"
root="$place/$name" log="$place/$name.log"

if [ ! -e "$root.made" ]; then
  say "making $name ($suite) in $root"
  rm -rf "$root"
  debootstrap --variant=minbase "$suite" "$root" >"$log" 2>&1 || { tail -5 "$log" >&2; die "debootstrap failed; see $log"; }
  touch "$root.made"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# A network that only lets in what its own authority has signed.
cp /etc/ssl/certs/ca-certificates.crt "$root/root/host-certificates.crt"

say "copying $(git rev-parse --short HEAD) into it"
mkdir -p "$root/root/radlads"
find "$root/root/radlads" -mindepth 1 -maxdepth 1 ! -name out ! -name 'bazel-*' -exec rm -rf {} +
git archive HEAD | tar -x -C "$root/root/radlads"

# run COMMAND...: in the system, as root, with processes and mounts of its own that go when the command ends.
run() {
  unshare --mount --pid --fork --kill-child -- bash -c '
    root="$1"; shift
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/dev/shm" &&
      mount --rbind /sys "$root/sys" || exit 1
    exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
      PIP_CERT=/root/host-certificates.crt ${https_proxy:+https_proxy="$https_proxy"} ${http_proxy:+http_proxy="$http_proxy"} \
      bash -c "cd /root/radlads && exec \"\$@\"" bash "$@"' bash "$root" "$@"
}

# The two commands, each with its time and its last line.
results=() failed=0
for command in quickstart test; do
  [ -z "$only" ] || [ "$only" = "$command" ] || continue
  arguments=()
  [ "$command" = test ] || arguments=("${tokens[@]}")
  say "tools/$command.sh ${arguments[*]} (log: $log)"
  begin=$SECONDS status=0
  run "tools/$command.sh" "${arguments[@]}" </dev/null >"$log.part" 2>&1 || status=$?
  { echo "== tools/$command.sh ${arguments[*]}"; cat "$log.part"; } >>"$log"
  results+=("$name: tools/$command.sh ${arguments[*]}: exit $status after $(((SECONDS - begin) / 60)) min: $(tail -1 "$log.part")")
  [ "$status" -eq 0 ] || failed=1
done
rm -f "$log.part"
printf '%s\n' "${results[@]}"
exit "$failed"
