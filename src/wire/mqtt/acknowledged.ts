import type { Clock } from '../../core/ports/index.ts';
import { ConnectionLost, type Connection } from './transport.ts';

/** A broker that does not acknowledge for this long counts as lost, whatever the state of TCP. */
export const acknowledgeWithinMs = 60_000;

/**
 * Waits for `work` of a connection for a bounded time: a connection whose broker does not answer is
 * aborted, so that a new one is made.
 *
 * @param what what the broker has to acknowledge, for the journal
 * @throws ConnectionLost when it does not within `withinMs`, or as `work`
 */
export async function acknowledged<T>(
  { clock, connection }: { readonly clock: Clock; readonly connection: Connection },
  what: string,
  work: Promise<T>,
  withinMs = acknowledgeWithinMs,
): Promise<T> {
  const answered = new AbortController();
  const late = clock.sleep(withinMs, answered.signal).then(() => {
    const loss = new ConnectionLost(
      'closed',
      `the broker did not acknowledge ${what} in ${withinMs / 1000} s`,
      { isUnanswered: true },
    );
    connection.abort(loss);
    throw loss;
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    answered.abort();
    late.catch(() => undefined); // the answer came first, or the loss was thrown above
    work.catch(() => undefined); // fails with the connection that was aborted
  }
}
