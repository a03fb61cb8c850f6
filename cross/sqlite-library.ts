import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { BuildFailure } from './build-failure.ts';
import { cached, contentKey } from './cache.ts';
import type { Target } from './targets.ts';
import { runTool } from './tool.ts';

/** The native library of libsql, the driver for SQLite. */
export interface SqliteLibrary {
  /** The npm package that it comes from, by whose name the driver loads it. */
  readonly npmPackage: string;
  readonly bytes: Uint8Array;
}

/**
 * The library for `target`. `npm ci` installs only that of this machine, so each is downloaded
 * once, and must have the digest in package-lock.json.
 *
 * @throws BuildFailure when npm cannot download it, or downloads other bytes
 */
export async function sqliteLibrary(root: string, cache: string, target: Target): Promise<SqliteLibrary> {
  const npmPackage = `@libsql/linux-${target.nodeArch}-${target.triplet.split('-').at(-1) ?? ''}`;
  const lock = JSON.parse(await readFile(path.join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string }>>;
  };
  const locked = lock.packages[`node_modules/${npmPackage}`];
  if (locked === undefined) throw new BuildFailure(`package-lock.json does not have ${npmPackage}.`);
  const { version, integrity } = locked;
  const library = 'package/index.node';
  const directory = await cached(
    `sqlite-${target.arch}`,
    contentKey(['sqlite 1', npmPackage, integrity]),
    async (into) => {
      const download = path.join(into, 'download');
      await mkdir(download);
      // One retry: a machine without a network should not wait for a minute.
      const retries = ['--prefer-offline', '--fetch-retries=1', '--fetch-retry-mintimeout=1000'];
      await runTool(
        'npm',
        'npm',
        [
          'pack',
          `${npmPackage}@${version}`,
          `--pack-destination=${download}`,
          '--silent',
          '--json',
          ...retries,
        ],
        { cwd: root },
      ).catch((cause: unknown) => {
        const [, code = 'its log has the reason'] = /"code": "(\w+)"/.exec(String(cause)) ?? [];
        throw new BuildFailure(
          `npm cannot download ${npmPackage} ${version}, the SQLite of wherry-operator for ${target.arch} (${code}); build where npm reaches its registry, or only other architectures.`,
          { cause },
        );
      });
      const archive = path.join(download, (await readdir(download))[0] ?? '');
      const digest = createHash('sha512')
        .update(await readFile(archive))
        .digest('base64');
      if (`sha512-${digest}` !== integrity) {
        throw new BuildFailure(
          `npm downloaded ${npmPackage} ${version} with other bytes than package-lock.json requires; check the registry that npm uses.`,
        );
      }
      await runTool('tar', 'tar', ['-xzf', archive, '-C', into, library]);
    },
    cache,
  );
  return { npmPackage, bytes: await readFile(path.join(directory, library)) };
}
