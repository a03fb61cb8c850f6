/** Name of the script below the pod's directory. */
export const stopScriptPath = 'stop-app';

/**
 * Numbers of the signals that may stop an app. They are the same on all architectures that wherry
 * runs on (signal(7)); SIGRTMIN is glibc's, which systemd sends.
 */
const numbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
  SIGWINCH: 28,
  SIGPWR: 30,
  SIGRTMIN: 34,
};

/** The number of a stop signal such as `SIGTERM` or `SIGRTMIN+3`. */
export function signalNumber(signal: string): number {
  const [name = '', offset = '0'] = signal.split('+');
  const number = numbers[name];
  if (number === undefined) throw new Error(`not a stop signal: ${signal}`);
  return number + Number(offset);
}

/** All of them that a process can handle. */
export const stopSignalNumbers: readonly number[] = [
  ...Object.values(numbers).filter((number) => number !== 9),
  ...Array.from({ length: 30 }, (_, index) => 35 + index),
];

/**
 * Ends an app that cannot receive its stop signal. systemd runs it before it sends that signal.
 *
 * The kernel drops a signal for the first process of a PID namespace that neither handles nor
 * blocks it (pid_namespaces(7)), so systemd would wait for the whole stop timeout. An app that
 * explicitly ignores the signal gets the full timeout. So does one that waits in sigwait(3): the
 * kernel removes the signals that it waits for from SigBlk. The script uses only builtins of the
 * shell, so that it also works for an app at its limit of tasks.
 */
export const stopScript = `#!/bin/sh
# Kills an app at once if its first process cannot receive the stop signal.
set -u
number=$1 signal=$2
[ -n "\${MAINPID-}" ] || exit 0

inner= masks=
while read -r key value rest; do
  case $key in
    NSpid:) inner=\${rest##*[[:blank:]]} ;;
    SigBlk: | SigIgn: | SigCgt:) masks="$masks $value" ;;
  esac
done 2>/dev/null <"/proc/$MAINPID/status" || exit 0
# An app that shares its pod's PID namespace is not the first process there, so the signal ends it.
[ "$inner" = 1 ] || exit 0

# Masks are too large for the arithmetic of some shells, so only the digit with the signal's bit is used.
digits=$(((number - 1) / 4)) bit=$(((number - 1) % 4))
for mask in $masks; do
  left=$digits
  while [ "$left" -gt 0 ]; do mask=\${mask%?} left=$((left - 1)); done
  [ $((0x\${mask#"\${mask%?}"} >> bit & 1)) = 0 ] || exit 0
done

# rt_sigtimedwait(2) on ARM, ARM64 and x86-64, and its 64-bit time variant.
read -r call rest 2>/dev/null <"/proc/$MAINPID/syscall" || exit 0
case $call in 177 | 137 | 128 | 421) exit 0 ;; esac

echo "<5>killed at once: its process 1 has no handler for $signal, which the kernel then drops"
kill -KILL "$MAINPID"
`;
