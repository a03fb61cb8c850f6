import type { Journal } from '../../core/ports/index.ts';
import { diskRefusal, isRefusal, type RefusalCode } from '../../core/refusal/index.ts';

/**
 * Logs a failure, and a bug in wherry with its stack.
 *
 * @param what what could not be done
 * @returns the code of the failure
 */
export function logFailure(journal: Journal, what: string, error: unknown): RefusalCode {
  const fault = isRefusal(error) ? undefined : diskRefusal(error, what);
  const code = isRefusal(error) ? error.code : (fault?.code ?? 'internal');
  const reason = isRefusal(error) ? error.message : describe(error);
  journal.log('error', fault?.message ?? `${what}: ${reason}`, { WHERRY_CODE: code });
  return code;
}

/** An error with its stack. */
export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
