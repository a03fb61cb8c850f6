import { isUtf8 } from 'node:buffer';

import { Refusal } from '../../core/refusal/index.ts';
import { malformed } from './limits.ts';

export const BLOCK = 512;

/** PAX headers of one entry and of all, GNU's long names and long targets of links. */
const extensionFlags = new Set(['x', 'g', 'L', 'K']);

/** Whether a block with this flag describes the entry after it. */
export function isExtension(flag: string): boolean {
  return extensionFlags.has(flag);
}

/** Which names of a header an extension in front of it replaces. */
export interface ReplacedNames {
  readonly name: boolean;
  readonly linkname: boolean;
}

const nothingReplaced: ReplacedNames = { name: false, linkname: false };

/** The values of a header block before PAX and GNU extensions are applied. */
export interface TarBlock {
  /** The type flag as a character, `0` for the old NUL. */
  readonly flag: string;
  readonly name: string;
  readonly linkname: string;
  /** Permission bits, set-user-ID, set-group-ID and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Seconds since 1970; may be negative. */
  readonly mtime: number;
  /** As computed from the block. */
  readonly checksum: number;
}

/**
 * Reads one header block (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar
 * Format") and refuses anything that two readers could read differently. The caller handles a block
 * of zeros.
 *
 * @param replaced names that need not be UTF-8. GNU tar writes the first 100 bytes of a longer name
 *   there, even if they end inside a character, and an extension has the whole name.
 */
export function decodeBlock(
  block: Buffer,
  offset: number,
  replaced: ReplacedNames = nothingReplaced,
): TarBlock {
  const sum = checksum(block);
  if (octal(block, 148, 8) !== sum) throw damaged(offset, 'has a wrong checksum');
  const isUstar = has(block, 257, 'ustar\0');
  if (!isUstar && !has(block, 257, 'ustar  \0')) throw damaged(offset, 'is neither ustar, PAX nor GNU tar');
  // star keeps times where ustar keeps the end of the prefix, with this mark at the end of the
  // block.
  if (has(block, 508, 'tar\0')) throw damaged(offset, 'is of the xstar dialect; use PAX');
  const flag = block[156] === 0 ? '0' : block.toString('latin1', 156, 157);
  // An extension's own name is for tools that do not support extensions.
  const isLoose = replaced.name || isExtension(flag);
  const name = string(block, 0, 100, isLoose);
  const prefix = isUstar ? string(block, 345, 155, isLoose) : '';
  return {
    flag,
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkname: string(block, 157, 100, replaced.linkname),
    mode: natural(block, 100, 8, offset, 'mode') & 0o7777,
    uid: natural(block, 108, 8, offset, 'uid'),
    gid: natural(block, 116, 8, offset, 'gid'),
    sizeBytes: natural(block, 124, 12, offset, 'size'),
    mtime: integer(block, 136, 12, offset, 'time'),
    checksum: sum,
  };
}

function damaged(offset: number, rule: string): Refusal {
  return malformed(`the header at byte ${offset} ${rule}`);
}

function has(block: Buffer, at: number, mark: string): boolean {
  for (let i = 0; i < mark.length; i++) if (block[at + i] !== mark.charCodeAt(i)) return false;
  return true;
}

/** A number of a header: octal, or binary as in GNU tar. @throws Refusal `archive-malformed` */
export function natural(block: Buffer, at: number, length: number, offset: number, what: string): number {
  const value = integer(block, at, length, offset, what);
  if (value < 0) throw damaged(offset, `has a negative ${what}`);
  return value;
}

function integer(block: Buffer, at: number, length: number, offset: number, what: string): number {
  const value = (block[at] ?? 0) >= 0x80 ? base256(block, at, length) : octal(block, at, length);
  if (!Number.isSafeInteger(value)) throw damaged(offset, `has a ${what} that is not a number`);
  return value;
}

/**
 * Octal digits after optional spaces and before optional spaces and NULs; NaN for anything else, 0
 * when there are none. Hand-written, because a pull reads seven such fields for each entry.
 */
function octal(block: Buffer, at: number, length: number): number {
  const end = at + length;
  let i = at;
  while (i < end && block[i] === 0x20) i++;
  let value = 0;
  for (; i < end; i++) {
    const digit = (block[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; i < end; i++) if (block[i] !== 0 && block[i] !== 0x20) return NaN;
  return value;
}

/**
 * GNU's binary numbers: 0x80 and a big-endian number, or 0xff and a negative one in two's
 * complement.
 */
function base256(block: Buffer, at: number, length: number): number {
  const sign = block[at];
  if (sign !== 0x80 && sign !== 0xff) return NaN;
  let value = sign === 0x80 ? 0 : -1;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
  return value;
}

/**
 * The sum of all bytes, those of the checksum itself taken as spaces. Four at a time: a pull does
 * it twice for each entry.
 */
export function checksum(block: Buffer): number {
  const { buffer, byteOffset } = block.byteOffset % 4 === 0 ? block : Buffer.from(block);
  const words = new Int32Array(buffer, byteOffset, BLOCK / 4);
  // Two sums of bytes side by side, in sixteen bits each: 128 times 255 is less than 2^15.
  let even = 0;
  let odd = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? 0;
    even += word & 0xff00ff;
    odd += (word >>> 8) & 0xff00ff;
  }
  let sum = (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16) + 8 * 0x20;
  for (let i = 148; i < 156; i++) sum -= block[i] ?? 0;
  return sum;
}

function string(block: Buffer, at: number, length: number, isLoose: boolean): string {
  if (block[at] === 0) return '';
  const field = block.subarray(at, at + length);
  return isLoose ? upToNul(field).toString('utf8') : utf8(field);
}

/**
 * The text up to the first NUL. Names that are not UTF-8 are refused: JSON, the report and the
 * journal cannot carry them.
 */
export function utf8(field: Buffer): string {
  const bytes = upToNul(field);
  if (!isUtf8(bytes)) throw notUtf8(bytes);
  return bytes.toString('utf8');
}

/** The refusal of a name, shown as Latin-1, which can display every byte. */
export function notUtf8(name: Buffer): Refusal {
  return new Refusal(
    'archive-path-forbidden',
    `the name ${JSON.stringify(name.toString('latin1', 0, 120))} (shown as Latin-1) is not UTF-8; rename the file`,
  );
}

function upToNul(field: Buffer): Buffer {
  const nul = field.indexOf(0);
  return nul < 0 ? field : field.subarray(0, nul);
}
