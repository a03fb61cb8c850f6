import { isUtf8 } from 'node:buffer';

import { Refusal } from '../../core/refusal/index.ts';
import { type ArchiveLimits, malformed, quoted } from './limits.ts';
import { notUtf8 } from './tar-block.ts';

/** An extended attribute; values are bytes (file capabilities are binary). */
export interface Xattr {
  readonly name: string;
  readonly value: Buffer;
}

/** The values of one PAX extended header (`x`) for the entry that follows it. */
export interface PaxOverrides {
  path?: string;
  linkpath?: string;
  sizeBytes?: number;
  uid?: number;
  gid?: number;
  /** Seconds since 1970, the fraction cut off. */
  mtime?: number;
  xattrs: Xattr[];
  /** Names of attributes that are understood and left out. */
  dropped: string[];
}

type Reading = (overrides: PaxOverrides, key: string, value: Buffer) => void;

/**
 * POSIX.1-2017 pax, "pax Extended Header", keywords in lower case; any other lower-case keyword is
 * refused.
 */
const posixKeywords = new Map<string, Reading>([
  ['path', (overrides, key, value) => (overrides.path = text(key, value))],
  ['linkpath', (overrides, key, value) => (overrides.linkpath = text(key, value))],
  ['size', (overrides, key, value) => (overrides.sizeBytes = wholeNumber(key, value))],
  ['uid', (overrides, key, value) => (overrides.uid = wholeNumber(key, value))],
  ['gid', (overrides, key, value) => (overrides.gid = wholeNumber(key, value))],
  ['mtime', (overrides, key, value) => (overrides.mtime = seconds(key, value))],
  ['hdrcharset', requireUtf8],
  ['atime', ignore],
  ['ctime', ignore],
  ['uname', ignore],
  ['gname', ignore],
  ['comment', ignore],
  ['charset', ignore],
]);

/**
 * Vendor keywords that change the type of the entry; a reader that ignores them extracts garbage.
 */
const refusedVendorKeywords = /^(GNU\.|SCHILY\.filetype$)/;

/**
 * GNU tar's PAX forms of a sparse file (0.0, 0.1, 1.0), star's and Solaris': the body is not the
 * file's content.
 */
const sparseKeywords = /^(GNU\.sparse\.|SCHILY\.realsize$|SUN\.holesdata$)/;

/**
 * Advice for the author of an archive with a sparse file. Holes cost nothing in a compressed
 * archive. GNU tar looks for them only with --sparse, and bsdtar, which has no such option, always.
 */
export const noSparse = 'write the archive without --sparse, or by bsdtar with --no-read-sparse';

const xattrPrefix = 'SCHILY.xattr.';

/**
 * Attributes that reach the image. `trusted.*` and `user.overlay.*` would forge overlayfs redirects
 * and whiteouts; `security.*` other than file capabilities belongs to the device's own policy.
 */
function isKeptXattr(name: string): boolean {
  if (name === 'security.capability') return true;
  return name.startsWith('user.') && name.length > 'user.'.length && !name.startsWith('user.overlay.');
}

/**
 * Reads the body of a PAX extended header, strictly: exact lengths, no keyword twice, no unknown
 * keyword that could change the entry.
 */
export function parsePax(body: Buffer, limits: ArchiveLimits): PaxOverrides {
  const overrides: PaxOverrides = { xattrs: [], dropped: [] };
  const seen = new Set<string>();
  for (const { key, value } of paxRecords(body)) {
    if (seen.has(key)) throw malformed(`a PAX header has the keyword ${quoted(key)} twice`);
    seen.add(key);
    const reading = posixKeywords.get(key);
    if (reading) {
      reading(overrides, key, value);
    } else if (key.startsWith(xattrPrefix)) {
      addXattr(overrides, key.slice(xattrPrefix.length), value, limits);
    } else if (sparseKeywords.test(key)) {
      throw new Refusal(
        'archive-entry-unsupported',
        `a PAX header has the keyword ${quoted(key)}, so its entry is a sparse file; ${noSparse}`,
      );
    } else if (/^[a-z]/.test(key) || refusedVendorKeywords.test(key)) {
      throw new Refusal(
        'archive-entry-unsupported',
        `a PAX header has the keyword ${quoted(key)}, which is not supported`,
      );
    }
  }
  return overrides;
}

