/**
 * Signals that a device accepts as the stop signal of an app (docs/app-builder.md, Annotations), by
 * their numbers in Linux on ARM.
 */
const signals: Readonly<Record<string, string>> = {
  1: 'HUP',
  2: 'INT',
  3: 'QUIT',
  6: 'ABRT',
  9: 'KILL',
  10: 'USR1',
  12: 'USR2',
  15: 'TERM',
  28: 'WINCH',
  30: 'PWR',
};

/**
 * Real-time signals: the C library keeps two of 32 to 64 for itself, and counts from either end.
 */
const firstRealTime = 34;
const lastRealTime = 64;

/**
 * The value of `wherry/stop-signal` for a signal, such as `SIGQUIT` or `SIGRTMIN+3`. Docker also
 * accepts numbers, and names without SIG.
 * @returns undefined for an unknown signal, or one that does not stop a process in an orderly way
 */
export function signalName(text: string): string | undefined {
  const name = text.toUpperCase().replace(/^SIG/, '');
  if (/^\d{1,2}$/.test(name)) {
    const number = Number(name);
    return number >= firstRealTime ? realTime(number) : withPrefix(signals[name]);
  }
  const [, end, offset = '0'] = /^(RTMIN|RTMAX)([+-]\d{1,2})?$/.exec(name) ?? [];
  if (end === 'RTMIN') return realTime(firstRealTime + Number(offset));
  if (end === 'RTMAX') return realTime(lastRealTime + Number(offset));
  return withPrefix(Object.values(signals).find((known) => known === name));
}

function withPrefix(name: string | undefined): string | undefined {
  return name === undefined ? undefined : `SIG${name}`;
}

function realTime(number: number): string | undefined {
  if (number < firstRealTime || number > lastRealTime) return undefined;
  return number === firstRealTime ? 'SIGRTMIN' : `SIGRTMIN+${number - firstRealTime}`;
}
