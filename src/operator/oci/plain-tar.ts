import {
  type ArchiveLimits,
  quoted,
  paxRecords,
  BLOCK,
  checksum,
  decodeBlock,
  isExtension,
  type TarBlock,
  padding,
  encodeBlock,
  paxRecord,
} from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { ByteReader } from './byte-reader.ts';
import { expanded, mapBehindHeader, sparseMap, type SparseMap } from './sparse-file.ts';
import { tooLarge } from './uncompressed.ts';

const deviceFlags = ['3', '4'];

export interface PlainTarOptions {
  readonly limits: ArchiveLimits;
  /** Called for each device node that was left out. */
  readonly onDevice: (name: string) => void;
}

/**
 * The same tar in the form that the reader of images accepts. Tools that unpack images also accept
 * what that reader refuses: sparse files are expanded, headers of the old form without a mark get
 * one, and device nodes are left out, because the runtime makes an app's /dev. All other bytes pass
 * unchanged, so the reader judges them, including damaged ones.
 */
export async function* plainTar(
  tar: AsyncIterable<Uint8Array>,
  options: PlainTarOptions,
): AsyncGenerator<Buffer, void> {
  const reader = new ByteReader(tar);
  try {
    while (yield* nextEntry(reader, options));
    yield* reader.pass(Infinity);
  } finally {
    await reader.close();
  }
}

/**
 * Returns false when the rest must be passed on unchanged: at the end marker, and where the reader
 * will refuse.
 */
async function* nextEntry(
  reader: ByteReader,
  { limits, onDevice }: PlainTarOptions,
): AsyncGenerator<Buffer, boolean> {
  /** Extension headers with their bodies, unchanged. */
  const held: Buffer[] = [];
  let records: readonly Record[] = [];
  for (;;) {
    const block = withMark(await reader.read(BLOCK));
    const header = decoded(block, held.length > 0);
    if (header === undefined) {
      yield* [...held, block];
      return false;
    }
    const { flag, sizeBytes } = header;
    if (isExtension(flag)) {
      if (sizeBytes > limits.maxPaxBytes) {
        yield* [...held, block];
        return false;
      }
      const body = await reader.read(sizeBytes + padding(sizeBytes));
      held.push(block, body);
      if (flag === 'x') records = recordsOf(body.subarray(0, sizeBytes));
      continue;
    }
    if (deviceFlags.includes(flag)) {
      const name = textOf(records, 'path') ?? header.name;
      if (flag === '3' && isOverlayWhiteout(block)) throw overlayWhiteout(name);
      onDevice(name);
      return true;
    }
    const stored = Number(textOf(records, 'size') ?? sizeBytes);
    if (!Number.isSafeInteger(stored)) {
      yield* [...held, block];
      return false;
    }
    const map =
      flag === 'S' ? await mapBehindHeader(reader, block) : await sparseMap(records, stored, reader);
    if (map === undefined) {
      yield* [...held, block];
      yield* reader.pass(stored + padding(stored));
      return true;
    }
    if (map.sizeBytes > limits.maxTarBytes) throw tooLarge(limits.maxTarBytes);
    yield* flag === 'S' ? held : [];
    yield* sparseHeaders(flag === 'S' ? [] : records, block, header, map);
    yield* expanded(reader, map, `the sparse file ${quoted(map.name ?? header.name)}`);
    await reader.read(padding(map.storedBytes));
    return true;
  }
}

type Record = { readonly key: string; readonly value: Buffer };

/** Empty for what the reader of archives will refuse. */
function recordsOf(body: Buffer): readonly Record[] {
  try {
    return [...paxRecords(body)];
  } catch {
    return [];
  }
}

function textOf(records: readonly Record[], wanted: string): string | undefined {
  return records.find(({ key }) => key === wanted)?.value.toString();
}

/** @param isExtended whether an extension may replace the names, which then need not be UTF-8 */
function decoded(block: Buffer, isExtended: boolean): TarBlock | undefined {
  if (block.length < BLOCK) return undefined;
  try {
    return decodeBlock(block, 0, { name: isExtended, linkname: isExtended });
  } catch {
    return undefined;
  }
}

/** The headers of the regular file that a sparse file expands to. */
function sparseHeaders(
  records: readonly Record[],
  block: Buffer,
  header: TarBlock,
  map: SparseMap,
): Buffer[] {
  const kept = records.filter(
    ({ key }) =>
      !key.startsWith('GNU.sparse.') && key !== 'size' && !(key === 'path' && map.name !== undefined),
  );
  const pax = Buffer.concat([
    ...kept.map(({ key, value }) => paxRecord(key, value)),
    ...(map.name === undefined ? [] : [paxRecord('path', Buffer.from(map.name))]),
    paxRecord('size', Buffer.from(String(map.sizeBytes))),
  ]);
  const extension = encodeBlock({
    ...{ flag: 'x', name: 'PaxHeader', linkname: '', mode: 0o644, uid: 0, gid: 0, mtime: 0 },
    sizeBytes: pax.length,
  });
  const regular = Buffer.from(block);
  regular.write('0', 156, 'latin1');
  // Behind the name of the group: where the old form of GNU keeps its map, and ustar the beginning
  // of the name.
  if (header.flag === 'S') regular.fill(0, 345);
  return [extension, pax, Buffer.alloc(padding(pax.length)), withChecksum(regular)];
}

/**
 * Adds the mark to headers older than ustar (Unix version 7), which have a checksum and no mark; a
 * directory is an entry whose name ends with a slash. GNU tar writes numbers of devices into them,
 * which are not part of that form. They are zero where ustar has its prefix.
 */
function withMark(block: Buffer): Buffer {
  const isZero = (from: number, to: number) => block.subarray(from, to).every((byte) => byte === 0);
  const isOld = block.length === BLOCK && block[0] !== 0 && isZero(257, 329) && isZero(345, BLOCK);
  if (!isOld || !/^[\0 0-7]{8}$/.test(block.toString('latin1', 148, 156))) return block;
  if (parseInt(block.toString('latin1', 148, 156).trim(), 8) !== checksum(block)) return block;
  const marked = Buffer.from(block);
  marked.write('ustar\x0000', 257, 'latin1');
  return withChecksum(marked);
}

function withChecksum(block: Buffer): Buffer {
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** A device 0:0 hides a file of an overlay's lower layer: without it, the file would reappear. */
function isOverlayWhiteout(block: Buffer): boolean {
  return /^[0 \0]{16}$/.test(block.toString('latin1', 329, 345));
}

function overlayWhiteout(name: string): Refusal {
  return new Refusal(
    'archive-entry-unsupported',
    `the entry ${quoted(name)} is a device 0:0, by which overlayfs hides a file; a layer has an empty file with the prefix .wh. for that`,
  );
}
