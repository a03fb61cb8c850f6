import type { Xattr } from './pax.ts';
import { BLOCK } from './tar-block.ts';
import { type EntryType, padding, typeFlags } from './tar-framing.ts';
import { encodeBlock } from './ustar-block.ts';

/** The properties of one entry in a canonical tar. */
export interface TarEntry {
  /** As `entryPath` returns it: without `./` and without a slash at the end. */
  readonly path: string;
  readonly type: EntryType;
  /** Of a hard link (from the archive's root) or a symbolic link (verbatim); otherwise ''. */
  readonly target: string;
  /** Permission bits with set-user-ID, set-group-ID and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, at least 0; a later time is written as 2^33-1. */
  readonly mtime: number;
  readonly sizeBytes: number;
  readonly xattrs: readonly Xattr[];
}

/**
 * A destination of bytes; `write` resolves when the sink accepts more. The sink may keep `bytes`
 * without copying.
 */
export interface ByteSink {
  write(bytes: Buffer): Promise<void>;
}

const maxOctal7 = 8 ** 7 - 1;
const maxOctal11 = 8 ** 11 - 1;

/**
 * Writes the canonical tar of a tree: ustar headers, a PAX header only for values that ustar cannot
 * express, no user names, no padding to a record. Both the builder and the reader's canonical tar
 * for mkfs.erofs use it. `tar-stream`'s own `pack` is not used: it cannot write a binary attribute,
 * mode 0, an owner past 2^18 or a time past 2038.
 */
export class TarWriter {
  readonly #sink: ByteSink;
  #remaining = 0;
  #padding = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Begins an entry; `sizeBytes` of body must follow for a file. */
  async entry(entry: TarEntry): Promise<void> {
    if (this.#remaining > 0)
      throw new Error(`${this.#remaining} bytes of the body before ${entry.path} are missing`);
    this.#remaining = entry.sizeBytes;
    this.#padding = padding(entry.sizeBytes);
    await this.#sink.write(encodeHeaders(entry));
  }

  async body(bytes: Buffer): Promise<void> {
    this.#remaining -= bytes.length;
    if (this.#remaining < 0) throw new Error('the body is longer than its header says');
    await this.#sink.write(bytes);
    if (this.#remaining === 0 && this.#padding > 0) await this.#sink.write(Buffer.alloc(this.#padding));
  }

  /** Writes the end marker. */
  async end(): Promise<void> {
    if (this.#remaining > 0) throw new Error(`${this.#remaining} bytes of the last body are missing`);
    await this.#sink.write(Buffer.alloc(2 * BLOCK));
  }
}

/** A directory that the archive only implies: owned by root, readable by all. */
export function impliedDirectory(path: string): TarEntry {
  return {
    path,
    type: 'directory',
    target: '',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    sizeBytes: 0,
    xattrs: [],
  };
}

/**
 * The headers of an entry: one block, or three and more for values that ustar cannot express. A
 * time after the last one of ustar is written as the last one, as in the reader.
 */
export function encodeHeaders(entry: TarEntry): Buffer {
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const records: Buffer[] = [];
  const inHeader = (key: string, value: string, limitBytes: number): string => {
    if (value.length <= limitBytes && /^[\x20-\x7e]*$/.test(value)) return value;
    records.push(paxRecord(key, Buffer.from(value)));
    return '';
  };
  const number = (key: string, value: number, limit: number): number => {
    if (value <= limit) return value;
    records.push(paxRecord(key, Buffer.from(String(value))));
    return 0;
  };
  const fields = {
    flag: typeFlags[entry.type],
    name: inHeader('path', path, 100) || 'see-pax-header',
    linkname: inHeader('linkpath', entry.target, 100),
    mode: entry.mode,
    uid: number('uid', entry.uid, maxOctal7),
    gid: number('gid', entry.gid, maxOctal7),
    sizeBytes: number('size', entry.sizeBytes, maxOctal11),
    mtime: Math.min(entry.mtime, maxOctal11),
  };
  for (const { name, value } of entry.xattrs) records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  const header = encodeBlock(fields);
  if (records.length === 0) return header;
  const pax = Buffer.concat(records);
  const paxHeader = encodeBlock({
    flag: 'x',
    name: 'PaxHeader',
    linkname: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: pax.length,
    mtime: 0,
  });
  return Buffer.concat([paxHeader, pax, Buffer.alloc(padding(pax.length)), header]);
}

/** `<length> <key>=<value>\n`, where the length includes its own digits. */
export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
