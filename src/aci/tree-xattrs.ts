import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Refusal } from '../refusal/index.ts';
import { defaultArchiveLimits, quoted } from './limits.ts';
import type { Xattr } from './pax.ts';
import { walkTar } from './walk-archive.ts';

/**
 * Extended attributes of the files below a directory, by path in the app's root: those that an archive keeps. Node cannot read
 * them, so GNU tar does; its output is read and thrown away.
 *
 * @throws Refusal `input-invalid` when the directory cannot be read
 */
export async function readXattrs(root: string): Promise<ReadonlyMap<string, readonly Xattr[]>> {
  const args = ['--create', '--format=posix', '--xattrs', '--xattrs-include=*', '--warning=no-file-ignored'];
  const tar = spawn('tar', [...args, '-C', root, '.'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  tar.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(0, 1000)));
  const ended = once(tar, 'close') as Promise<[number | null]>;
  const found = new Map<string, readonly Xattr[]>();
  try {
    await walkTar(tar.stdout, defaultArchiveLimits, {
      onTar: () => undefined,
      visit: ({ name, xattrs }) => {
        const path = name.split('/').filter((part) => part !== '' && part !== '.');
        if (xattrs.length > 0) found.set(`/${path.join('/')}`, xattrs);
        return Promise.resolve();
      },
    });
  } catch (error) {
    tar.kill('SIGKILL');
    await ended.catch(() => undefined);
    throw error;
  }
  const [status] = await ended;
  if (status !== 0) throw new Refusal('input-invalid', `tar cannot read ${quoted(root)}: ${said.trim()}`);
  return found;
}
