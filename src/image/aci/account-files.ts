import type { AccountFacts } from '../appc/index.ts';
import type { ArchiveEntry } from './walk-archive.ts';

/** Devices ignore longer account files (device/world/accounts.ts). */
const maxBytes = 256 << 10;

const files = { 'rootfs/etc/passwd': 'passwd', 'rootfs/etc/group': 'group' } as const;

/**
 * Collects from the entries of an archive what decides the user and group of its app. Given the
 * archives of several images, the lowest first, it collects for the images together.
 */
export class AccountCollector implements AccountFacts {
  passwd = '';
  group = '';
  readonly owners = new Map<string, { readonly uid: number; readonly gid: number }>();

  async take({ path, type, uid, gid, sizeBytes }: ArchiveEntry, body: AsyncIterable<Buffer>): Promise<void> {
    if (!path.startsWith('rootfs/')) return;
    if (type !== 'directory') this.owners.set(path.slice('rootfs'.length), { uid, gid });
    if (!isAccountFile(path)) return;
    this[files[path]] = type === 'file' && sizeBytes <= maxBytes ? await textOf(body) : '';
  }
}

function isAccountFile(path: string): path is keyof typeof files {
  return Object.hasOwn(files, path);
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString('utf8');
}
