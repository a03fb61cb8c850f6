import type { RefusalCode } from '../../core/refusal/index.ts';

/** EX_CONFIG of sysexits.h. The unit names it in RestartPreventExitStatus=. */
const noRestartExitStatus = 78;

/**
 * A visit to the broker is over, and a timer starts wherryd again. The unit names it in
 * RestartPreventExitStatus= and SuccessExitStatus=.
 */
export const visitedExitStatus = 80;

/**
 * The exit status of wherryd. systemd restarts it after a delay that grows with each start that
 * fails, except where a restart cannot help.
 */
export function exitStatusOf(code: RefusalCode): number {
  return code === 'state-unreadable' ? noRestartExitStatus : 1;
}
