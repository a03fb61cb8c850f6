#!/bin/bash
# What one would guess: of two mount options that contradict each other the last one wins, as mount(8) says; the options of an OCI mount
# on Linux are those of mount(8) (config.md, Mounts). So a supervisor appends what the user has set to its own `nosuid,nodev,noexec`.
#
# What crun 1.8.1 (Debian 12) does: an option that removes something never has effect after the one that sets it. `noexec,exec` is
# noexec, `ro,rw` is read-only, `nosuid,suid` is nosuid, `noatime,atime` is noatime, without a message. mount and runc 1.1.5 let the
# last one win. crun knows `defaults`, which runc passes to the file system: tmpfs refuses it. crun 1.21 and 1.28 do the same.
#
# Needs: bash, python3, mount, apt-get with Debian 12's packages, unshare. Root: the mounts are in a namespace of its own.
set -euo pipefail
self=$(realpath "$0")
crun=1.8.1-1+deb12u1 runc=1.1.5+ds1-1+deb12u1
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  apt-get download -q "crun=$crun" "runc=$runc" libyajl2 libseccomp2 busybox-static >/dev/null 2>&1
  for package in *.deb; do dpkg -x "$package" tree; done
  # The processes of the containers end with the PID namespace.
  unshare --mount --cgroup --pid --fork --mount-proc "$self" inside "$work"
  echo "as found: crun $crun, runc $runc"
  exit
fi
cd "$2"
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
LD_LIBRARY_PATH=$(dirname "$(find "$PWD/tree" -name 'libyajl.so.2' | head -1)")
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run
mkdir -p rootfs/{bin,app,proc,dev,sys} /run/app
cp tree/bin/busybox rootfs/bin/sh
tree/usr/sbin/runc spec
options() { awk '$5 == "/run/app" || $5 == "/app" { print $6 }' "$1"; }
with_mount() {
  mount -t tmpfs -o "$1" tmpfs /run/app
  options /proc/self/mountinfo
  umount /run/app
}
with() { # options, runtime
  python3 - "$1" <<'PY'
import json, sys
config = json.load(open('config.json'))
config['process'].update(terminal=False, args=['/bin/sh', '-c', 'cat /proc/self/mountinfo'])
config['linux'].pop('resources', None)
config['mounts'] = [mount for mount in config['mounts'] if mount['destination'] != '/app']
config['mounts'].append({'destination': '/app', 'type': 'tmpfs', 'source': 'tmpfs', 'options': sys.argv[1].split(',')})
json.dump(config, open('config.json', 'w'))
PY
  if "${@:2}" run box </dev/null >mounts 2>/dev/null; then options mounts; else echo refused; fi
}
expect() { # options, what mount and runc do, what crun does
  local mount crun runc
  mount=$(with_mount "$1")
  runc=$(with "$1" tree/usr/sbin/runc)
  crun=$(with "$1" tree/usr/bin/crun --cgroup-manager=disabled)
  echo "$1: mount $mount; runc $runc; crun $crun"
  [ "$mount; $runc; $crun" = "$2; ${4-$2}; $3" ]
}
tree/usr/bin/crun --version | head -1
tree/usr/sbin/runc --version | head -1
expect exec,noexec rw,noexec,relatime rw,noexec,relatime
expect noexec,exec rw,relatime rw,noexec,relatime
expect rw,ro ro,relatime ro,relatime
expect ro,rw rw,relatime ro,relatime
expect nosuid,suid rw,relatime rw,nosuid,relatime
expect nodev,dev rw,relatime rw,nodev,relatime
expect noatime,atime rw,relatime rw,noatime
expect defaults,noexec rw,noexec,relatime rw,noexec,relatime refused
