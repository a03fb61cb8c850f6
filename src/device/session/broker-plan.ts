/**
 * Which of several broker addresses is dialled next. Pure. When it is dialled is decided by the
 * reconnect policy alone, so that the other address of a fleet is met by the same spread of
 * attempts as the first one was.
 */

/** Failed tries in a row after which the next address has its turn. */
export const triesPerBroker = 2;

export interface BrokerPlan {
  /** The address that is used or dialled next, counted from 0. */
  readonly at: number;
  /** Failed tries of this address in a row. */
  readonly failures: number;
}

/** A process begins with the first address of the configuration. */
export const firstBroker: BrokerPlan = { at: 0, failures: 0 };

/**
 * The plan after one try of the address `plan.at`. A stable session keeps the address: a device
 * does not go back to the first one by itself, because a fleet that did would make a storm at the
 * moment in which that broker comes back. After the last address follows the first.
 * @param count number of addresses
 * @param wasStable whether the try led to a session that lasted (`ReconnectPolicy.stableMs`)
 */
export function nextBroker(plan: BrokerPlan, count: number, wasStable: boolean): BrokerPlan {
  if (wasStable) return { at: plan.at, failures: 0 };
  const failures = plan.failures + 1;
  return failures < triesPerBroker ? { at: plan.at, failures } : { at: (plan.at + 1) % count, failures: 0 };
}
