#!/bin/bash
# What one would guess: resource limits work in a program under user-mode emulation as they do on the device, or setting them
# fails. QEMU passes the system calls on, and it passes on RLIMIT_NOFILE and RLIMIT_CPU.
#
# What qemu-aarch64-static 7.2 (Debian 12) does: setrlimit(2) of RLIMIT_AS, RLIMIT_DATA and RLIMIT_STACK returns 0 and does
# nothing, because the emulator itself would have to keep within them; getrlimit(2) returns the old value. So a test that an app
# ends at its limit passes or fails for another reason under emulation, a `ulimit -v` in a start script has no effect, and a
# program that limits itself runs without a limit. Limits of the cgroup count, but they count the emulator's memory as well.
#
# Needs: bash, apt-get, dpkg, Debian's archive keyring, amd64. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial cache/archives/partial
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n' >sources.list
get() { # architecture, arguments of apt-get
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::State::Status=/dev/null -o Dir::Cache="$work/cache" -o APT::Architecture="$1" -o APT::Architectures::="$1" "${@:2}" 2>/dev/null
}
for architecture in amd64 arm64; do
  get "$architecture" update
  (mkdir "$architecture" && cd "$architecture" && get "$architecture" download busybox-static && dpkg -x ./*.deb .)
done
get amd64 update
get amd64 download qemu-user-static
dpkg -x qemu-user-static_*.deb .
emulator=$work/usr/bin/qemu-aarch64-static
"$emulator" --version | head -1
# A limit of 64 MiB, then a text of 256 MiB; only builtins, so nothing else has to be emulated. The subshell is what may end.
# shellcheck disable=SC2016 # the shell under test expands it
program='before=$(ulimit "$1"); ulimit "$1" "$2"; status=$?; after=$(ulimit "$1")
echo "ulimit $1 $2: status $status, $([ "$after" = "$2" ] && echo set || { [ "$after" = "$before" ] && echo unchanged; })"'
# shellcheck disable=SC2016
grow='ulimit -v 65536
(text=0123456789abcdef; round=0; while [ $round -lt 24 ]; do text=$text$text; round=$((round + 1)); done; echo "256 MiB: ${#text} bytes") 2>/dev/null ||
  echo "256 MiB: refused"'
ask() { # name, command of the shell
  for limit in '-n 77' '-t 1000' '-v 65536' '-d 65536' '-s 4096'; do
    # shellcheck disable=SC2086 # two words
    "${@:2}" -c "$program" sh $limit
  done
  "${@:2}" -c "$grow"
}
echo 'amd64, no emulator:'
ask amd64 "$work/amd64/bin/busybox" sh | tee native
echo 'arm64, emulated:'
ask arm64 "$emulator" "$work/arm64/bin/busybox" sh | tee emulated
[ "$(grep -c 'status 0, set$' native)" = 5 ]
grep -qx '256 MiB: refused' native
[ "$(grep -c 'status 0, set$' emulated)" = 2 ]
[ "$(grep -c '^ulimit -[vds] .*status 0, unchanged$' emulated)" = 3 ]
grep -qx '256 MiB: 268435456 bytes' emulated
echo 'as found: QEMU 7.2'
