#!/bin/bash
# What one would guess: `ociVersion` in config.json protects from an older runtime. A runtime ignores properties that it does not know
# (config.md, Extensibility), but a configuration of version 1.1 "is not compatible with a runtime that supports 1.0 and not 1.1"
# (Specification version), and a value that is not supported is an error (Valid values).
#
# What runc 1.1.5 (Debian 12), whose `--version` says "spec: 1.0.2-dev", does: it compares `ociVersion` with nothing and runs the program,
# with status 0 and without a message. `process.scheduler`, `process.ioPriority`, `domainname` (new in 1.1) and `linux.personality`
# have no effect: an app that is to be idle runs with normal priority. 1.1.15 of Debian 13 does the same; 1.3.6 does all four.
# crun 1.8.1 (Debian 12), whose `--version` says "spec: 1.0.0", accepts 1.1.0, sets the domain name and the personality and ignores
# scheduler and I/O priority. It refuses 1.2.0, also if nothing in the configuration is new. crun 1.21 (Debian 13) does all four, for any
# version. So the program that writes the configuration has to check the result, or the version of the runtime.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare, amd64. Root: the container has its mounts in a namespace of its own.
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
mkdir -p rootfs/{bin,proc,dev,sys}
cp tree/bin/busybox rootfs/bin/
tree/usr/sbin/runc spec
cp config.json spec.json
configure() { # version, "new" for the settings of version 1.1
  python3 - "$@" <<'PY'
import json, sys
config = json.load(open('spec.json'))
config['ociVersion'] = sys.argv[1]
shown = 'cat /proc/sys/kernel/domainname; uname -m; cut -d" " -f19,41 /proc/self/stat; ionice -p $$'
config['process'].update(terminal=False, args=['/bin/busybox', 'sh', '-c', shown])
config['linux'].pop('resources', None)
if 'new' in sys.argv:
    config['domainname'] = 'harbour.example'
    config['linux']['personality'] = {'domain': 'LINUX32'}
    config['process']['scheduler'] = {'policy': 'SCHED_BATCH', 'nice': 5}
    config['process']['ioPriority'] = {'class': 'IOPRIO_CLASS_IDLE', 'priority': 0}
json.dump(config, open('config.json', 'w'))
PY
}
answer() {
  local status=0
  "$@" run box </dev/null >said 2>&1 || status=$?
  echo "$status: $(paste -sd, said | sed 's/,/, /g')"
}
expect() { # version, "new" or "old", what crun prints, what runc prints
  local crun runc
  configure "$1" "$2"
  crun=$(answer tree/usr/bin/crun --cgroup-manager=disabled)
  runc=$(answer tree/usr/sbin/runc)
  printf '%s\n' "version $1, $2 settings:" "  crun $crun" "  runc $runc"
  [ "$crun; $runc" = "$3; $4" ]
}
tree/usr/bin/crun --version | grep -E 'version|spec'
tree/usr/sbin/runc --version | grep -E 'version|spec'
# domain name, machine, nice value and policy (3: batch), I/O priority
none='0: (none), x86_64, 0 0, none: prio 0'
expect 1.0.2 old "$none" "$none"
expect 1.1.0 new '0: harbour.example, i686, 0 0, none: prio 0' "$none"
expect 1.2.0 new '1: unknown version specified' "$none"
expect 1.2.0 old '1: unknown version specified' "$none"
