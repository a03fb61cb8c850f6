/**
 * Which of several broker addresses is tried next. Pure. Only the reconnect policy decides when it
 * is tried, so the attempts of a fleet at the next address are spread as those at the first one
 * were.
 */

/** Consecutive failed attempts after which the next address is tried. */
export const triesPerBroker = 2;

export interface BrokerPlan {
  /** The address that is used now or next, counted from 0. */
  readonly at: number;
  /** Consecutive failed attempts at this address. */
  readonly failures: number;
}

/** A process starts with the first address of the configuration. */
export const firstBroker: BrokerPlan = { at: 0, failures: 0 };

/**
 * The plan after one attempt at the address `plan.at`. A stable session keeps the address. A device
 * does not return to the first address by itself: a fleet that did would overload that broker when
 * it comes back. The first address follows the last.
 * @param count number of addresses
 * @param wasStable whether the attempt led to a session that lasted (`ReconnectPolicy.stableMs`)
 */
export function nextBroker(plan: BrokerPlan, count: number, wasStable: boolean): BrokerPlan {
  if (wasStable) return { at: plan.at, failures: 0 };
  const failures = plan.failures + 1;
  return failures < triesPerBroker ? { at: plan.at, failures } : { at: (plan.at + 1) % count, failures: 0 };
}
