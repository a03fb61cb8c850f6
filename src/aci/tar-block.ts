import { isUtf8 } from 'node:buffer';

import { Refusal } from '../refusal/index.ts';
import { malformed } from './limits.ts';

export const BLOCK = 512;

/** What a header block says before PAX and GNU extensions are applied. */
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
}

/**
 * Reads one header block (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format") and
 * refuses whatever two readers could read as two things. A block of zeros is the caller's business.
 */
export function decodeBlock(block: Buffer, offset: number): TarBlock {
  const where = `The header at byte ${offset}`;
  if (octal(block, 148, 8) !== checksum(block)) throw malformed(`${where} has a wrong checksum.`);
  const magic = block.toString('latin1', 257, 265);
  const ustar = magic.startsWith('ustar\0');
  if (!ustar && magic !== 'ustar  \0') throw malformed(`${where} is neither ustar, PAX nor GNU tar.`);
  // star keeps times where ustar keeps the end of the prefix, with this mark at the end of the block.
  if (block.toString('latin1', 508, 512) === 'tar\0')
    throw malformed(`${where} is of the xstar dialect; use PAX.`);
  const name = string(block, 0, 100);
  const prefix = ustar ? string(block, 345, 155) : '';
  return {
    flag: block[156] === 0 ? '0' : block.toString('latin1', 156, 157),
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkname: string(block, 157, 100),
    mode: number('mode', 100, 8) & 0o7777,
    uid: number('uid', 108, 8),
    gid: number('gid', 116, 8),
    sizeBytes: number('size', 124, 12),
    mtime: signedNumber('time', 136, 12),
  };

  function number(what: string, at: number, length: number): number {
    const value = signedNumber(what, at, length);
    if (value < 0) throw malformed(`${where} has a negative ${what}.`);
    return value;
  }

  function signedNumber(what: string, at: number, length: number): number {
    const value = (block[at] ?? 0) >= 0x80 ? base256(block, at, length) : octal(block, at, length);
    if (!Number.isSafeInteger(value)) throw malformed(`${where} has a ${what} that is not a number.`);
    return value;
  }
}

/** Octal digits between optional leading spaces and trailing spaces or NULs; NaN for anything else, 0 when empty. */
function octal(block: Buffer, at: number, length: number): number {
  const match = /^ *([0-7]*)[ \0]*$/.exec(block.toString('latin1', at, at + length));
  if (!match) return NaN;
  return match[1] === '' ? 0 : parseInt(match[1] ?? '', 8);
}

/** GNU's binary numbers: 0x80 and a big-endian number, or 0xff and a negative one in two's complement. */
function base256(block: Buffer, at: number, length: number): number {
  const sign = block[at];
  if (sign !== 0x80 && sign !== 0xff) return NaN;
  let value = sign === 0x80 ? 0 : -1;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
  return value;
}

/** The sum of all bytes, those of the checksum itself taken as spaces. */
export function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK; i++) sum += block[i] ?? 0;
  return sum;
}

function string(block: Buffer, at: number, length: number): string {
  return utf8(block.subarray(at, at + length));
}

/** The text up to the first NUL. Names that are not UTF-8 are refused: JSON, the report and the journal cannot carry them. */
export function utf8(field: Buffer): string {
  const nul = field.indexOf(0);
  const bytes = nul < 0 ? field : field.subarray(0, nul);
  if (!isUtf8(bytes)) {
    throw new Refusal(
      'archive-path-forbidden',
      `The name ${JSON.stringify(bytes.toString('latin1', 0, 120))} (shown as Latin-1) is not UTF-8.`,
    );
  }
  return bytes.toString('utf8');
}
