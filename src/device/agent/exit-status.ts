import type { RefusalCode } from '../../core/refusal/index.ts';

/** EX_CONFIG of sysexits.h. The unit names it in RestartPreventExitStatus=. */
export const noRestartExitStatus = 78;

/**
 * With what wherryd ends. systemd starts it again every two seconds, but for what no later start can cure: an endless loop
 * would only fill the journal.
 */
export function exitStatusOf(code: RefusalCode): number {
  return code === 'state-unreadable' ? noRestartExitStatus : 1;
}
