import { createHash } from 'node:crypto';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { runTool } from './tool.ts';

/** One entry of the package. `path` is its place on the device, without a leading slash. */
export type PackageEntry =
  | {
      readonly type: 'file';
      readonly path: string;
      readonly mode: 0o644 | 0o755;
      readonly content: Uint8Array | string;
    }
  | { readonly type: 'link'; readonly path: string; readonly target: string }
  | { readonly type: 'directory'; readonly path: string; readonly mode: number };

export interface DebianPackage {
  /** Fields of the control file in order; Installed-Size is added. */
  readonly control: Readonly<Record<string, string>>;
  /** Maintainer scripts by name. */
  readonly scripts: Readonly<Record<string, string>>;
  readonly entries: readonly PackageEntry[];
}

/**
 * Writes a .deb with dpkg-deb. The same package and time give the same bytes: names are sorted,
 * owners are root, modes do not depend on the umask, times are clamped, and the compressor runs in
 * one thread.
 *
 * @param workDirectory an empty directory for the tree
 * @param epochSeconds time of every file, seconds since 1970 (SOURCE_DATE_EPOCH)
 */
export async function writeDeb(
  contents: DebianPackage,
  file: string,
  workDirectory: string,
  epochSeconds: number,
): Promise<void> {
  const tree = path.join(workDirectory, 'tree');
  await makeDirectory(tree);
  for (const entry of contents.entries) await place(tree, entry);
  const control = [
    ...Object.entries(contents.control),
    ['Installed-Size', String(installedKiB(contents.entries))],
  ];
  const metadata: PackageEntry[] = [
    {
      type: 'file',
      path: 'DEBIAN/control',
      mode: 0o644,
      content: control.map(([name, value]) => `${name}: ${value}\n`).join(''),
    },
    { type: 'file', path: 'DEBIAN/md5sums', mode: 0o644, content: md5sums(contents.entries) },
    ...Object.entries(contents.scripts).map(([name, content]): PackageEntry => ({
      type: 'file',
      path: `DEBIAN/${name}`,
      mode: 0o755,
      content,
    })),
  ];
  for (const entry of metadata) await place(tree, entry);
  await runTool(
    'dpkg',
    'dpkg-deb',
    ['--root-owner-group', '-Zxz', '-z9', '--threads-max=1', '--build', tree, file],
    { env: { SOURCE_DATE_EPOCH: String(epochSeconds) } },
  );
}

async function place(tree: string, entry: PackageEntry): Promise<void> {
  const where = path.join(tree, entry.path);
  const parents = path.dirname(entry.path).split('/');
  for (let depth = 1; depth <= parents.length; depth++) {
    await makeDirectory(path.join(tree, ...parents.slice(0, depth)));
  }
  switch (entry.type) {
    case 'file':
      await writeFile(where, entry.content);
      await chmod(where, entry.mode);
      return;
    case 'link':
      await symlink(entry.target, where);
      return;
    case 'directory':
      await makeDirectory(where, entry.mode);
      return;
  }
}

async function makeDirectory(where: string, mode = 0o755): Promise<void> {
  // The first call creates the directory with 0755; its own entry may change the mode later.
  const made = await mkdir(where, { recursive: true });
  if (made !== undefined || mode !== 0o755) await chmod(where, mode);
}

/** Counts like dpkg-gencontrol: each file rounded up to KiB, everything else as one KiB. */
function installedKiB(entries: readonly PackageEntry[]): number {
  const sizes = entries.map((entry) =>
    entry.type === 'file' ? Math.ceil(Buffer.byteLength(entry.content) / 1024) : 1,
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function md5sums(entries: readonly PackageEntry[]): string {
  return entries
    .filter((entry) => entry.type === 'file')
    .map((entry) => `${createHash('md5').update(entry.content).digest('hex')}  ${entry.path}\n`)
    .sort()
    .join('');
}
