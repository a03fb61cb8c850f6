#!/bin/bash
# What one would guess: a tmpfs without `mode=` has mode 1777, the default of tmpfs(5), so that an app without root can write to it, at
# each start of the container.
#
# What crun 1.21 and runc 1.1.15 (both Debian 13) do: they give a tmpfs the mode of the directory below it, not its owner.
# - The first start of a root file system without the directory makes it and mounts a tmpfs with 1777. The second one finds the
#   directory that the first has left, with 1755 from crun and 0755 from runc, and mounts a tmpfs with that mode and owner root. The
#   app works once and fails with EACCES after a restart. A read-only root does not help: the mount point is made all the same.
# - A directory of the image with mode 0700 that belongs to the app becomes a tmpfs with mode 0700 that belongs to root.
# crun 1.28 and runc 1.3.6 do the same. Debian 12's crun 1.8.1 gives 1777 in all cases, so the upgrade changes it; its runc 1.1.5 ignores
# even `mode=1777` where the directory exists. With the versions of Debian 13, `mode=1777` has effect at each start.
#
# Needs: bash, python3, apt-get, dpkg, Debian's archive keyring, unshare, amd64. Root: Debian 13's packages are laid over /usr in a
# mount namespace of its own.
set -euo pipefail
self=$(realpath "$0")
if [ "${1-}" != inside ]; then
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
  packages=(crun runc libyajl2 libseccomp2 libcap2 libsystemd0 libc6 busybox-static)
  get download "${packages[@]/%//trixie}"
  for package in *.deb; do dpkg -x "$package" tree; done
  # The processes of the containers end with the PID namespace.
  unshare --mount --cgroup --pid --fork --mount-proc "$self" inside "$work"
  echo 'as found: crun 1.21, runc 1.1.15'
  exit
fi
mount -t overlay -o "lowerdir=$2/tree/usr:/usr" overlay /usr
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
export XDG_RUNTIME_DIR=/run
mkdir /run/bundle
cd /run/bundle
runc spec
configure() { # options of the tmpfs
  python3 - "$1" <<'PY'
import json, sys
config = json.load(open('config.json'))
check = 'stat -c "%a %u" /cache; if touch /cache/file 2>/dev/null; then echo written; else echo denied; fi'
config['process'].update(terminal=False, user={'uid': 1000, 'gid': 1000}, args=['/bin/busybox', 'sh', '-c', check])
config['root']['readonly'] = True
config['linux'].pop('resources', None)
config['mounts'] = [mount for mount in config['mounts'] if mount['destination'] != '/cache']
config['mounts'].append({'destination': '/cache', 'type': 'tmpfs', 'source': 'tmpfs', 'options': sys.argv[1].split()})
json.dump(config, open('config.json', 'w'))
PY
}
expect() { # command that prepares the directory, options, what both runtimes show at the first start, crun and runc at the second
  local runtime start seen wanted
  for runtime in 'crun --cgroup-manager=disabled' runc; do
    rm -rf rootfs
    mkdir -p rootfs/{bin,proc,dev,sys}
    cp /usr/bin/busybox rootfs/bin/
    $1
    configure "$2"
    wanted=$3
    for start in first second; do
      # shellcheck disable=SC2086 # crun's option
      seen=$($runtime run box </dev/null | paste -sd' ')
      echo "  ${runtime%% *}, $start start: $seen"
      [ "$seen" = "$wanted" ]
      wanted=$4
      [ "$runtime" = runc ] && wanted=$5
    done
  done
}
crun --version | head -1
runc --version | head -1
echo 'no directory in the root file system:'
expect true 'nosuid nodev' '1777 0 written' '1755 0 denied' '755 0 denied'
echo 'the same with mode=1777:'
expect true 'nosuid nodev mode=1777' '1777 0 written' '1777 0 written' '1777 0 written'
echo 'a directory of the app, 1000, with mode 700:'
expect 'install -d -m 700 -o 1000 rootfs/cache' 'nosuid nodev' '700 0 denied' '700 0 denied' '700 0 denied'
