import { Refusal } from '../../core/refusal/index.ts';
import { BLOCK, natural } from '../../image/tar/index.ts';
import type { ByteReader } from './byte-reader.ts';

/** The positions of the data of a file with holes (GNU tar manual, "Storing Sparse Files"). */
export interface SparseMap {
  /** The name of the file, if the header has another. */
  readonly name?: string;
  /** Of the file, holes included. */
  readonly sizeBytes: number;
  readonly regions: readonly Region[];
  /** Of the body that follows, without its padding. */
  readonly storedBytes: number;
}

interface Region {
  readonly offset: number;
  readonly sizeBytes: number;
}

type Records = readonly { readonly key: string; readonly value: Buffer }[];

/** The largest map in a body, in bytes. */
const maxMapBytes = 16 * 1024 * 1024;

const zeros = Buffer.alloc(64 * 1024);

/**
 * The map of a sparse file in one of the PAX forms: 0.0 and 0.1 keep it in the header, 1.0 in the
 * body. Undefined for an entry that is not sparse.
 * @param storedBytes of the body
 */
export async function sparseMap(
  records: Records,
  storedBytes: number,
  reader: ByteReader,
): Promise<SparseMap | undefined> {
  const own = records.filter(({ key }) => key.startsWith('GNU.sparse.'));
  if (own.length === 0) return undefined;
  const all = (key: string) =>
    own.filter((record) => record.key === `GNU.sparse.${key}`).map(({ value }) => value.toString());
  const name = all('name')[0];
  const named = name === undefined ? {} : { name };
  const sizeBytes = whole(all('realsize')[0] ?? all('size')[0]);
  if (all('major')[0] === '1') {
    const map = await mapInBody(reader, storedBytes);
    return { ...named, sizeBytes, regions: map.regions, storedBytes: storedBytes - map.sizeBytes };
  }
  const joined = all('map')[0];
  const numbers = joined === undefined ? interleaved(all('offset'), all('numbytes')) : joined.split(',');
  return { ...named, sizeBytes, regions: regionsOf(numbers.filter((text) => text !== '')), storedBytes };
}

function interleaved(offsets: readonly string[], sizes: readonly string[]): string[] {
  if (offsets.length !== sizes.length) throw damaged();
  return offsets.flatMap((offset, index) => [offset, sizes[index] ?? '']);
}

/** Form 1.0: decimal numbers, each in a line, their count first, padded to a block. */
async function mapInBody(
  reader: ByteReader,
  storedBytes: number,
): Promise<{ readonly regions: readonly Region[]; readonly sizeBytes: number }> {
  const lines: string[] = [];
  let rest = '';
  for (let sizeBytes = BLOCK; sizeBytes <= Math.min(storedBytes, maxMapBytes); sizeBytes += BLOCK) {
    const parts = (rest + (await reader.read(BLOCK)).toString('latin1')).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    const count = whole(lines[0]);
    if (lines.length > 2 * count) return { regions: regionsOf(lines.slice(1, 1 + 2 * count)), sizeBytes };
  }
  throw damaged();
}

/** The old form of GNU: four regions in the header, 21 in each block behind it. */
export async function mapBehindHeader(reader: ByteReader, header: Buffer): Promise<SparseMap> {
  const number = (block: Buffer, at: number) => natural(block, at, 12, 0, 'size');
  const regions: Region[] = [];
  const add = (block: Buffer, from: number, count: number) => {
    for (let at = from; at < from + count * 24; at += 24) {
      if (block[at] !== 0) regions.push({ offset: number(block, at), sizeBytes: number(block, at + 12) });
    }
  };
  add(header, 386, 4);
  for (let isExtended = header[482] !== 0; isExtended;) {
    const block = await reader.read(BLOCK);
    if (block.length < BLOCK || regions.length > maxMapBytes / 24) throw damaged();
    add(block, 0, 21);
    isExtended = block[504] !== 0;
  }
  return { sizeBytes: number(header, 483), regions, storedBytes: number(header, 124) };
}

/** The file's whole content, and its padding. @throws Refusal `archive-malformed` */
export async function* expanded(
  reader: ByteReader,
  { sizeBytes, regions, storedBytes }: SparseMap,
  what: string,
): AsyncGenerator<Buffer, void> {
  let at = 0;
  let taken = 0;
  for (const region of regions) {
    if (region.offset < at || region.offset + region.sizeBytes > sizeBytes) throw damaged(what);
    yield* holes(region.offset - at);
    for await (const part of reader.pass(region.sizeBytes)) {
      taken += part.length;
      yield part;
    }
    at = region.offset + region.sizeBytes;
  }
  if (taken !== storedBytes) throw damaged(what);
  yield* holes(sizeBytes - at + ((BLOCK - (sizeBytes % BLOCK)) % BLOCK));
}

function* holes(sizeBytes: number): Generator<Buffer, void> {
  for (let left = sizeBytes; left > 0; left -= zeros.length) yield zeros.subarray(0, left);
}

function regionsOf(numbers: readonly string[]): readonly Region[] {
  if (numbers.length % 2 !== 0) throw damaged();
  const regions: Region[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    regions.push({ offset: whole(numbers[index]), sizeBytes: whole(numbers[index + 1]) });
  }
  return regions;
}

function whole(text: string | undefined): number {
  const number = /^\d{1,16}$/.test(text ?? '') ? Number(text) : NaN;
  if (!Number.isSafeInteger(number)) throw damaged();
  return number;
}

function damaged(what = 'a sparse file'): Refusal {
  return new Refusal('archive-malformed', `${what} has a map of its content that does not fit the content`);
}