/**
 * Checks a PAX global header (`g`). Only comments are accepted, as `git archive` writes them:
 * values for all entries are read differently by different tools, so one archive would mean two
 * trees.
 */
export function checkPaxGlobal(body: Buffer): void {
  for (const { key } of paxRecords(body)) {
    if (key !== 'comment') {
      throw new Refusal(
        'archive-entry-unsupported',
        `a PAX global header sets ${quoted(key)} for all entries; only comments are accepted there`,
      );
    }
  }
}

/** Records are `<length> <key>=<value>\n`, where length is that of the whole record in decimal. */
export function* paxRecords(body: Buffer): Generator<{ key: string; value: Buffer }> {
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 || space - at > 10 ? '' : body.toString('latin1', at, space);
    const end = /^[1-9][0-9]*$/.test(digits) ? at + Number(digits) : -1;
    if (end <= space + 1 || end > body.length || body[end - 1] !== 0x0a) {
      throw malformed('a PAX header has a record whose length is wrong');
    }
    const equals = body.indexOf(0x3d, space + 1);
    if (equals <= space + 1 || equals >= end) throw malformed('a PAX header has a record without a keyword');
    const key = body.subarray(space + 1, equals);
    if (!isUtf8(key) || key.includes(0)) throw malformed('a PAX header has a keyword that is not UTF-8');
    yield { key: key.toString('utf8'), value: body.subarray(equals + 1, end - 1) };
    at = end;
  }
}

function text(key: string, value: Buffer): string {
  if (value.length === 0 || value.includes(0)) {
    throw new Refusal('archive-path-forbidden', `a PAX header has a ${key} that is empty or has a NUL`);
  }
  if (!isUtf8(value)) throw notUtf8(value);
  return value.toString('utf8');
}

function wholeNumber(key: string, value: Buffer): number {
  const digits = value.toString('latin1');
  const number = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : NaN;
  if (!Number.isSafeInteger(number)) throw malformed(`a PAX header has a ${key} that is not a whole number`);
  return number;
}

function seconds(key: string, value: Buffer): number {
  const decimal = value.toString('latin1');
  if (!/^-?[0-9]{1,15}(\.[0-9]{1,20})?$/.test(decimal))
    throw malformed(`a PAX header has a ${key} that is not a time`);
  // The fraction is cut off as text: as a number, .999999999 would round up to the next second.
  const [whole = '', fraction = ''] = decimal.split('.');
  return Number(whole) - (decimal.startsWith('-') && /[1-9]/.test(fraction) ? 1 : 0);
}

function requireUtf8(_overrides: PaxOverrides, _key: string, value: Buffer): void {
  if (value.toString('latin1') !== 'ISO-IR 10646 2000 UTF-8') {
    throw new Refusal(
      'archive-entry-unsupported',
      'a PAX header declares names in another encoding than UTF-8',
    );
  }
}

function ignore(): void {
  // Known, and without effect on the image.
}

function addXattr(overrides: PaxOverrides, name: string, value: Buffer, limits: ArchiveLimits): void {
  if (!isKeptXattr(name)) {
    overrides.dropped.push(name);
    return;
  }
  if (
    name.length > 255 ||
    value.length > limits.maxXattrBytes ||
    overrides.xattrs.length >= limits.maxXattrs
  ) {
    throw new Refusal(
      'archive-too-large',
      `an entry's extended attribute ${quoted(name)} passes the limits: ${limits.maxXattrs} attributes of ` +
        `${limits.maxXattrBytes} bytes with names of 255`,
    );
  }
  overrides.xattrs.push({ name, value });
}
