#!/bin/bash
# What one would guess: a process that blocks SIGTERM and fetches it with sigwait(3), as proc(5) and signal(7) describe, has
# SIGTERM in SigBlk of /proc/PID/status. Where neither SigBlk nor SigCgt nor SigIgn has the bit, SIGTERM ends the process.
#
# What Linux does (tested on 6.x): while a thread waits in rt_sigtimedwait(2), the kernel removes the signals that it waits for
# from the thread's mask, so that they wake it. None of the three masks contains SIGTERM, as for a program that does not
# handle signals, and yet the process gets SIGTERM and ends cleanly. A program that judges by the masks whether a process handles a signal
# (an init, a supervisor that kills the first process of a PID namespace at once) is wrong for such programs. The only trace
# is the system call in /proc/PID/syscall. With signalfd(2) the bit stays.
#
# Needs: bash, python3 (3.3 or newer), Linux on x86-64 or 64-bit ARM. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uname -sr
python=$(python3 -c 'import sys; print(sys.executable)')
"$python" --version
cat >"$work/wait.py" <<'PY'
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print([line.strip() for line in open('/proc/self/status') if line.startswith('SigBlk')][0], flush=True)
signal.sigwait([signal.SIGTERM])
print('fetched SIGTERM, goodbye', flush=True)
PY
"$python" "$work/wait.py" >"$work/said" &
pid=$!
case $(uname -m) in x86_64) call=128 ;; aarch64) call=137 ;; *) echo 'not a machine of this script'; exit 2 ;; esac
for _ in $(seq 100); do
  read -r now _ <"/proc/$pid/syscall" || true
  [ "$now" = "$call" ] && break
  sleep 0.05
done
status=$(grep -E '^Sig(Blk|Ign|Cgt)' "/proc/$pid/status")
kill -TERM "$pid"
ended=0; wait "$pid" || ended=$?
echo "by itself, before it waits: $(head -1 "$work/said")"
echo "from outside, while it waits in system call $now:"
echo "$status"
tail -1 "$work/said"
echo "exit status: $ended"
bit() { echo $((0x$(awk -v name="$1:" '$1 == name {print $2}' <<<"$2") >> 14 & 1)); }
[ "$now" = "$call" ]
[ "$(bit SigBlk "$(head -1 "$work/said")")" = 1 ]
for mask in SigBlk SigIgn SigCgt; do [ "$(bit $mask "$status")" = 0 ]; done
[ "$ended" = 0 ]
grep -q goodbye "$work/said"
echo 'as found: the mask of a waiting process lacks what it waits for'
