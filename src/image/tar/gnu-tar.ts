import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * The names of `directory` as a tar of GNU tar's. It tells of extended attributes, which Node
 * cannot read. No names of users: an image has numbers.
 */
const options = [
  ...['--create', '--format=posix', '--xattrs', '--xattrs-include=*', '--numeric-owner'],
  // Without these, times that nobody keeps would give every entry a header more.
  '--pax-option=delete=atime,delete=ctime',
  // 64 KiB a write.
  '--blocking-factor=128',
  '--warning=no-file-ignored',
];

const maxSaidBytes = 1000;

/**
 * Has GNU tar read what lies in a directory; what it cannot read is an error.
 *
 * @param names in `directory`
 * @param refuse makes an error of what tar said
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
  ended.catch(() => undefined); // told where it is awaited
  let result: T;
  try {
    result = await read(tar.stdout);
  } catch (error) {
    // Of a tar that ended by itself the reader cannot know why it is cut off.
    if (!tar.stdout.readableEnded) tar.kill('SIGKILL');
    const [status] = await ended;
    if (status !== null && status !== 0) throw refuse(said.trim());
    throw error;
  }
  const [status] = await ended;
  if (status !== 0) throw refuse(said.trim());
  return result;
}
