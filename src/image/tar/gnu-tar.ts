import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Options of GNU tar for a tar with extended attributes, which Node cannot read. Without names of
 * users: an image has numbers.
 */
const options = [
  ...['--create', '--format=posix', '--xattrs', '--xattrs-include=*', '--numeric-owner'],
  // Otherwise unused times would add a header to every entry.
  '--pax-option=delete=atime,delete=ctime',
  // 64 KiB per write.
  '--blocking-factor=128',
  '--warning=no-file-ignored',
];

const maxSaidBytes = 1000;

/**
 * Reads a directory with GNU tar; a file that it cannot read is an error.
 *
 * @param names in `directory`
 * @param refuse makes an error from tar's message
 */
export async function withTarOf<T>(
  directory: string,
  names: readonly string[],
  read: (tar: AsyncIterable<Buffer>) => Promise<T>,
  refuse: (said: string) => Error,
): Promise<T> {
  const tar = spawn('tar', [...options, '-C', directory, ...names], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  let said = '';
  tar.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(0, maxSaidBytes)));
  const ended = once(tar, 'close') as Promise<[number | null]>;
  ended.catch(() => undefined); // reported where it is awaited
  let result: T;
  try {
    result = await read(tar.stdout);
  } catch (error) {
    // If tar ended by itself, its message explains why the stream is cut off.
    if (!tar.stdout.readableEnded) tar.kill('SIGKILL');
    const [status] = await ended;
    if (status !== null && status !== 0) throw refuse(said.trim());
    throw error;
  }
  const [status] = await ended;
  if (status !== 0) throw refuse(said.trim());
  return result;
}
