import type { Journal } from '../../core/ports/index.ts';
import type { ConnectionLost, LossReason } from '../../wire/mqtt/index.ts';

/** The code of a loss in the journal: a failure of the network, or a decision of the broker. */
const brokerCodes: Record<LossReason, 'broker-unreachable' | 'broker-refused'> = {
  closed: 'broker-unreachable',
  unreachable: 'broker-unreachable',
  'no-network': 'broker-unreachable',
  tls: 'broker-refused',
  credentials: 'broker-refused',
  busy: 'broker-refused',
  quota: 'broker-refused',
  'too-large': 'broker-refused',
  'taken-over': 'broker-refused',
  protocol: 'broker-refused',
};

/** Logs that a connection ended or failed. @param lastedMs since the attempt began */
export function logLoss(journal: Journal, loss: ConnectionLost, retryInMs: number, lastedMs: number): void {
  journal.log(
    'warning',
    `no connection to the broker: ${loss.message}; next attempt in ${Math.ceil(retryInMs / 1000)} s`,
    {
      WHERRY_CODE: brokerCodes[loss.reason],
      WHERRY_REASON: loss.reason,
      WHERRY_LASTED_MS: Math.round(lastedMs),
    },
  );
}
