/**
 * System calls with 64-bit times, and the older calls in whose place a C library makes them: a set
 * of names from before Linux 5.1 lacks them. The first name of each list is the same call with
 * 32-bit times; the others are calls that C libraries have replaced by it (Linux,
 * arch/arm/tools/syscall.tbl, 403 to 423; glibc 2.34 and musl 1.2, `_TIME_BITS=64`).
 */
const timeCalls: Readonly<Record<string, readonly [call: string, ...replaced: readonly string[]]>> = {
  clock_gettime64: ['clock_gettime', 'gettimeofday', 'time'],
  clock_settime64: ['clock_settime', 'settimeofday', 'stime'],
  clock_adjtime64: ['clock_adjtime', 'adjtimex'],
  clock_getres_time64: ['clock_getres'],
  clock_nanosleep_time64: ['clock_nanosleep', 'nanosleep'],
  timer_gettime64: ['timer_gettime'],
  timer_settime64: ['timer_settime'],
  timerfd_gettime64: ['timerfd_gettime'],
  timerfd_settime64: ['timerfd_settime'],
  utimensat_time64: ['utimensat', 'utime', 'utimes', 'futimesat'],
  pselect6_time64: ['pselect6', 'select', '_newselect'],
  ppoll_time64: ['ppoll', 'poll'],
  io_pgetevents_time64: ['io_pgetevents'],
  recvmmsg_time64: ['recvmmsg'],
  mq_timedsend_time64: ['mq_timedsend'],
  mq_timedreceive_time64: ['mq_timedreceive'],
  semtimedop_time64: ['semtimedop', 'semop'],
  rt_sigtimedwait_time64: ['rt_sigtimedwait'],
  futex_time64: ['futex'],
  sched_rr_get_interval_time64: ['sched_rr_get_interval'],
};

/**
 * The calls that do what calls of the set do, in C libraries with 64-bit times, and that the set
 * lacks. On 64-bit machines these are the calls themselves that have replaced others.
 */
export function newerTimeCalls(set: readonly string[]): readonly string[] {
  const has = new Set(set);
  const newer = Object.entries(timeCalls).flatMap(([wide, [call, ...replaced]]) => {
    if (replaced.some((name) => has.has(name))) return [call, wide];
    return has.has(call) ? [wide] : [];
  });
  return newer.filter((name) => !has.has(name));
}

/** The same calls as those of the set, with 64-bit times. */
export function sameTimeCalls(set: readonly string[]): readonly string[] {
  return Object.entries(timeCalls).flatMap(([wide, [call]]) =>
    set.includes(call) && !set.includes(wide) ? [wide] : [],
  );
}
