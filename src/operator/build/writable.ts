import { createReadStream } from 'node:fs';

import type { AccountFacts, ImageId } from '../../image/appc/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { AccountCollector, ArchiveTree, readArchive, checkEntry } from '../../image/aci/index.ts';
import {
  type ArchiveLimits,
  quoted,
  BLOCK,
  padding,
  TarFraming,
  encodeHeaders,
  type TarEntry,
} from '../../image/tar/index.ts';

/**
 * Checks the rules of the reader before anything is written: the headers of each entry are encoded
 * and read by the code that reads archives on a device. Only the bodies are left out.
 *
 * @param output named in the refusal
 * @throws Refusal `archive-…` for an archive that a device would refuse
 */
export function checkWritable(entries: Iterable<TarEntry>, output: string, limits: ArchiveLimits): void {
  const tree = new ArchiveTree(limits);
  let sizeBytes = 2 * BLOCK;
  try {
    for (const entry of entries) {
      const headers = encodeHeaders(entry);
      const framing = new TarFraming(limits);
      framing.push(headers);
      const [framed] = framing.take();
      if (framed === undefined || Buffer.isBuffer(framed)) throw new Error('headers make an entry');
      checkEntry(framed, tree, limits);
      sizeBytes += headers.length + entry.sizeBytes + padding(entry.sizeBytes);
      if (sizeBytes > limits.maxTarBytes) {
        throw new Refusal(
          'archive-too-large',
          `the archive has more than ${limits.maxTarBytes} bytes with the entry ${quoted(entry.path)}`,
        );
      }
    }
  } catch (error) {
    throw refusedByDevices(error, output);
  }
}

/**
 * Reads the written archive as a device will, and returns what it contains about accounts.
 *
 * @param output named in the refusal
 * @param imageId of the archive that was to be written
 * @throws Refusal as `readArchive`; `image-build-failed` when the file is not what was written
 */
export async function readBack(
  path: string,
  output: string,
  imageId: ImageId,
  limits: ArchiveLimits,
): Promise<AccountFacts> {
  const accounts = new AccountCollector();
  let read: ImageId;
  try {
    ({ imageId: read } = await readArchive(createReadStream(path), {
      limits,
      onEntry: (entry, body) => accounts.take(entry, body),
    }));
  } catch (error) {
    throw refusedByDevices(error, output);
  }
  if (read === imageId) return accounts;
  throw new Refusal('image-build-failed', `the file ${quoted(output)} was read back as another image`);
}

function refusedByDevices(error: unknown, output: string): unknown {
  if (!isRefusal(error)) return error;
  return new Refusal(
    error.code,
    `${output} is not written, because devices would refuse it: ${error.message}`,
    {
      cause: error,
    },
  );
}
