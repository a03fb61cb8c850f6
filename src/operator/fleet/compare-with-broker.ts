import type { Clock } from '../../core/ports/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import { alreadyVerified, decodeDesiredState, decodeEnvelope } from '../../wire/trust/index.ts';
import { compareMemory, mustRepeat, type BrokerMemory, type NewestCommand } from './broker-memory.ts';
import type { FleetDirectory } from './fleet-directory.ts';
import type { FleetLink } from './fleet-link.ts';

/** Whether the broker keeps the newest command of a device, and what was done about it. */
export interface BrokerComparison {
  /** A device, or a group by `@NAME`. */
  readonly device: string;
  /** The newest version in the fleet directory. */
  readonly version: number;
  /** All versions of the device in the fleet directory. */
  readonly versions: readonly number[];
  readonly memory: BrokerMemory;
  /**
   * `kept`: it was published again, and the broker returns it. `not-kept`: it was, and the broker
   * does not. The others are the reasons why a command that the broker lacks was not published
   * again: it never reached a broker, it has expired, or a device has trusted a version of another
   * fleet directory.
   */
  readonly repeated?: 'kept' | 'not-kept' | 'unsent' | 'expired' | 'foreign';
}

interface Means {
  readonly fleet: FleetDirectory;
  /** Must be listening to the devices. */
  readonly link: FleetLink;
  readonly clock: Clock;
}

/**
 * Compares what the broker keeps for `devices`, or for groups by `@NAME`, with what the fleet
 * directory published last, and publishes again what the broker lost: a broker may acknowledge a
 * command and forget it in a crash. Devices for which nothing was published are left out.
 * @throws Refusal `broker-unreachable` when a command cannot be published again
 */
export async function compareWithBroker(
  means: Means,
  devices: readonly string[],
): Promise<readonly BrokerComparison[]> {
  const { fleet, link, clock } = means;
  const records: {
    device: string;
    versions: number[];
    isUnsent: boolean;
    newest: NewestCommand;
    plain: Uint8Array;
  }[] = [];
  for (const device of devices) {
    const history = await fleet.history(device);
    const last = history.at(-1);
    if (last === undefined) continue;
    const newest = { version: last.version, envelope: await fleet.envelope(device, last.version) };
    const plain = await fleet.plainEnvelope(device, last.version);
    const versions = history.map(({ version }) => version);
    records.push({ device, versions, isUnsent: last.outcome === 'unsent', newest, plain });
  }
  if (records.length === 0) return [];
  const read = await link.readBack(records.map(({ device }) => device));
  const found: BrokerComparison[] = [];
  for (const { device, versions, isUnsent, newest, plain } of records) {
    const memory = compareMemory(newest, read.get(device) ?? { seen: 'unknown' });
    const same = { device, version: newest.version, versions, memory };
    const trusted = link.trustedVersion(device);
    const lacks = mustRepeat(memory, newest.version, 0);
    if (!lacks) found.push(same);
    else if (isUnsent) found.push({ ...same, repeated: 'unsent' });
    else if (!mustRepeat(memory, newest.version, trusted)) found.push({ ...same, repeated: 'foreign' });
    else if (isExpired(plain, clock)) found.push({ ...same, repeated: 'expired' });
    else {
      // An account that may read but not publish still gets an answer.
      await link.publishDesired(device, newest).catch((error: unknown) => {
        if (!isRefusal(error, 'broker-refused')) throw error;
      });
      found.push({ ...same, repeated: (await link.isKept(device)) ? 'kept' : 'not-kept' });
    }
  }
  return found;
}

function isExpired(envelope: Uint8Array, clock: Clock): boolean {
  try {
    const payload = alreadyVerified(decodeEnvelope(envelope).payload, 'own-history');
    return decodeDesiredState(payload).expires * 1000 <= clock.nowMs();
  } catch (error) {
    // A record of another release or a damaged file: no device accepts it either.
    if (!isRefusal(error)) throw error;
    return true;
  }
}
