#!/bin/bash
# What one would guess: `RestartSteps=` slows down a crash loop, and after a long healthy run the next restart has the delay of
# `RestartSec=` again, as with Kubernetes. A service that fails once a month is restarted at once.
#
# What systemd 257 (Debian 13) does: the delay depends on the number of all restarts since somebody started the unit
# (`NRestarts`). No healthy run resets it, however long. So after four restarts within a year each failure costs
# `RestartMaxDelaySec=`. `systemctl reset-failed UNIT` resets it while the service runs; the unit is not in the state "failed"
# then, so nothing suggests it. The limit of starts (`StartLimitBurst=`) forgets starts after `StartLimitIntervalSec=`.
#
# The script uses 0.1 to 3 s, and a run of 10 s as the healthy one.
#
# Needs: bash, apt-get, dpkg, Debian's archive keyring, unshare, amd64, a cgroup2 file system. Root: Debian 13's systemd is laid
# over /usr in a mount namespace of its own and runs there as a user manager, in a cgroup of its own.
set -euo pipefail
self=$(realpath "$0")
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  cd "$work"
  mkdir -p lists/partial cache/archives/partial tree cgroups
  mount -t cgroup2 none cgroups
  trap 'find "cgroups/finding.$$" -depth -type d -exec rmdir {} + || true; umount cgroups; cd /; rm -rf "$work"' EXIT
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n' >sources.list
  get() {
    apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
      -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 "$@" 2>/dev/null
  }
  get update
  for package in systemd libsystemd-shared libc6 libcap2 libacl1 libaudit1 libblkid1 libcap-ng0 libcrypt1 libgcrypt20 libgpg-error0 liblz4-1 \
    liblzma5 libmount1 libpam0g libpcre2-8-0 libseccomp2 libselinux1 libssl3t64 libzstd1; do
    get download "$package/trixie"
  done
  for package in *.deb; do dpkg -x "$package" tree; done
  mkdir "cgroups/finding.$$"
  # shellcheck disable=SC2016 # the inner shell expands it
  bash -c 'echo 0 >"$1/cgroup.procs" && exec unshare --mount --cgroup --pid --fork --mount-proc "$2" inside "$3"' sh "cgroups/finding.$$" "$self" "$work"
  exit
fi
mount -t overlay -o "lowerdir=$2/tree/usr:/usr" overlay /usr
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
units=/run/units
mkdir -p /run/systemd/system /run/user $units
export XDG_RUNTIME_DIR=/run/user HOME=/run SYSTEMD_UNIT_PATH=$units
for target in basic default shutdown exit; do printf '[Unit]\nDescription=%s\n' $target >$units/$target.target; done
cat >$units/app.service <<'UNIT'
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/run/app
Restart=always
RestartSec=100ms
RestartMaxDelaySec=3s
RestartSteps=3
UNIT
# It fails at once, four times; the fifth run is healthy for as long as the file is not there.
cat >/run/app <<'APP'
#!/bin/bash
echo "start $(date +%s.%N)" >>/run/log
[ "$(grep -c start /run/log)" -gt 4 ] && until [ -e /run/fail ]; do sleep 0.1; done
rm -f /run/fail
echo "end $(date +%s.%N)" >>/run/log
exit 1
APP
chmod +x /run/app
: >/run/log
/usr/lib/systemd/systemd --version | head -1
/usr/lib/systemd/systemd --user --log-target=console 2>/run/manager & # it ends with the PID namespace
control() { systemctl --user "$@"; }
await() { # number of starts
  for _ in $(seq 200); do
    [ "$(grep -c start /run/log)" -ge "$1" ] && return
    sleep 0.1
  done
  exit 1
}
for _ in $(seq 100); do
  control is-system-running 2>/dev/null | grep -q running && break
  sleep 0.1
done
control start app.service
pauses() { awk '$1 == "end" { end = $2 } $1 == "start" && end { printf "%.1f ", $2 - end }' /run/log; }
state() { control show --property=ActiveState,NRestarts,RestartUSecNext app.service | sort | paste -sd' '; }
await 5
sleep 10
echo "pauses of the crash loop: $(pauses)s; after 10 healthy seconds: $(state)" | tee said
touch /run/fail
await 6
last=$(pauses | awk '{ print $NF }')
echo "the next failure is followed by a pause of $last s"
control reset-failed app.service
echo "after reset-failed: $(state)" | tee again
touch /run/fail
await 7
after=$(pauses | awk '{ print $NF }')
echo "the next failure is followed by a pause of $after s"
grep -q 'ActiveState=active NRestarts=4 RestartUSecNext=3s$' said
awk -v last="$last" -v after="$after" 'BEGIN { exit !(last >= 3 && after < 3) }'
grep -q 'ActiveState=active NRestarts=0 RestartUSecNext=100ms$' again
echo 'as found: systemd 257'
