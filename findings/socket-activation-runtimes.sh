#!/bin/bash
# What one would guess: a container that systemd starts by a socket gets the socket: its first process finds LISTEN_PID, LISTEN_FDS and
# LISTEN_FDNAMES (sd_listen_fds(3)), or none of them. crun and runc both handle socket activation.
#
# What happens with two sockets, named `http` and `admin`:
# - crun 1.8.1 (Debian 12; 1.21 of Debian 13 as well) passes both sockets on and sets LISTEN_PID=1, but not LISTEN_FDS. Without it
#   sd_listen_fds() returns 0. An app that then opens a socket of its own does so in the network of the container, and clients that
#   connect to systemd's wait.
# - runc 1.1.5 sets LISTEN_PID=1 and LISTEN_FDS=2, but not LISTEN_FDNAMES. An app that looks up its sockets by name
#   (sd_listen_fds_with_names(3)) finds two of the name "unknown".
# `LISTEN_FDS=2` and `LISTEN_FDNAMES=http:admin` in `process.env` of the configuration mend it for both.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare. Root: the containers are in namespaces of its own.
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
  unshare --mount --cgroup --net --pid --fork --mount-proc "$self" inside "$work"
  echo "as found: crun $crun, runc $runc"
  exit
fi
cd "$2"
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
LD_LIBRARY_PATH=$(dirname "$(find "$PWD/tree" -name 'libyajl.so.2' | sed -n 1p)")
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run
mkdir -p rootfs/{bin,proc,dev,sys}
cp tree/bin/busybox rootfs/bin/sh
tree/usr/sbin/runc spec
# As systemd does: opens the sockets as 3 and 4, names them, and becomes the runtime.
cat >activate.py <<'PY'
import os, socket, sys
for number in (3, 4):
    server = socket.socket(socket.AF_UNIX)
    server.bind(f'\0socket-{os.getpid()}-{number}')
    server.listen()
    os.dup2(server.fileno(), number)
    if server.fileno() == number:
        server.detach()
    os.set_inheritable(number, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='http:admin')
os.execv(sys.argv[1], sys.argv[1:])
PY
with() { # further environment of the app, runtime
  python3 - "$1" <<'PY'
import json, sys
config = json.load(open('config.json'))
show = 'for n in 3 4; do case $(readlink /proc/1/fd/$n) in socket*) echo socket $n;; esac; done; tr "\\0" "\\n" </proc/1/environ | grep LISTEN'
config['process'].update(terminal=False, args=['/bin/sh', '-c', show], env=['PATH=/bin', *sys.argv[1].split()])
config['linux'].pop('resources', None)
json.dump(config, open('config.json', 'w'))
PY
  python3 activate.py "${@:2}" run box </dev/null 2>errors | sort -u | paste -sd' '
}
expect() { # what it is, further environment, what crun passes on, what runc passes on
  local crun runc
  crun=$(with "$2" tree/usr/bin/crun --cgroup-manager=disabled)
  runc=$(with "$2" tree/usr/sbin/runc)
  echo "$1:"
  printf '  %s\n' "crun: $crun" "runc: $runc"
  [ "$crun; $runc" = "$3; $4" ]
}
tree/usr/bin/crun --version | sed -n 1p
tree/usr/sbin/runc --version | sed -n 1p
expect 'as systemd starts it' '' 'LISTEN_PID=1 socket 3 socket 4' 'LISTEN_FDS=2 LISTEN_PID=1 socket 3 socket 4'
expect 'with both in process.env' 'LISTEN_FDS=2 LISTEN_FDNAMES=http:admin' 'LISTEN_FDNAMES=http:admin LISTEN_FDS=2 LISTEN_PID=1 socket 3 socket 4' \
  'LISTEN_FDNAMES=http:admin LISTEN_FDS=2 LISTEN_PID=1 socket 3 socket 4'
