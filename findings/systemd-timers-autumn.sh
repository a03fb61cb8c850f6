#!/bin/bash
# What one would guess: a timer with `OnCalendar=*:0/20` elapses every 20 minutes, all year. When the clock is set back at the end of
# summer time, the hour from 2 to 3 comes twice, and `*:0/20` is true six times in it. Only a timer for a certain time of the day
# (`02:30`) has something to decide: once or twice.
#
# What systemd 257 (Debian 13; 252 of Debian 12 as well) computes: after 02:40 in summer time it elapses at 03:00 in winter time, 80
# minutes later; the whole second hour is skipped, also for `hourly` and `minutely`. So a watchdog, a backup or a report of the app
# that is due at least every hour is late once a year, on all devices of the time zone at once, on a Sunday night. The timer elapses
# in the second hour if it is started in it, so a test at that time does not show it. In spring nothing is missing. With `UTC` in the
# expression (`*:0/20 UTC`), or `OnUnitActiveSec=20min`, there is no gap. systemd.time(7) does not mention it; it is the open issue
# 8647 of systemd. For `02:30` it elapses once in autumn, and not at all in spring.
#
# Needs: bash, apt-get, dpkg, Debian's archive keyring, tzdata, amd64. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial cache/archives/partial tree
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n' >sources.list
get() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 "$@" 2>/dev/null
}
get update
packages=(systemd libsystemd-shared libc6 libcap2 libacl1 libaudit1 libblkid1 libcap-ng0 libcrypt1 libgcrypt20 libgpg-error0 liblz4-1 liblzma5
  libmount1 libpam0g libpcre2-8-0 libseccomp2 libselinux1 libssl3t64 libzstd1)
get download "${packages[@]/%//trixie}"
for package in *.deb; do dpkg -x "$package" tree; done
loader=$(find "$work/tree" -name ld-linux-x86-64.so.2 -print -quit)
libraries=$(find "$work/tree" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
analyze() { "$loader" --library-path "$libraries" "$work/tree/usr/bin/systemd-analyze" "$@"; }
elapses() { # expression, from, how often
  TZ=Europe/Berlin LC_ALL=C analyze calendar --iterations="$3" --base-time="$2" "$1" |
    sed -n 's/.*: [A-Z][a-z][a-z] 2026-\(..-..\) \(..:..\):00 \(CES\{0,1\}T\)$/\1 \2 \3/p' | paste -sd, | sed 's/,/, /g'
}
expect() { # what it is, expression, from, times
  local seen
  seen=$(elapses "$2" "$3" "$(tr -cd , <<<"$4," | wc -c)")
  echo "$1, $2: $seen"
  [ "$seen" = "$4" ]
}
analyze --version | head -1
expect autumn '*:0/20' '2026-10-25 00:10:00 UTC' '10-25 02:20 CEST, 10-25 02:40 CEST, 10-25 03:00 CET, 10-25 03:20 CET'
expect autumn hourly '2026-10-24 23:30:00 UTC' '10-25 02:00 CEST, 10-25 03:00 CET, 10-25 04:00 CET'
expect 'autumn, started in the second hour' '*:0/20' '2026-10-25 01:10:00 UTC' '10-25 02:20 CET, 10-25 02:40 CET, 10-25 03:00 CET'
expect 'autumn, in UTC' '*:0/20 UTC' '2026-10-25 00:10:00 UTC' '10-25 02:20 CEST, 10-25 02:40 CEST, 10-25 02:00 CET, 10-25 02:20 CET'
expect spring '*:0/20' '2026-03-29 00:30:00 UTC' '03-29 01:40 CET, 03-29 03:00 CEST, 03-29 03:20 CEST'
expect autumn 02:30 '2026-10-24 12:00:00 UTC' '10-25 02:30 CEST, 10-26 02:30 CET'
expect spring 02:30 '2026-03-28 12:00:00 UTC' '03-30 02:30 CEST, 03-31 02:30 CEST'
echo 'as found: systemd 257'
