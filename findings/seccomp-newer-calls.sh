#!/bin/bash
# What one would guess: a seccomp profile of the OCI configuration is a list of system calls that work; every other one fails with
# EPERM, the default of `defaultErrnoRet` (config-linux.md), under crun as under runc. Adding a call to the list takes nothing
# away.
#
# What crun 1.8.1 and runc 1.1.5 (both Debian 12) do with a profile that allows the calls up to Linux 4.18 (rseq, number 334), which
# programs of Debian 12 meet with calls that are newer (clone3, number 435, and faccessat2, 439):
# - crun: EPERM. glibc takes that for an answer, so `xz -T2` gets no thread ("Cannot allocate memory") and `[ -r FILE ]` of bash is
#   false for a file that is readable.
# - runc: all works. It puts a filter in front that answers ENOSYS for all numbers above the highest one of the profile, also if the
#   profile sets `defaultErrnoRet` to EPERM, and glibc falls back to the older calls.
# - runc, after `landlock_restrict_self` (number 446) is added to the calls that are allowed: xz and bash fail as with crun, because
#   the highest number is 446 now. So a profile must name all calls below its newest one, or set `defaultErrnoRet` to 38 (ENOSYS),
#   with which crun and runc agree.
# crun 1.21 and 1.28 and runc 1.1.15 and 1.3.6 do the same.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare, amd64. Root: the container has its mounts in a namespace of its own.
set -euo pipefail
self=$(realpath "$0")
crun=1.8.1-1+deb12u1 runc=1.1.5+ds1-1+deb12u1
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  mkdir packages
  (cd packages && apt-get download -q "crun=$crun" "runc=$runc" libyajl2 libseccomp2 seccomp golang-github-containers-common >/dev/null 2>&1)
  for package in packages/*.deb; do dpkg -x "$package" tree; done
  mkdir -p rootfs/{app,proc,dev,sys} programs
  (cd programs && apt-get download -q libc6 libtinfo6 liblzma5 bash xz-utils perl-base libcrypt1 >/dev/null 2>&1)
  for package in programs/*.deb; do dpkg -x "$package" rootfs; done
  # The processes of the containers end with the PID namespace.
  unshare --mount --cgroup --pid --fork --mount-proc "$self" inside "$work"
  echo "as found: crun $crun, runc $runc"
  exit
fi
cd "$2"
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
LD_LIBRARY_PATH=$(find "$PWD/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run
cat >rootfs/app/program <<'PROGRAM'
for call in 435 439; do perl -e '$! = 0; syscall($ARGV[0], -1, 0, 0, 0); print "$ARGV[0]: errno ", 0 + $!, ", "' "$call"; done
if [ -r /app/program ]; then echo -n 'readable, '; else echo -n 'not readable, '; fi
if [ "$(echo text | xz -T2 2>/dev/null | xz -d 2>/dev/null)" = text ]; then echo 'threads'; else echo 'no threads'; fi
PROGRAM
tree/usr/sbin/runc spec
cp config.json spec.json
# The names that containers-common allows somewhere, up to the number of rseq.
python3 - tree/usr/share/containers/seccomp.json <<'PY' >calls
import json, subprocess, sys
names = {name for rule in json.load(open(sys.argv[1]))['syscalls'] if rule['action'] == 'SCMP_ACT_ALLOW' for name in rule['names']}
for name in sorted(names):
    number = subprocess.run(['tree/usr/bin/scmp_sys_resolver', '-a', 'x86_64', name], stdout=subprocess.PIPE, text=True).stdout.strip()
    if number.isdecimal() and int(number) <= 334:
        print(name)
PY
configure() { # name of the profile
  python3 - "$1" <<'PY'
import json, sys
config = json.load(open('spec.json'))
config['process'].update(terminal=False, args=['/bin/bash', '/app/program'], env=['PATH=/usr/bin:/bin', 'LC_ALL=C', 'PERL_BADLANG=0'])
config['linux'].pop('resources', None)
profile = {'defaultAction': 'SCMP_ACT_ERRNO', 'architectures': ['SCMP_ARCH_X86_64']}
allowed = open('calls').read().split()
if sys.argv[1] == 'EPERM':
    profile['defaultErrnoRet'] = 1
if sys.argv[1] == 'ENOSYS':
    profile['defaultErrnoRet'] = 38
if sys.argv[1] == 'landlock':
    allowed.append('landlock_restrict_self')
profile['syscalls'] = [{'names': allowed, 'action': 'SCMP_ACT_ALLOW'}]
if sys.argv[1] != 'none':
    config['linux']['seccomp'] = profile
json.dump(config, open('config.json', 'w'))
PY
}
denied='435: errno 1, 439: errno 1, not readable, no threads'
unknown='435: errno 38, 439: errno 38, readable, threads'
expect() { # name of the profile, what it is, what the program prints under crun, under runc
  local seen
  configure "$1"
  echo "$2:"
  seen=$(tree/usr/bin/crun --cgroup-manager=disabled run box </dev/null)
  echo "  crun: $seen"
  [ "$seen" = "$3" ]
  seen=$(tree/usr/sbin/runc run box </dev/null)
  echo "  runc: $seen"
  [ "$seen" = "$4" ]
}
tree/usr/bin/crun --version | head -1
tree/usr/sbin/runc --version | head -1
expect none 'without a profile' '435: errno 22, 439: errno 14, readable, threads' '435: errno 22, 439: errno 14, readable, threads'
expect old "$(wc -l <calls) calls up to number 334" "$denied" "$unknown"
expect EPERM 'the same, defaultErrnoRet EPERM' "$denied" "$unknown"
expect landlock 'the first one and landlock_restrict_self' "$denied" "$denied"
expect ENOSYS 'the first one, defaultErrnoRet ENOSYS' "$unknown" "$unknown"
