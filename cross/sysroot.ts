import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { BuildFailure } from './build-failure.ts';
import { cached, contentKey } from './cache.ts';
import type { DebianArch, Suite, Target } from './targets.ts';
import { suites } from './targets.ts';
import { runTool } from './tool.ts';

/** A set of Debian packages of one suite and architecture, unpacked side by side. */
interface PackageSet {
  readonly suite: Suite;
  readonly arch: DebianArch;
  readonly packages: readonly string[];
}

/**
 * Downloads packages without their dependencies and unpacks them, running none of their code.
 * mmdebstrap sets up a private apt for the foreign suite and architecture, with the machine's
 * keys, proxies and default mirror; in chrootless mode it needs no privilege. Debian testing lets
 * the validity of its index lapse now and then, so that is not checked; the signatures are.
 */
async function unpacked(cache: string, set: PackageSet): Promise<string> {
  const key = contentKey(['sysroot 1', set.suite, set.arch, ...set.packages]);
  const directory = await cached(
    `sysroot-${set.suite}-${set.arch}`,
    key,
    async (into) => {
      const debs = path.join(into, 'debs');
      const root = path.join(into, 'root');
      await mkdir(debs);
      await mkdir(root);
      await runTool(
        'mmdebstrap',
        'mmdebstrap',
        [
          '--mode=chrootless',
          '--variant=custom',
          '--skip=check/qemu',
          '--format=null',
          `--arch=${set.arch}`,
          '--aptopt=Acquire::Check-Valid-Until "false"',
          // The words come from the tables in this folder; the directory is passed through the
          // environment and always quoted.
          `--customize-hook=cd "$WHERRY_DEBS" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download ${set.packages.join(' ')}`,
          set.suite,
          '/dev/null',
        ],
        { env: { WHERRY_DEBS: debs } },
      );
      for (const deb of (await readdir(debs)).sort()) {
        await runTool('dpkg', 'dpkg-deb', ['-x', path.join(debs, deb), root]);
      }
    },
    cache,
  );
  return path.join(directory, 'root');
}

export interface NodeHeaders {
  /** The module ABI they describe. */
  readonly abi: number;
  /** The include directory; Node's own headers are in `node/` below it. */
  readonly include: string;
}

/**
 * The headers of Node, libuv and libsystemd in one suite. They are taken from arm64 for every
 * target, since the installed headers are the same on all architectures (only config.gypi differs,
 * which a compiler does not read).
 */
export async function nodeHeaders(cache: string, suite: Suite): Promise<NodeHeaders> {
  const root = await unpacked(cache, {
    suite,
    arch: 'arm64',
    packages: ['libnode-dev', 'libuv1-dev', 'libsystemd-dev'],
  });
  const include = path.join(root, 'usr/include');
  const version = await readFile(path.join(include, 'node/node_version.h'), 'utf8');
  const abi = /^# *define NODE_MODULE_VERSION (\d+)$/m.exec(version)?.[1];
  if (abi === undefined)
    throw new BuildFailure(`The Node headers of ${suite} do not contain their module ABI.`);
  return { abi: Number(abi), include };
}

/**
 * libsystemd of the target, to link against. An addon uses only its soname and symbol versions,
 * which are the same in all suites. So if the download from one suite fails, the next one is used.
 */
export async function libsystemd(cache: string, target: Target): Promise<string> {
  const failures: string[] = [];
  for (const suite of suites) {
    try {
      const root = await unpacked(cache, { suite, arch: target.arch, packages: ['libsystemd0'] });
      return path.join(root, 'usr/lib', target.triplet, 'libsystemd.so.0');
    } catch (error) {
      if (!(error instanceof BuildFailure)) throw error;
      failures.push(`${suite}: ${error.message}`);
    }
  }
  throw new BuildFailure(`libsystemd0 for ${target.arch} could not be downloaded:\n${failures.join('\n')}`);
}
