import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { endWhenIdle, places } from '../host/index.ts';
import { nodeDisk } from '../store/index.ts';
import { type PodMetadata, readMetadata } from './document.ts';
import { metadataServer } from './metadata-server.ts';
import { serviceKey } from './token.ts';

/** systemd passes the socket as the first descriptor after the standard ones (sd_listen_fds(3)). */
const socket = 3;
const idleMs = 30_000;
const maxManifestBytes = 1 << 20;

/**
 * The metadata service: `unit-programs.cjs metadata DIRECTORY`. It answers on the socket that
 * systemd opened, from the documents in the directory, and ends after `idleMs` without a
 * connection: systemd keeps the socket and starts it again.
 */
export async function metadataUnit(directory: string): Promise<void> {
  const disk = nodeDisk();
  const file = await readFile(`${process.env['CREDENTIALS_DIRECTORY'] ?? ''}/key`).catch(() => undefined);
  const key = serviceKey(file);
  const server = metadataServer({
    key,
    pod: (uuid) => Promise.resolve(readDocument(`${directory}/${uuid}.json`)),
    imageManifest: (object) => disk.read(`${places.run}/images/${object}/manifest`, maxManifestBytes),
  });
  endWhenIdle(server, idleMs);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('close', resolve);
    server.listen({ fd: socket });
  });
}

/** Synchronous: to read a small file in a thread takes a third of the time of a request. */
function readDocument(path: string): PodMetadata | undefined {
  try {
    return readMetadata(readFileSync(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
