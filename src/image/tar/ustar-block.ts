import { BLOCK, checksum, type TarBlock } from './tar-block.ts';

/** The values of one ustar header. `name` and `linkname` are ASCII, at most 100 bytes each. */
export type UstarFields = Omit<TarBlock, 'checksum'>;

/** Digits of mode and owners, of size and time, of the checksum. */
const [shortDigits, longDigits, sumDigits] = [7, 11, 6];
const checksumAt = 148;

/** The header block that `TarWriter` writes for these fields. */
export function encodeBlock(fields: UstarFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(ustarText(fields, '\0'.repeat(8)), 'latin1');
  block.write(checksumText(checksum(block)), checksumAt, 'latin1');
  return block;
}

/**
 * Whether a header block is, byte for byte, the one that `encodeBlock` makes from the values read
 * from it. Every field is then in its place and in the only unambiguous form
 * (docs/decisions/tar-walk.md).
 *
 * @param header - what `decodeBlock` returned for `block`; it has checked the checksum
 * @param fields - the values that were read
 */
export function isWrittenAlike(block: Buffer, header: TarBlock, fields: UstarFields): boolean {
  // Equal bytes have equal sums, so the sum of the block is the one that the writer would compute.
  return block.toString('latin1', 0, BLOCK) === ustarText(fields, checksumText(header.checksum));
}

/** The 512 characters of a header, one for each byte. */
function ustarText(fields: UstarFields, sum: string): string {
  return (
    fields.name.padEnd(100, '\0') +
    octal(fields.mode, shortDigits) +
    octal(fields.uid, shortDigits) +
    octal(fields.gid, shortDigits) +
    octal(fields.sizeBytes, longDigits) +
    octal(fields.mtime, longDigits) +
    sum +
    fields.flag +
    fields.linkname.padEnd(100, '\0') +
    afterLinkname
  );
}

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`;
}

function checksumText(sum: number): string {
  return `${sum.toString(8).padStart(sumDigits, '0')}\0 `;
}

const afterLinkname =
  'ustar\x0000' +
  '\0'.repeat(64) + // no names of users and groups
  octal(0, shortDigits) + // device numbers: readers want digits
  octal(0, shortDigits) +
  '\0'.repeat(167); // no prefix
