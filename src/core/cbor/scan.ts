import { CborError, type CborLimits } from './value.ts';

/** Major types of RFC 8949 §3.1 by number. */
const majorTypes = ['integer', 'integer', 'bytes', 'text', 'array', 'map', 'tag', 'simple'] as const;

/**
 * The smallest argument that needs 1, 2, 4 or 8 bytes after the initial byte (RFC 8949 §4.2.1,
 * shortest form).
 */
const smallestArgument = { 24: 24n, 25: 0x100n, 26: 0x1_0000n, 27: 0x1_0000_0000n } as const;

const largestInteger = BigInt(Number.MAX_SAFE_INTEGER);

interface Head {
  readonly type: (typeof majorTypes)[number];
  readonly argument: bigint;
  /** Where the head ends. */
  readonly end: number;
}

/**
 * Walks the heads of `bytes` without building anything: one well-formed value of the subset,
 * shortest heads, definite lengths that fit into the rest of the message, nesting within `limits`,
 * nothing behind it. A library decoder allocates as much as a head announces and recurses as deep
 * as the message nests. After this walk both are bounded.
 *
 * @throws {CborError} naming the offset of the first violation.
 */
export function scanCbor(bytes: Uint8Array, limits: CborLimits): void {
  if (bytes.length > limits.maxBytes) {
    throw new CborError(`the message has ${bytes.length} bytes, more than ${limits.maxBytes}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = scanItem(view, 0, Math.min(limits.maxDepth, 256));
  if (end !== bytes.length) throw new CborError(`${bytes.length - end} bytes follow the value`);
}

function scanItem(view: DataView, start: number, depthLeft: number): number {
  const { type, argument, end } = readHead(view, start);
  switch (type) {
    case 'integer':
      // -1 - argument must be a safe integer too, so the same bound less one holds there.
      if (argument > largestInteger - (view.getUint8(start) >> 5 === 1 ? 1n : 0n)) {
        throw new CborError(`the integer at byte ${start} is past 2^53`);
      }
      return end;
    case 'bytes':
    case 'text':
      if (argument > view.byteLength - end) throw new CborError(`the ${type} at byte ${start} ends early`);
      return end + Number(argument);
    case 'array':
    case 'map': {
      // Every member takes at least one byte: a huge count is refused by arithmetic, not by memory.
      const members = type === 'map' ? argument * 2n : argument;
      if (members > view.byteLength - end) throw new CborError(`the ${type} at byte ${start} ends early`);
      if (depthLeft === 0) throw new CborError(`the ${type} at byte ${start} is nested too deep`);
      let at = end;
      for (let index = 0; index < Number(members); index++) {
        if (type === 'map' && index % 2 === 0 && readHead(view, at).type !== 'text') {
          throw new CborError(`the map key at byte ${at} is not text`);
        }
        at = scanItem(view, at, depthLeft - 1);
      }
      return at;
    }
    case 'tag':
      throw new CborError(`the tag at byte ${start} is not allowed`);
    case 'simple':
      // 20 false, 21 true, 22 null; 23 is undefined, 25..27 are floats.
      if (argument < 20n || argument > 22n || end !== start + 1) {
        throw new CborError(`the simple or float value at byte ${start} is not allowed`);
      }
      return end;
  }
}

function readHead(view: DataView, start: number): Head {
  if (start >= view.byteLength) throw new CborError(`a value is missing at byte ${start}`);
  const initial = view.getUint8(start);
  const type = majorTypes[(initial >> 5) as 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7];
  const short = initial & 0x1f;
  if (short < 24) return { type, argument: BigInt(short), end: start + 1 };
  if (short !== 24 && short !== 25 && short !== 26 && short !== 27) {
    throw new CborError(`the head at byte ${start} is of indefinite length or reserved`);
  }
  const width = 1 << (short - 24);
  const end = start + 1 + width;
  if (end > view.byteLength) throw new CborError(`the head at byte ${start} ends early`);
  let argument = 0n;
  for (let at = start + 1; at < end; at++) argument = (argument << 8n) | BigInt(view.getUint8(at));
  if (type !== 'simple' && argument < smallestArgument[short]) {
    throw new CborError(`the head at byte ${start} is not in its shortest form`);
  }
  return { type, argument, end };
}
