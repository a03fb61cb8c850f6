#!/bin/bash
# What one would guess: `bind` mounts a directory without the file systems below it, `rbind` with them; `private` and `rprivate` only
# set the propagation (OCI runtime-spec 1.0, config.md, Mounts; mount(8)).
#
# What crun 1.8.1 (Debian 12) does: a mount of type bind with the option `rprivate`, which engines often write for each volume, is
# recursive: the file systems below the source are in the container, and `ro` has no effect on them. With `private` it is not.
# runc 1.1.5 mounts the directory alone with either. crun 1.21 does the same as 1.8.1.
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
mkdir -p rootfs/{bin,app,proc,dev,sys} /run/source/below
cp tree/bin/busybox rootfs/bin/sh
tree/usr/sbin/runc spec
mount -t tmpfs none /run/source/below
with() { # options, runtime
  python3 - "$1" <<'PY'
import json, sys
config = json.load(open('config.json'))
config['process'].update(terminal=False, args=['/bin/sh', '-c', 'cat /proc/self/mountinfo'])
config['linux'].pop('resources', None)
config['mounts'] = [mount for mount in config['mounts'] if mount['destination'] != '/app']
config['mounts'].append({'destination': '/app', 'type': 'bind', 'source': '/run/source', 'options': sys.argv[1].split(',')})
json.dump(config, open('config.json', 'w'))
PY
  "${@:2}" run box </dev/null | awk '$5 ~ "^/app" { split($6, options, ","); print $5, options[1] }' | paste -sd,
}
expect() { # options, what runc mounts, what crun mounts
  local crun runc
  runc=$(with "$1" tree/usr/sbin/runc)
  crun=$(with "$1" tree/usr/bin/crun --cgroup-manager=disabled)
  echo "$1: runc $runc; crun $crun"
  [ "$runc; $crun" = "$2; $3" ]
}
tree/usr/bin/crun --version | head -1
tree/usr/sbin/runc --version | head -1
expect bind,ro,private '/app ro' '/app ro'
expect bind,ro,rprivate '/app ro' '/app ro,/app/below rw'
expect rbind,ro,private '/app ro,/app/below rw' '/app ro,/app/below rw'
