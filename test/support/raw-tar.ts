/**
 * Tars written byte by byte, also those that no tool would write. Independent of
 * src/image.
 */

export interface RawEntry {
  readonly name: string | Buffer;
  readonly type?: string;
  readonly body?: string | Buffer;
  readonly linkname?: string;
  /** Bytes put over the finished header before the checksum is taken: [offset, bytes]. */
  readonly patch?: readonly (readonly [number, string | Buffer])[];
  readonly mode?: number;
  readonly uid?: number;
  readonly mtime?: number;
  /** The size in the header, if not the body's length. */
  readonly size?: number;
}

/** A tar with an end marker. */
export function tar(...entries: readonly RawEntry[]): Buffer {
  return Buffer.concat([...entries.map(raw), Buffer.alloc(1024)]);
}

export function raw(entry: RawEntry): Buffer {
  const body = Buffer.from(entry.body ?? '');
  return Buffer.concat([header(entry, body.length), body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

function header(entry: RawEntry, bodyLength: number): Buffer {
  const block = Buffer.alloc(512);
  Buffer.from(entry.name).copy(block, 0, 0, 100);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0') + '\0';
  block.write(octal(entry.mode ?? 0o644, 7), 100);
  block.write(octal(entry.uid ?? 0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(entry.size ?? bodyLength, 11), 124);
  block.write(octal(entry.mtime ?? 1_700_000_000, 11), 136);
  block.write(entry.type ?? '0', 156, 'latin1');
  block.write(entry.linkname ?? '', 157, 100);
  block.write('ustar\x0000', 257, 'latin1');
  for (const [offset, bytes] of entry.patch ?? []) Buffer.from(bytes).copy(block, offset);
  if (!(entry.patch ?? []).some(([offset]) => offset === 148)) {
    let sum = 8 * 32;
    for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
    block.write(sum.toString(8).padStart(6, '0') + '\0 ', 148, 'latin1');
  }
  return block;
}

/** An entry with the numbers of a device, which `TarWriter` writes and many tools omit. */
export function plain(entry: RawEntry): RawEntry {
  return { ...entry, patch: [[329, '0000000\0'], [337, '0000000\0'], ...(entry.patch ?? [])] };
}

/** A PAX extended header with these records. */
export function pax(records: Readonly<Record<string, string | Buffer>>, type = 'x'): RawEntry {
  return {
    name: 'PaxHeaders/1',
    type,
    body: Buffer.concat(Object.entries(records).map(([k, v]) => record(k, v))),
  };
}

export function record(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  let digits = 1;
  while (String(rest.length + digits).length !== digits) digits++;
  return Buffer.concat([Buffer.from(String(rest.length + digits)), rest]);
}

/** A minimal image manifest. */
export const manifestText = JSON.stringify({
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/app',
});

export const manifest: RawEntry = { name: 'manifest', body: manifestText };
export const rootfs: RawEntry = { name: 'rootfs/', type: '5', mode: 0o755 };

export function file(name: string, body = 'x'): RawEntry {
  return { name, body };
}

export function directory(name: string): RawEntry {
  return { name, type: '5', mode: 0o755 };
}

/**
 * `bytes` in pieces of `size`, which counts the requested pieces and records whether the reader
 * stopped.
 */
export function source(
  bytes: Buffer,
  size = 4096,
): AsyncIterable<Uint8Array> & { given: number; ended: boolean } {
  const state = {
    given: 0,
    ended: false,
    async *[Symbol.asyncIterator]() {
      try {
        for (let at = 0; at < bytes.length; at += size) {
          const piece = bytes.subarray(at, at + size);
          state.given += piece.length;
          yield await Promise.resolve(piece);
        }
      } finally {
        state.ended = true;
      }
    },
  };
  return state;
}
