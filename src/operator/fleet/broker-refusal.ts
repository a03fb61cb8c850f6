import { Refusal } from '../../core/refusal/index.ts';
import { ConnectionLost } from '../../wire/mqtt/index.ts';
import { type BrokerWords, isAway, wordsOfLoss } from './broker-words.ts';

/**
 * Turns the loss of a connection into a refusal.
 * @param doing whether the connection was being opened, or what was being sent over an open one
 */
export async function orRefusal<T>(
  work: Promise<T>,
  doing?: 'opening' | { readonly sent: string },
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ConnectionLost ? refusalOf(error, doing) : error;
  }
}

const codes = {
  broker: 'broker-refused',
  way: 'broker-unreachable',
  configuration: 'config-invalid',
} as const satisfies Record<BrokerWords['by'], string>;

/** @param doing as for {@link orRefusal} */
export function refusalOf(loss: ConnectionLost, doing?: 'opening' | { readonly sent: string }): Refusal {
  const words = wordsOfLoss(loss, doing === 'opening');
  if (words !== undefined) return new Refusal(codes[words.by], words.sentence, { cause: loss });
  if (!isAway(loss)) {
    return new Refusal('broker-refused', `the broker refused the connection: ${loss.message}`, {
      cause: loss,
    });
  }
  const code = 'broker-unreachable';
  if (doing === undefined || doing === 'opening') {
    return new Refusal(code, `no connection to the broker: ${loss.message}`, { cause: loss });
  }
  // Over MQTT 3.1.1 a broker can refuse a message only by ending the connection (§3.3.5).
  const advice =
    'check whether the broker limits the size of messages, keeps retained messages and accepts QoS 1, and what this account may publish';
  return new Refusal(
    code,
    `the connection to the broker ended while ${doing.sent} was sent: ${loss.message}; ${advice}`,
    { cause: loss },
  );
}
