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

/**
 * A shell function: whether the kernel would drop signal $2 for process $1. It does so for the
 * first process of a PID namespace that neither handles nor blocks the signal
 * (pid_namespaces(7)). An app that explicitly ignores the signal keeps its stop timeout, and so
 * does one that waits in sigwait(3): the kernel removes the signals that it waits for from SigBlk.
 * The function uses only builtins of the shell, so that it also works for an app at its limit of
 * tasks. With a $3 of 1 it judges any process as if it were such a first process.
 */
export const deafFunction = `deaf() {
  inner= masks=
  while read -r key value rest; do
    case $key in
      NSpid:) inner=\${rest##*[[:blank:]]} ;;
      SigBlk: | SigIgn: | SigCgt:) masks="$masks $value" ;;
    esac
  done 2>/dev/null <"/proc/$1/status" || return 1
  # An app that shares its pod's PID namespace is not the first process there, so the signal ends it.
  [ "\${3-$inner}" = 1 ] || return 1

  # Masks are too large for the arithmetic of some shells, so only the digit with the signal's bit is used.
  digits=$((($2 - 1) / 4)) bit=$((($2 - 1) % 4))
  for mask in $masks; do
    left=$digits
    while [ "$left" -gt 0 ]; do mask=\${mask%?} left=$((left - 1)); done
    [ $((0x\${mask#"\${mask%?}"} >> bit & 1)) = 0 ] || return 1
  done

  # rt_sigtimedwait(2) on ARM, ARM64 and x86-64, and its 64-bit time variant.
  read -r call rest 2>/dev/null <"/proc/$1/syscall" || return 1
  case $call in 177 | 137 | 128 | 421) return 1 ;; esac
}
`;

/**
 * Ends an app that cannot receive its stop signal. systemd runs it before it sends that signal, for
 * which it would otherwise wait for the whole stop timeout.
 */
export const stopScript = `#!/bin/sh
# Kills an app at once if its first process cannot receive the stop signal.
set -u
number=$1 signal=$2
[ -n "\${MAINPID-}" ] || exit 0

${deafFunction}
deaf "$MAINPID" "$number" || exit 0
echo "<5>killed at once: its process 1 has no handler for $signal, which the kernel then drops"
kill -KILL "$MAINPID"
`;
