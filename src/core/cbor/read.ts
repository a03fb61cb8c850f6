import { isUtf8 } from 'node:buffer';
import { CborError, type CborLimits, type CborValue } from './value.ts';

/**
 * Accepts the same bytes as `decodeCbor` and returns the same value, in one pass. It requires heads
 * in their shortest form, keys in strictly rising order of their encoding and valid UTF-8. That
 * leaves one way to write a value, so it need not be re-encoded to prove it. For readers of
 * thousands of messages; a property test compares both.
 *
 * @throws {CborError} naming the offset of the first violation
 */
export function readCbor(bytes: Uint8Array, limits: CborLimits): CborValue {
  if (bytes.length > limits.maxBytes) {
    throw new CborError(`the message has ${bytes.length} bytes, more than ${limits.maxBytes}`);
  }
  const source = { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  const value = readItem(source, Math.min(limits.maxDepth, 256));
  if (source.at !== bytes.length) throw new CborError(`${bytes.length - source.at} bytes follow the value`);
  return value;
}

/** A message, and how far it has been read. */
export interface Source {
  readonly bytes: Buffer;
  at: number;
}

/** Reads the value at `source.at`, as `readCbor`. @throws {CborError} */
export function readItem(source: Source, depthLeft: number): CborValue {
  const start = source.at;
  const initial = initialByte(source);
  switch (initial >> 5) {
    case 0:
      return safeInteger(readArgument(source, initial), start);
    case 1:
      return safeInteger(-1 - readArgument(source, initial), start);
    case 2: {
      const length = lengthOf(source, initial, start);
      return Uint8Array.from(source.bytes.subarray(source.at, (source.at += length)));
    }
    case 3:
      return readText(source, lengthOf(source, initial, start), start);
    case 4: {
      const count = countOf(source, initial, 1, start, depthLeft);
      const members: CborValue[] = [];
      for (let index = 0; index < count; index++) members.push(readItem(source, depthLeft - 1));
      return members;
    }
    case 5:
      return readMap(source, countOf(source, initial, 2, start, depthLeft), depthLeft - 1);
    default:
      return readSimple(initial, start);
  }
}

function readMap(source: Source, count: number, depthLeft: number): CborValue {
  const object = Object.create(null) as Record<string, CborValue>;
  let before = { start: 0, end: 0 };
  for (let index = 0; index < count; index++) {
    const start = source.at;
    const initial = initialByte(source);
    if (initial >> 5 !== 3) throw new CborError(`the map key at byte ${start} is not text`);
    const length = lengthOf(source, initial, start);
    const key = { start: source.at, end: source.at + length };
    if (index > 0 && !isBefore(source.bytes, before, key))
      throw new CborError(`the map key at byte ${start} is a duplicate or unsorted`);
    before = key;
    object[readText(source, length, start)] = readItem(source, depthLeft);
  }
  return object;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** With heads in their shortest form, the longer text sorts after the shorter one. */
function isBefore(bytes: Buffer, one: Span, other: Span): boolean {
  const longerBy = other.end - other.start - (one.end - one.start);
  if (longerBy !== 0) return longerBy > 0;
  for (let first = one.start, second = other.start; first < one.end; first++, second++) {
    const differs = (bytes[second] ?? 0) - (bytes[first] ?? 0);
    if (differs !== 0) return differs > 0;
  }
  return false;
}

function readText(source: Source, length: number, start: number): string {
  const { bytes, at } = source;
  const end = (source.at = at + length);
  for (let index = at; index < end; index++) {
    if ((bytes[index] ?? 0) < 0x80) continue;
    if (!isUtf8(bytes.subarray(at, end))) throw new CborError(`the text at byte ${start} is not valid UTF-8`);
    return bytes.toString('utf8', at, end);
  }
  return bytes.toString('latin1', at, end);
}

function readSimple(initial: number, start: number): boolean | null {
  switch (initial) {
    case 0xf4:
      return false;
    case 0xf5:
      return true;
    case 0xf6:
      return null;
    default:
      throw new CborError(`the tag, simple or float value at byte ${start} is not allowed`);
  }
}

function safeInteger(value: number, start: number): number {
  if (!Number.isSafeInteger(value)) throw new CborError(`the integer at byte ${start} is past 2^53`);
  return value;
}

/** The length of the string at `start`, which ends within the message. */
function lengthOf(source: Source, initial: number, start: number): number {
  const length = readArgument(source, initial);
  if (length > source.bytes.length - source.at)
    throw new CborError(`the bytes or text at byte ${start} end early`);
  return length;
}

/**
 * The number of members of the array or map at `start`. Each takes at least `bytesEach` bytes: a
 * huge count is refused by arithmetic, not by memory.
 */
function countOf(
  source: Source,
  initial: number,
  bytesEach: 1 | 2,
  start: number,
  depthLeft: number,
): number {
  const count = readArgument(source, initial);
  if (count * bytesEach > source.bytes.length - source.at)
    throw new CborError(`the array or map at byte ${start} ends early`);
  if (depthLeft === 0) throw new CborError(`the array or map at byte ${start} is nested too deep`);
  return count;
}

export function initialByte(source: Source): number {
  const initial = source.bytes[source.at];
  if (initial === undefined) throw new CborError(`a value is missing at byte ${source.at}`);
  source.at += 1;
  return initial;
}

/** The argument after the initial byte; inexact past 2^53, where every caller refuses it. */
export function readArgument(source: Source, initial: number): number {
  const short = initial & 0x1f;
  if (short < 24) return short;
  const { bytes, at } = source;
  const width = short > 27 ? 0 : 1 << (short - 24);
  if (width === 0) throw new CborError(`the head at byte ${at - 1} is of indefinite length or reserved`);
  if (at + width > bytes.length) throw new CborError(`the head at byte ${at - 1} ends early`);
  let argument = 0;
  for (let index = at; index < at + width; index++) argument = argument * 0x100 + (bytes[index] ?? 0);
  // The smallest argument that needs 1, 2, 4 or 8 bytes (RFC 8949 §4.2.1, shortest form).
  const smallest = width === 1 ? 24 : 2 ** (4 * width);
  if (argument < smallest) throw new CborError(`the head at byte ${at - 1} is not in its shortest form`);
  source.at = at + width;
  return argument;
}
