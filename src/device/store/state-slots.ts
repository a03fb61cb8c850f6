import { createHash } from 'node:crypto';
import {
  bytes,
  CborError,
  type CborValue,
  decodeCbor,
  encodeCbor,
  integer,
  map,
  oneOf,
  readFields,
} from '../../core/cbor/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { writeDurable, type Disk } from './disk.ts';

/** A saved state, and the number of its save. */
export interface SavedState {
  /** 1, 2, 3, … */
  readonly generation: number;
  readonly body: Uint8Array;
}

export interface StateSlots {
  /**
   * The newest undamaged state; undefined when none was ever saved. `fault` says which slot was
   * lost: it may have held a newer state.
   *
   * @throws Refusal `state-unreadable` when there are files but all are damaged, or one has a
   *   format of a later wherry
   */
  read(): Promise<(SavedState & { readonly fault?: string }) | undefined>;
  /**
   * Saves a state. Once this resolves, a power cut cannot undo it. Until then the old state stays
   * readable.
   */
  write(body: Uint8Array): Promise<SavedState>;
}

/**
 * The largest state. 32 pods and 64 manifests of 1 MiB would be larger, but are refused earlier.
 */
export const maxStateBytes = 16 * 1024 * 1024;
const overheadBytes = 256;
const names = ['state-a.cbor', 'state-b.cbor'] as const;
type SlotName = (typeof names)[number];

const slotFields = map({
  format: oneOf(1),
  generation: integer(1),
  body: bytes(maxStateBytes),
  sha256: bytes(32),
});

/**
 * The two slots of the device's state in `directory`. Each save goes to the slot that does not hold
 * the newest state, so that damage to a file loses one generation and not everything.
 */
export function stateSlots(disk: Disk, directory: string): StateSlots {
  const path = (name: SlotName): string => `${directory}/${name}`;

  /**
   * @throws Refusal `state-unreadable` for a later format: the other slot may have an older trusted
   *   version
   */
  const readSlot = async (name: SlotName): Promise<SavedState | 'absent' | CborError> => {
    const file = await disk.read(path(name), maxStateBytes + overheadBytes).catch(asDamage);
    if (file instanceof CborError) return file;
    if (file === undefined) return 'absent';
    try {
      return decodeSlot(file);
    } catch (error) {
      if (hasLaterFormat(file)) {
        throw new Refusal(
          'state-unreadable',
          `${path(name)} was written by a later version of wherry; install that version`,
          { cause: error },
        );
      }
      return asDamage(error);
    }
  };

  const readBoth = async (): Promise<{
    newest: (SavedState & { readonly fault?: string }) | undefined;
    free: SlotName;
  }> => {
    const slots = [await readSlot(names[0]), await readSlot(names[1])] as const;
    const [a, b] = slots.map((slot) => (typeof slot === 'object' && 'generation' in slot ? slot : undefined));
    const isA = a !== undefined && (b === undefined || a.generation > b.generation);
    const [newest, free] = isA ? ([a, names[1]] as const) : ([b, names[0]] as const);
    if (newest !== undefined) {
      const other = slots[isA ? 1 : 0];
      // The first state is in one slot alone.
      if (other === 'absent' && newest.generation > 1)
        return { newest: { ...newest, fault: `${path(free)} is missing` }, free };
      if (!(other instanceof CborError)) return { newest, free };
      return { newest: { ...newest, fault: `${path(free)} is damaged: ${other.message}` }, free };
    }
    const damage = slots.find((slot) => slot instanceof CborError);
    if (damage !== undefined) {
      throw new Refusal('state-unreadable', `no state in ${directory} is whole: ${damage.message}`, {
        cause: damage,
      });
    }
    return { newest: undefined, free: names[0] };
  };

  return {
    read: async () => (await readBoth()).newest,
    write: async (body) => {
      if (body.length > maxStateBytes) throw new Error(`a state of ${body.length} bytes is too large`);
      const { newest, free } = await readBoth();
      const saved = { generation: (newest?.generation ?? 0) + 1, body };
      await writeDurable(disk, path(free), encodeSlot(saved));
      return saved;
    },
  };
}

function encodeSlot(state: SavedState): Uint8Array {
  return encodeCbor({ format: 1, ...state, sha256: checksum(state) });
}

function decodeSlot(file: Uint8Array): SavedState {
  const limits = { maxBytes: maxStateBytes + overheadBytes, maxDepth: 1 };
  return openSlot(decodeCbor(file, limits));
}

function openSlot(slot: CborValue): SavedState {
  const { generation, body, sha256 } = readFields(slot, slotFields, 'slot');
  if (!checksum({ generation, body }).equals(sha256)) throw new CborError('slot: the checksum is wrong');
  return { generation, body };
}

/**
 * Whether a file is a slot of a later format, and not one of this format whose number has a flipped
 * bit.
 */
function hasLaterFormat(file: Uint8Array): boolean {
  let slot: CborValue;
  try {
    slot = decodeCbor(file, { maxBytes: maxStateBytes + overheadBytes, maxDepth: 16 });
  } catch {
    return false; // not a value at all: damage
  }
  if (typeof slot !== 'object' || slot === null || !('format' in slot)) return false;
  if (typeof slot.format !== 'number' || slot.format <= 1) return false;
  try {
    openSlot({ ...slot, format: 1 });
    return false;
  } catch {
    return true;
  }
}

function checksum({ generation, body }: SavedState): Buffer {
  return createHash('sha256').update(`${generation}\n`).update(body).digest();
}

/**
 * A slot that cannot be read for any reason, such as a bad block, is damaged; the other may be
 * intact.
 */
function asDamage(error: unknown): CborError {
  if (error instanceof CborError) return error;
  return new CborError(error instanceof Error ? error.message : String(error), { cause: error });
}
