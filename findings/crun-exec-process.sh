#!/bin/bash
# What one would guess: `crun exec ID PROGRAM`, like `runc exec ID PROGRAM`, uses the container's configuration for
# everything that the command line does not specify: working directory, resource limits, OOM score.
#
# What crun 1.8.1 does, compared with runc 1.1.5 (both Debian 12) and the same bundle: it uses the environment, but begins in `/`, with
# the limits and the OOM score of the caller. runc uses all four. So a relative path in a script works under one
# runtime and not under the other, and the descriptor limit of the container does not apply to programs executed in it. With crun
# the whole process must be specified (`--process FILE`). Neither uses `umask` of the configuration.
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
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
LD_LIBRARY_PATH=$(dirname "$(find "$PWD/tree" -name 'libyajl.so.2' | head -1)")
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run
mkdir -p rootfs/{bin,app,proc,dev,sys}
cp tree/bin/busybox rootfs/bin/
for name in sh sleep cat pwd grep; do ln -s busybox "rootfs/bin/$name"; done
tree/usr/sbin/runc spec
python3 - <<'PY'
import json
config = json.load(open('config.json'))
config['process'].update(
    terminal=False, args=['sleep', '60'], cwd='/app', env=['PATH=/bin', 'FROM=configuration'], oomScoreAdj=500,
    user={'uid': 0, 'gid': 0, 'umask': 0o27}, rlimits=[{'type': 'RLIMIT_NOFILE', 'hard': 77, 'soft': 77}])
config['linux'].pop('resources', None)
config.pop('hostname', None)
config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] in ('pid', 'mount')]
json.dump(config, open('config.json', 'w'))
PY
ulimit -n 1024
echo 0 >/proc/self/oom_score_adj
ask() { # runtime
  "$@" run --detach box </dev/null >/dev/null
  # shellcheck disable=SC2016 # the shell in the container expands it
  "$@" exec box sh -c 'echo "directory $(pwd), $(ulimit -n) files, OOM score $(cat /proc/self/oom_score_adj), FROM=$FROM, umask $(umask)"'
  "$@" delete --force box
}
echo 'configuration: directory /app, 77 files, OOM score 500, FROM=configuration, umask 0027'
tree/usr/bin/crun --version | head -1
ask tree/usr/bin/crun --cgroup-manager=disabled | tee said
grep -qx 'directory /, 1024 files, OOM score 0, FROM=configuration, umask 0022' said
tree/usr/sbin/runc --version | head -1
ask tree/usr/sbin/runc | tee said
grep -qx 'directory /app, 77 files, OOM score 500, FROM=configuration, umask 0022' said
