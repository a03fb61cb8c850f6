import { extract, type Header } from 'tar-stream';
import { defaultArchiveLimits } from '../../src/image/tar/index.ts';
import { type FramedEntry, TarFraming } from '../../src/image/tar/tar-framing.ts';

const block = 512;

/**
 * Checks why the walk may skip the second reading of plain headers (docs/decisions/tar-walk.md): if
 * `TarFraming` finds a header plain, `tar-stream` reads the same entry from it. The checksum is
 * corrected first, because both readings refuse a header with a wrong one.
 *
 * @throws Error when the two readings differ
 */
export async function readPlainHeaderTwice(bytes: Buffer): Promise<void> {
  const header = Buffer.alloc(block);
  bytes.copy(header);
  header.write(`${sumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const framing = new TarFraming({ ...defaultArchiveLimits, maxTarBytes: 2 ** 40 });
  framing.push(header);
  const [entry] = framing.take() as FramedEntry[];
  if (entry?.isPlain !== true) return;
  const read = await libraryReading(header);
  const same =
    read.name === entry.name &&
    read.size === entry.sizeBytes &&
    read.type === entry.type &&
    // null without a target, although the type declares a string
    ((read.linkname as string | null) ?? '') === entry.linkname;
  if (!same) throw new Error(`${JSON.stringify(entry)} is read as ${JSON.stringify(read)}`);
}

function sumOf(header: Buffer): number {
  return header.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

async function libraryReading(header: Buffer): Promise<Header> {
  const library = extract();
  return await new Promise<Header>((resolve, reject) => {
    library.on('entry', (read, body) => {
      body.on('error', () => undefined);
      resolve(read);
      library.destroy();
    });
    library.on('error', reject);
    library.write(header);
  });
}
