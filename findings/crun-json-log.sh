#!/bin/bash
# What one would guess: a program's log in JSON has one object a line, so it is read line by line; `crun --log-format=json` of Debian 13
# (crun 1.21) does that.
#
# What crun 1.28 of Debian testing does, with the same command: it writes each object over five lines, with spaces between. A reader that
# parses lines fails at the first one, "{". crun 1.21 prints the object with yajl, 1.28 with json-c.
#
# Needs: bash, python3, apt-get, dpkg, Debian's archive keyring, amd64. The packages are unpacked into a temporary folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial cache/archives/partial
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n' trixie forky >sources.list
get() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 "$@" 2>/dev/null
}
get update
libraries=(libc6 libseccomp2 libcap2 libsystemd0)
# logged SUITE JSON-LIBRARY...: the log of an error that needs no container
logged() {
  local tree=$work/$1 suite=$1 package
  mkdir "$tree" && cd "$tree"
  for package in crun "${libraries[@]}" "${@:2}"; do get download "$package/$suite"; done
  for package in *.deb; do dpkg -x "$package" .; done
  local loader
  loader=$(find "$tree" -name ld-linux-x86-64.so.2 -print -quit)
  run() {
    "$loader" --library-path "$(find "$tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)" "$tree/usr/bin/crun" "$@"
  }
  run --version | head -1
  run --root="$tree/run" --log="file:$tree/log" --log-format=json start nothing 2>/dev/null && exit 1
  cat log
}
logged trixie libyajl2
[ "$(wc -l <"$work/trixie/log")" -eq 1 ]
python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/trixie/log"
logged forky libjson-c5 libblake3-0
[ "$(head -1 "$work/forky/log")" = '{' ]
[ "$(wc -l <"$work/forky/log")" -eq 5 ]
echo 'as found: one line with crun 1.21, five with 1.28'
