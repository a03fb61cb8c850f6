import { createGunzip, type Gunzip } from 'node:zlib';

import { Refusal } from '../../core/refusal/index.ts';
import { drained, malformed } from '../tar/index.ts';

/**
 * How an archive may be compressed: aci.md names gzip, bzip2 and xz; zstd is an extension of
 * wherry.
 */
export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

/**
 * Bytes of output at a time: large enough that per-chunk work is negligible, small enough for a
 * device.
 */
const CHUNK = 512 * 1024;

/** The high-water mark lets zlib, which works in its own thread, be a chunk ahead. */
const gunzipOptions = { chunkSize: CHUNK, highWaterMark: 2 * CHUNK };

/** Bytes needed to distinguish compressions: a plain tar has its mark at 257. */
const HEAD = 263;

/**
 * By their first bytes, since neither file name nor content type can be relied on (aci.md; magics
 * as in aci/file.go).
 */
const magics: readonly { readonly name: Compression; readonly at: number; readonly bytes: Buffer }[] = [
  { name: 'gzip', at: 0, bytes: Buffer.from([0x1f, 0x8b]) },
  { name: 'bzip2', at: 0, bytes: Buffer.from('BZh', 'latin1') },
  { name: 'xz', at: 0, bytes: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) },
  { name: 'zstd', at: 0, bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
  { name: 'none', at: 257, bytes: Buffer.from('ustar', 'latin1') },
];

/** The compression of an archive, and its tar. */
export interface Decompressed {
  readonly compression: Compression;
  /** The uncompressed tar. Must be iterated to its end or returned from; either ends `source`. */
  readonly tar: AsyncIterable<Buffer>;
}

/**
 * Detects the compression of an archive and decompresses it, streaming. Gzip may have several
 * members (RFC 1952 §2.2), but nothing that is not a member may follow the last one.
 * @param memoryMiB - of the program that decompresses xz or zstd
 * @param onInput - called with the size of each piece of input before it is used, for the ratio
 */
export async function decompress(
  source: AsyncIterable<Uint8Array>,
  memoryMiB: number,
  onInput: (sizeBytes: number) => void,
): Promise<Decompressed> {
  const input = source[Symbol.asyncIterator]();
  try {
    const head = await readHead(input, HEAD);
    const compression = compressionOf(head);
    if (compression === undefined) throw unknownArchive(head);
    return { compression, tar: await undone(compression, replay(head, input, onInput), memoryMiB) };
  } catch (error) {
    await input.return?.();
    throw error;
  }
}

/** By the first `HEAD` bytes, or all when there are fewer. */
export function compressionOf(head: Buffer): Compression | undefined {
  return magics.find(({ at, bytes }) => head.subarray(at, at + bytes.length).equals(bytes))?.name;
}

/**
 * The decompressed bytes.
 * @throws Refusal as `decompressByTool`, while it is iterated
 */
export async function undone(
  compression: Compression,
  bytes: AsyncIterable<Buffer>,
  memoryMiB: number,
): Promise<AsyncIterable<Buffer>> {
  if (compression === 'none') return bytes;
  if (compression === 'gzip') return once(compression, gunzip(bytes));
  // Loaded only when it is needed: most archives are gzip.
  const { decompressByTool } = await import('./decompress-tool.ts');
  return once(compression, decompressByTool(compression, bytes, memoryMiB));
}

/** No name of a tar's first entry begins so: the first bytes of gzip, bzip2, xz and zstd. */
const compressedAgain = /^(?:\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd)/;

/**
 * Passes a tar on. Refuses a second compression by its name; otherwise the archive would look cut
 * off.
 */
async function* once(outer: Compression, tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let isFirst = true;
  for await (const chunk of tar) {
    if (isFirst && compressedAgain.test(chunk.toString('latin1', 0, 10))) {
      throw new Refusal(
        'archive-compression-unsupported',
        `it is compressed twice: there is ${compressionOf(chunk) ?? ''} within the ${outer}; compress the tar once`,
      );
    }
    isFirst = false;
    yield chunk;
  }
}

/**
 * The refusal of bytes that are not an archive: aci.md allows encryption with PGP, which has its
 * own message.
 */
function unknownArchive(head: Buffer): Refusal {
  const text = head.toString('latin1');
  // A message for a passphrase or a key begins with its session key: RFC 4880 §4.2, tags 3 and 1 in
  // either format, version 4 or 3.
  if (/^(?:-----BEGIN PGP MESSAGE-----|[\x8c\xc3][^]\x04|(?:[\x84\xc1][^]|\x85[^]{2})\x03)/.test(text)) {
    return new Refusal(
      'archive-compression-unsupported',
      'the archive is encrypted with OpenPGP, which is not supported: publish it signed and not encrypted',
    );
  }
  return malformed('the archive is neither a tar nor compressed in a known way');
}

/** At least `sizeBytes` bytes, or all when there are fewer. */
export async function readHead(input: AsyncIterator<Uint8Array>, sizeBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let length = 0; length < sizeBytes;) {
    const next = await input.next();
    if (next.done) break;
    parts.push(next.value);
    length += next.value.length;
  }
  const [first] = parts;
  return parts.length === 1 && first ? asBuffer(first) : Buffer.concat(parts);
}

/** The whole input again. */
export async function* replay(
  head: Buffer,
  input: AsyncIterator<Uint8Array>,
  onInput: (sizeBytes: number) => void = () => undefined,
): AsyncGenerator<Buffer, void> {
  try {
    for (let chunk = head; ;) {
      onInput(chunk.length);
      yield chunk;
      const next = await input.next();
      if (next.done) return;
      chunk = asBuffer(next.value);
    }
  } finally {
    await input.return?.();
  }
}

async function* gunzip(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const gzip = createGunzip(gunzipOptions);
  // Errors of the source pass unchanged; those of zlib mean a damaged archive.
  let sourceError: { error: unknown } | undefined;
  const feeding = feed(input, gzip).catch((error: unknown) => {
    sourceError = { error };
    gzip.destroy();
    return 0;
  });
  try {
    for await (const chunk of gzip) yield chunk as Buffer;
    if ((await feeding) !== gzip.bytesWritten) throw malformed('other data follows the gzip stream');
  } catch (error) {
    if (sourceError) throw sourceError.error;
    if (error instanceof Refusal) throw error;
    throw malformed('the gzip stream is damaged, cut off, or followed by other data', error);
  } finally {
    gzip.destroy();
    await feeding; // so that the source is released when this returns
  }
}

/** Returns the number of bytes handed over. */
async function feed(input: AsyncIterable<Buffer>, gzip: Gunzip): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of input) {
    sizeBytes += chunk.length;
    // After the end of a stream zlib accepts no more input, so there would be no 'drain'.
    if (gzip.destroyed || gzip.readableEnded) return sizeBytes;
    if (!gzip.write(chunk)) await drained(gzip);
  }
  gzip.end();
  return sizeBytes;
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
