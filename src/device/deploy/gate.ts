import type { Activation } from '../../wire/trust/index.ts';

/** A local reason not to replace the running pods. */
export interface Lock {
  readonly name: string;
  readonly reason: string;
  /** Seconds since 1970; absent for one that cannot be read. */
  readonly expires?: number;
}

/** The facts by which an activation is held or not. */
export interface GateFacts {
  /** Without it, no window is known to be open. */
  readonly clockTrusted: boolean;
  readonly bootId: string;
  /** The group of the version; absent when it is the device's own. */
  readonly group?: string;
  /** The boot in which the version was accepted; see `PendingDeployment`. */
  readonly acceptedIn?: string;
  /** Those that hold. */
  readonly locks: readonly Lock[];
  /** Whether the version has been approved on this device. */
  readonly approved: boolean;
  /** Whether one of the windows of the activation is open. */
  readonly windowOpen: boolean;
}

/**
 * Why an activation may not begin now, in words for the report; undefined when it may. A signed
 * `force` overrides everything. Locks hold every other activation.
 */
export function whyWait(
  activation: Activation | undefined,
  version: number,
  facts: GateFacts,
): string | undefined {
  if (activation?.force === true) return undefined;
  const [lock] = facts.locks;
  if (lock !== undefined) {
    const until = lock.expires === undefined ? '' : ` until ${isoTime(lock.expires)}`;
    return `the lock ${lock.name} holds it${until}: ${lock.reason}`;
  }
  switch (activation?.when ?? 'now') {
    case 'now':
      return undefined;
    case 'window': {
      if (!facts.clockTrusted) return 'it may begin in a window, and the clock of this device is not set';
      const windows = activation?.windows?.map(({ cron, timeZone }) => `"${cron}" ${timeZone}`) ?? [];
      return facts.windowOpen ? undefined : `no window is open; the next opens at ${windows.join(' or ')}`;
    }
    case 'next-boot':
      return facts.bootId === facts.acceptedIn ? 'it begins after the next boot' : undefined;
    case 'approval': {
      if (facts.approved) return undefined;
      const command = `wherry approve ${version}${facts.group === undefined ? '' : ` --group ${facts.group}`}`;
      return `it awaits approval: "${command}" on the device, or deploy again with --activate now`;
    }
  }
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
