import { isRefusal } from '../../core/refusal/index.ts';
import {
  compareMemory,
  messageFor,
  mustRepeat,
  type FleetDirectory,
  type FleetLink,
} from '../../operator/fleet/index.ts';
import type { StoredCommand } from '../database/index.ts';

/**
 * A signed command. One that is not sealed is encrypted before it is published, if the key of the
 * device is known.
 */
export interface Handover extends StoredCommand {
  readonly device: string;
  readonly version: number;
}

interface Means {
  readonly fleet: FleetDirectory;
  readonly link: FleetLink;
}

/** Commands that wait for their acknowledgement at the same time; AWS IoT Core allows 100. */
const atOnce = 64;

/**
 * Stores each command in the fleet directory, then publishes it. Publishing one twice is harmless:
 * a device ignores a command that it knows.
 * @returns devices whose version is used by another command; nothing was published for them
 * @throws Refusal `broker-unreachable`, `broker-refused`
 */
export async function handOver(
  { fleet, link }: Means,
  commands: readonly Handover[],
): Promise<readonly string[]> {
  const left: string[] = [];
  const waiting = [...commands];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { device, version } = next;
      const envelope = await claimed(fleet, next);
      if (envelope === undefined) left.push(device);
      else await link.publishDesired(device, { version, envelope });
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, commands.length) }, work));
  return left;
}

/** Publishes again what the broker does not keep, for example after a controller died. */
export async function handOverLost(means: Means, commands: readonly Handover[]): Promise<readonly string[]> {
  if (commands.length === 0) return [];
  const read = await means.link.readBack(commands.map(({ device }) => device));
  const lost: Handover[] = [];
  for (const command of commands) {
    const kept = read.get(command.device);
    const sent = await claimed(means.fleet, command);
    const newest = { ...command, envelope: sent ?? command.envelope };
    if (
      kept === undefined ||
      kept.seen === 'unknown' ||
      mustRepeat(compareMemory(newest, kept), command.version, 0)
    ) {
      lost.push(command);
    }
  }
  return await handOver(means, lost);
}

/** The message to publish; undefined when its version is used by another command. */
async function claimed(fleet: FleetDirectory, next: Handover): Promise<Uint8Array | undefined> {
  const { device, version, envelope } = next;
  try {
    const message = next.sealed ?? (await messageFor(fleet, device, envelope, []));
    await fleet.claim(device, version, message, envelope);
    return message;
  } catch (error) {
    if (!isRefusal(error, 'input-invalid')) throw error;
    const kept = await fleet.plainEnvelope(device, version);
    return Buffer.compare(kept, envelope) === 0 ? await fleet.envelope(device, version) : undefined;
  }
}
