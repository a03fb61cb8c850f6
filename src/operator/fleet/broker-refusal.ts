import { Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost } from '../../wire/mqtt/index.ts';

/**
 * Tells of a connection that is lost as a refusal.
 * @param sent what was being sent over an open connection
 */
export async function orRefusal<T>(work: Promise<T>, sent?: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ConnectionLost ? refusalOf(error, sent) : error;
  }
}

/** Whether it may be there again in a moment. */
export function isAway({ reason }: ConnectionLost): boolean {
  return reason === 'unreachable' || reason === 'no-network' || reason === 'closed';
}

/** @param sent as for {@link orRefusal} */
export function refusalOf(loss: ConnectionLost, sent?: string): Refusal {
  const code = isAway(loss) ? 'broker-unreachable' : 'broker-refused';
  // What the broker did on an open connection is a sentence of its own.
  if (loss.message.startsWith('the broker ')) return new Refusal(code, loss.message, { cause: loss });
  if (code === 'broker-refused') {
    return new Refusal(code, `the broker refused the connection: ${loss.message}`, { cause: loss });
  }
  if (sent === undefined) {
    return new Refusal(code, `no connection to the broker: ${loss.message}`, { cause: loss });
  }
  // Over MQTT 3.1.1 a broker can refuse a message only by ending the connection (§3.3.5).
  const advice = 'look whether the broker limits the size of messages, or what this account may publish';
  return new Refusal(
    code,
    `the connection to the broker ended while ${sent} was sent: ${loss.message}; ${advice}`,
    { cause: loss },
  );
}
