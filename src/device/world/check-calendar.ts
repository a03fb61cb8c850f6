import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Refusal } from '../../core/refusal/index.ts';
import type { IsolatorReport } from '../../wire/report/index.ts';

/** Longer than systemd searches for the next date of any expression. */
const timeoutMs = 20_000;

/**
 * Checks the calendar expressions of a scheduled pod with systemd's own parser and the time zones
 * of this device.
 *
 * @param program systemd-analyze(1), which Debian's package `systemd` has
 * @returns an entry for the report when some or all of them do not occur again. Such a pod is not
 *   refused: a version that is rolled back to may have it
 * @throws Refusal `pod-manifest-invalid`, `device-unsupported`
 */
export async function checkCalendar(
  pod: string,
  expressions: readonly string[],
  program = 'systemd-analyze',
): Promise<readonly IsolatorReport[]> {
  const words = ['calendar', '--iterations=1', '--', ...expressions];
  try {
    const { stdout } = await promisify(execFile)(program, words, { timeout: timeoutMs });
    const next = [...stdout.matchAll(/^ *Next elapse: (.*)$/gm)].map(([, when]) => when);
    const over = expressions.filter((_, index) => next[index] === 'never');
    const outcome = over.length === expressions.length ? 'ignored' : 'modified';
    const detail = `does not occur again: ${over.join('; ')}`;
    return over.length === 0 ? [] : [{ app: '', name: 'wherry/schedule', outcome, detail }];
  } catch (cause) {
    const { code, stderr = '' } = cause as { readonly code?: unknown; readonly stderr?: string };
    const why = stderr.trim().replaceAll(/\s+/g, ' ');
    // A code that is a word, not an exit status, means that it was not run.
    if (typeof code === 'number' && why !== '') {
      throw new Refusal('pod-manifest-invalid', `pod ${pod}: annotation wherry/schedule: ${why}`, { cause });
    }
    throw new Refusal(
      'device-unsupported',
      `pod ${pod}: annotation wherry/schedule takes systemd-analyze, which does not run on this device: ${why || String(code)}`,
      { cause },
    );
  }
}
