#!/bin/bash
# What one would guess: an OCI runtime that is started with NOTIFY_SOCKET passes the container's notifications on to systemd, as
# long as the container runs. The app in the container can have `Type=notify`, `WatchdogSec=`, a status and a longer start.
#
# What crun 1.8.1 and runc 1.1.5 (both Debian 12) do: the container gets a socket of the runtime. `run --detach` (`start` is the
# same) reads it until READY=1, sends that line on, and ends. Nothing that comes before it is passed on, EXTEND_TIMEOUT_USEC=
# neither, and no other line of the same message. Afterwards the app's notifications fail with ECONNREFUSED. So `WatchdogSec=`
# would kill an app that sends WATCHDOG=1 in time, and systemd never sees STOPPING=1 or RELOADING=1. A `run` in the foreground
# sends no more. To get them all, mount the socket of systemd itself into the container and do not give NOTIFY_SOCKET to the
# runtime.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare. Root: the container has its mounts in a namespace of its own.
set -euo pipefail
self=$(realpath "$0")
crun=1.8.1-1+deb12u1 runc=1.1.5+ds1-1+deb12u1
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  apt-get download -q "crun=$crun" "runc=$runc" libyajl2 libseccomp2 >/dev/null 2>&1
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
mkdir -p rootfs/{usr,app,proc,dev,sys} app
for name in bin lib lib64; do ln -s "usr/$name" "rootfs/$name"; done
cat >app/app.py <<'PY'
import os, socket, time
print('start')
for message in 'STATUS=loading', 'EXTEND_TIMEOUT_USEC=5000000', 'READY=1\nSTATUS=ready', 'WATCHDOG=1', 'RELOADING=1', 'STOPPING=1':
    name = message.replace('\n', ' ')
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(message.encode(), os.environ['NOTIFY_SOCKET'])
        print('sent', name, flush=True)
    except OSError as error:
        print('not sent', name, os.strerror(error.errno), flush=True)
    time.sleep(1)  # the runtime forwards within milliseconds
print('end', flush=True)
PY
cat >systemd.py <<'PY'
import socket
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind('/run/notify')
while True:
    print(notify.recv(4096).decode().strip().replace('\n', ' '), flush=True)
PY
tree/usr/sbin/runc spec
python3 - <<'PY'
import json, os
config = json.load(open('config.json'))
config['process'].update(terminal=False, args=['/usr/bin/python3', '/app/app.py'])
config['mounts'] += [{'type': 'bind', 'source': source, 'destination': to, 'options': ['rbind', 'ro']}
                     for source, to in (('/usr', '/usr'), (os.path.abspath('app'), '/app'))]
config['linux'].pop('resources', None)
config.pop('hostname', None)
config['linux']['namespaces'] = [space for space in config['linux']['namespaces'] if space['type'] in ('pid', 'mount')]
json.dump(config, open('config.json', 'w'))
PY
python3 systemd.py >>received &
until [ -S /run/notify ]; do sleep 0.1; done
ask() { # option, runtime
  true >received
  # shellcheck disable=SC2086 # the option may be missing
  NOTIFY_SOCKET=/run/notify timeout 60 "${@:2}" run $1 box </dev/null >app.log
  for _ in $(seq 100); do
    grep -qx end app.log && break
    sleep 0.2
  done
  "${@:2}" delete --force box
  echo "the app: $(paste -sd, app.log | sed 's/,/, /g')"
  echo "systemd would receive: $(grep -v -e ^MAINPID -e ^BARRIER received | paste -sd, | sed 's/,/, /g') (and the runtime's own $(grep -e ^MAINPID -e ^BARRIER received | sed 's/=.*//' | sort -u | paste -sd,))"
  grep -qx 'sent READY=1 STATUS=ready' app.log
  [ "$(grep -v -e ^MAINPID -e ^BARRIER received)" = READY=1 ]
}
for runtime in 'tree/usr/bin/crun --cgroup-manager=disabled' tree/usr/sbin/runc; do
  # shellcheck disable=SC2086 # a program and its option
  $runtime --version | head -1
  # shellcheck disable=SC2086
  ask --detach $runtime
  [ "$(grep -c '^not sent .* Connection refused' app.log)" = 3 ]
  echo 'in the foreground:'
  # shellcheck disable=SC2086
  ask '' $runtime
done
