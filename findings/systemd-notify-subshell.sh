#!/bin/bash
# What one would guess: a start script that calls `systemd-notify --ready` tells systemd that the service is ready, wherever the call stands in
# the script. With NotifyAccess=main, the default, the script is the main process, and the call is its.
#
# What happens with systemd 252.39 (Debian 12), as root: systemd-notify sends the message in the name of its parent process (a forged process
# ID in SCM_CREDENTIALS), and that is the script only where the script itself forks it. On the left side of a pipe, and alone between
# parentheses, it is. Between parentheses with a command after it, the parent is the subshell; behind `timeout` it is timeout; in $(…) with a
# command after it, it is the subshell of the substitution. systemd then drops the message ("reception only permitted for main PID"), the
# service never becomes ready, and its start fails after the timeout. systemd-notify exits with 0 each time. So what looks like a change
# of style alone, such as `( systemd-notify --ready; start-the-work )` or a time limit for the call, breaks the start.
#
# Needs: bash, dash as /bin/sh, python3, apt-get with Debian 12's packages. Root, to forge the process ID.
set -euo pipefail
version=252.39-1~deb12u2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "systemd=$version" "libsystemd-shared=$version" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" tree; done
notify=$work/tree/bin/systemd-notify
[ -x "$notify" ] || notify=$work/tree/usr/bin/systemd-notify
LD_LIBRARY_PATH=$(find "$work/tree" -name 'libsystemd-shared*.so' -printf '%h\n' -quit)
export LD_LIBRARY_PATH
"$notify" --version | head -n 1

cat >listen.py <<'PYTHON'
import os, socket, struct, subprocess, sys
# As systemd does: the sender is whom the credentials of the message name.
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
server.bind("notify")
server.settimeout(20)
script = subprocess.Popen(["/bin/sh", "-c", sys.argv[1]], env={**os.environ, "NOTIFY_SOCKET": os.path.abspath("notify")})
sender = None
while True:
    data, ancillary, _, _ = server.recvmsg(4096, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(64))
    for level, kind, value in ancillary:
        if kind == socket.SCM_CREDENTIALS and b"READY=1" in data:
            sender = struct.unpack("iii", value[:12])[0]
        if kind == socket.SCM_RIGHTS:  # the barrier: systemd closes it when it has read what came before
            for fd in memoryview(value).cast("i"):
                os.close(fd)
    if b"BARRIER=1" in data:
        break
status = script.wait(20)
print("main" if sender == script.pid else "another", "process,", f"exit status {status}")
PYTHON
expect() { # how it is called, who sends, the script
  local said
  said=$(python3 listen.py "$3")
  rm -f notify
  echo "$1: $said"
  [ "$said" = "$2 process, exit status 0" ]
}
expect 'plain' main "$notify --ready; true"
expect 'left side of a pipe' main "$notify --ready | cat; true"
expect 'alone in parentheses' main "($notify --ready); true"
expect 'first of two in parentheses' another "($notify --ready; true); true"
expect 'behind timeout' another "timeout 20 $notify --ready; true"
expect 'in a substitution with another command' another "said=\$($notify --ready; true); true"
echo "as found: systemd-notify $version"
