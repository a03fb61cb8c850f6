import { Refusal } from '../../core/refusal/index.ts';
import { claimedVersion, decodeEnvelope, isEncrypted } from '../../wire/trust/index.ts';

/** What the broker returned when the command of a device was read back. */
export type ReadBack =
  | { readonly seen: 'command'; readonly envelope: Uint8Array }
  /** The topic can be read, and the broker keeps nothing on it. */
  | { readonly seen: 'nothing' }
  /** No message arrived that shows that this account may read the topic. */
  | { readonly seen: 'unknown' };

/** The newest command of a device in the fleet directory. */
export interface NewestCommand {
  readonly version: number;
  /** The exact message that was published. */
  readonly envelope: Uint8Array;
}

/**
 * What the broker keeps for a device, compared with what was published from the fleet directory.
 */
export type BrokerMemory =
  /** `encrypted`: not the message that was published; only the device can read it. */
  | { readonly keeps: 'newest' | 'nothing' | 'unreadable' | 'unknown' | 'encrypted' }
  /** `other` has the same version as the newest command and another content. */
  | { readonly keeps: 'older' | 'newer' | 'other'; readonly version: number };

/**
 * Compares what was read back with the newest command of the fleet directory. Does not verify
 * signatures: devices do that.
 */
export function compareMemory(newest: NewestCommand, read: ReadBack): BrokerMemory {
  if (read.seen !== 'command') return { keeps: read.seen };
  if (Buffer.compare(newest.envelope, read.envelope) === 0) return { keeps: 'newest' };
  if (isEncrypted(read.envelope)) return { keeps: 'encrypted' };
  const kept = versionOf(read.envelope);
  if (kept === undefined) return { keeps: 'unreadable' };
  if (kept === newest.version) return { keeps: 'other', version: kept };
  return { keeps: kept < newest.version ? 'older' : 'newer', version: kept };
}

/**
 * Whether the newest command must be published again. A command of another fleet directory is never
 * replaced: the broker keeps it, or the device has trusted it.
 */
export function mustRepeat(memory: BrokerMemory, newestVersion: number, trustedVersion: number): boolean {
  return ['nothing', 'older', 'unreadable'].includes(memory.keeps) && trustedVersion <= newestVersion;
}

/** The version in a command; undefined when it is not one. */
function versionOf(envelope: Uint8Array): number | undefined {
  try {
    return claimedVersion(decodeEnvelope(envelope).payload);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return undefined;
  }
}
