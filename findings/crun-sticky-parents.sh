#!/bin/bash
# What one would guess: when the image has no directory for a volume, the runtime makes it and its parents with the usual mode
# 0755, as `mkdir -p` does.
#
# What crun 1.8.1 does, beside runc 1.1.5 (both Debian 12) with the same bundle: the parents get mode 1755. runc makes them 0755.
# The sticky bit stays in a writable layer, and in a tree that is archived later. crun makes a missing working directory with mode
# 0755, without the bit.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare. Root: the container has its mounts in a namespace of its own.
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
  echo "as found: crun $crun"
  exit
fi
cd "$2"
umask 022
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
LD_LIBRARY_PATH=$(dirname "$(find "$PWD/tree" -name 'libyajl.so.2' | head -1)")
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run
mkdir volume
tree/usr/sbin/runc spec
python3 - <<'PY'
import json, os
config = json.load(open('config.json'))
config['root']['readonly'] = False
config['process'].update(
    terminal=False, cwd='/srv/app/here',
    args=['/bin/busybox', 'stat', '-c', '%a %n', '/var', '/var/lib', '/srv/app', '/srv/app/here'])
config['mounts'].append(
    {'destination': '/var/lib/database', 'source': os.getcwd() + '/volume', 'type': 'bind', 'options': ['rbind', 'rw']})
config['linux'].pop('resources', None)
config.pop('hostname', None)
config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] in ('pid', 'mount')]
json.dump(config, open('config.json', 'w'))
PY
run() { # runtime
  rm -rf rootfs
  mkdir -p rootfs/{bin,proc,dev,sys}
  cp tree/bin/busybox rootfs/bin/
  "$@" run box </dev/null
}
echo 'a volume at /var/lib/database and the working directory /srv/app/here in an image without /var and /srv'
tree/usr/bin/crun --version | head -1
run tree/usr/bin/crun --cgroup-manager=disabled | tee said
[ "$(cut -d' ' -f1 said | tr '\n' ' ')" = '1755 1755 755 755 ' ]
tree/usr/sbin/runc --version | head -1
run tree/usr/sbin/runc | tee said
[ "$(cut -d' ' -f1 said | tr '\n' ' ')" = '755 755 755 755 ' ]
