#!/bin/bash
# What one would guess: a bundle with hooks has the same life under crun and runc. `prestart` or `createRuntime` sets something up
# (an address, a mount), `poststop` removes it, also when the creation fails: the OCI runtime specification continues with the
# steps of deletion then, of which `poststop` is one (runtime.md, Lifecycle).
#
# What crun 1.8.1 and runc 1.1.5 (both Debian 12) do:
# - When a `prestart` or `createRuntime` hook fails, crun ends without any `poststop`, and `crun delete` does not find the
#   container. What earlier hooks have set up stays. runc calls `poststop`.
# - When a `poststart` hook fails, crun ignores it without a message, and the program runs. runc kills the container before its
#   program has begun: it calls `poststart` in `create`, crun in `start`.
# Debian 13's crun 1.21 does the same as 1.8.1. So clean up outside of the runtime, by a program that runs whatever `create`
# returns.
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
  echo "as found: crun $crun, runc $runc"
  exit
fi
cd "$2"
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
LD_LIBRARY_PATH=$(dirname "$(find "$PWD/tree" -name 'libyajl.so.2' | head -1)")
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run
mkdir -p rootfs/{bin,app,proc,dev,sys}
cp tree/bin/busybox rootfs/bin/sh
cat >hook <<'HOOK'
#!/bin/sh
cat >/dev/null # the state of the container
echo "$1" >>/run/life
exit "$2"
HOOK
chmod +x hook
# It waits for the hook, so that the order is always the same.
cat >rootfs/app/program <<'PROGRAM'
until [ "$found" ]; do while read -r word; do [ "$word" = poststart ] && found=yes; done </app/life; done
echo program >>/app/life
PROGRAM
tree/usr/sbin/runc spec
configure() { # the hook that fails
  python3 - "$1" <<'PY'
import json, os, sys
config = json.load(open('config.json'))
config['process'].update(terminal=False, args=['/bin/sh', '/app/program'])
config['root']['readonly'] = False
config['linux'].pop('resources', None)
config.pop('hostname', None)
config['linux']['namespaces'] = [{'type': 'pid'}, {'type': 'mount'}]
config['mounts'] = [mount for mount in config['mounts'] if mount['destination'] != '/app/life']
config['mounts'].append({'type': 'bind', 'source': '/run/life', 'destination': '/app/life', 'options': ['bind']})
config['hooks'] = {name: [{'path': os.path.abspath('hook'), 'args': ['hook', name, str(int(name == sys.argv[1]))]}]
                   for name in ('prestart', 'createRuntime', 'poststart', 'poststop')}
json.dump(config, open('config.json', 'w'))
PY
}
life() { # the hook that fails, runtime: what ran, in its order
  local create=0 start=- delete=0
  : >/run/life
  configure "$1"
  "${@:2}" create box </dev/null >/dev/null 2>said || create=failed
  echo created >>/run/life
  if [ $create = 0 ]; then
    start=0
    "${@:2}" start box 2>>said || start=failed
    for _ in $(seq 100); do
      "${@:2}" state box 2>/dev/null | grep -q '"stopped"' && break
      sleep 0.1
    done
  fi
  echo deleted >>/run/life
  "${@:2}" delete box 2>/dev/null || delete=failed
  echo "create $create, start $start, delete $delete: $(paste -sd' ' /run/life)"
}
expect() { # the hook that fails, what crun does, what runc does
  local seen
  echo "failing hook: $1"
  seen=$(life "$1" tree/usr/bin/crun --cgroup-manager=disabled)
  echo "  crun: $seen"
  [ "$seen" = "$2" ]
  if [ "$1" = poststart ]; then [ ! -s said ]; fi
  seen=$(life "$1" tree/usr/sbin/runc)
  echo "  runc: $seen"
  [ "$seen" = "$3" ]
}
tree/usr/bin/crun --version | head -1
tree/usr/sbin/runc --version | head -1
hooks='prestart createRuntime'
expect none "create 0, start 0, delete 0: $hooks created poststart program deleted poststop" \
  "create 0, start 0, delete 0: $hooks poststart created program deleted poststop"
expect createRuntime "create failed, start -, delete failed: $hooks created deleted" \
  "create failed, start -, delete failed: $hooks poststop created deleted"
expect prestart 'create failed, start -, delete failed: prestart created deleted' \
  'create failed, start -, delete failed: prestart poststop created deleted'
expect poststart "create 0, start 0, delete 0: $hooks created poststart program deleted poststop" \
  "create failed, start -, delete failed: $hooks poststart poststop created deleted"
