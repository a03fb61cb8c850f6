import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { buildAddons } from './addon.ts';
import { BuildFailure } from './build-failure.ts';
import { buildTime } from './build-time.ts';
import type { StaticClosure } from './bundle.ts';
import { bundle, bundledPackages, entryPoints, staticClosure } from './bundle.ts';
import { cached, cacheRoot, contentKey } from './cache.ts';
import type { DebianPackage } from './deb.ts';
import { writeDeb } from './deb.ts';
import { bundleUnits, unitBundle } from './unit-bundle.ts';
import { copyrightFile } from './licences.ts';
import { packageParts } from './package-parts.ts';
import { operatorTree, packageTree } from './package-tree.ts';
import { sqliteLibrary } from './sqlite-library.ts';
import type { DebianArch } from './targets.ts';
import { targets } from './targets.ts';
import { runTool } from './tool.ts';

export interface PackageOptions {
  /** Absolute path of the project's root. */
  readonly root: string;
  /** Of the packages for devices. */
  readonly archs: readonly DebianArch[];
  /** Of the packages for operators, which need a download each; by default none. */
  readonly operatorArchs?: readonly DebianArch[];
  /** Where results are kept between runs; by default below the user's cache directory. */
  readonly cache?: string;
  /** Receives progress, one line at a time. */
  readonly progress?: (line: string) => void;
}

export interface BuiltPackage {
  readonly arch: DebianArch;
  readonly version: string;
  /** Path of the .deb in the cache, named as Debian names packages. */
  readonly file: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface BuiltPackages {
  /** Of devices. */
  readonly packages: readonly BuiltPackage[];
  /** Of operators. */
  readonly operators: readonly BuiltPackage[];
  /** The code that each program loads at its start, by its name. */
  readonly closures: Readonly<Record<string, StaticClosure>>;
}

/** A package as a value, before it is written. */
interface UnwrittenPackage {
  readonly arch: DebianArch;
  readonly package: DebianPackage;
}

interface PackageContents {
  readonly version: string;
  readonly contents: readonly UnwrittenPackage[];
  readonly operators: readonly UnwrittenPackage[];
  readonly closures: BuiltPackages['closures'];
}

/**
 * The contents of the packages of several architectures, from one bundle. Addons and downloads come
 * from the cache.
 *
 * @throws BuildFailure with a sentence that names what is missing or wrong
 */
export async function packageContents(options: PackageOptions): Promise<PackageContents> {
  const { root } = options;
  const cache = options.cache ?? cacheRoot();
  const progress = options.progress ?? (() => undefined);
  const nodeModules = path.join(root, 'node_modules');
  const version = await versionOf(root);

  progress('bundling the programs');
  const programs = await bundle({ root, nodeModules, entries: entryPoints, version });
  const units = await bundleUnits({ root, nodeModules, version });
  const closures = Object.fromEntries(
    Object.keys(entryPoints).map((entry) => [entry, staticClosure(programs.metafile, entry)]),
  );
  const parts = packageParts(programs, Object.keys(entryPoints));
  const copyright = await copyrightFile(nodeModules, [
    ...new Set([...parts.device.npmPackages, ...bundledPackages(units.metafile), ...nativePackages]),
  ]);
  const contents: UnwrittenPackage[] = [];
  for (const arch of options.archs) {
    const target = targets[arch];
    progress(`${arch}: compiling the addons`);
    const addons = await buildAddons(cache, target, nodeModules);
    const all = new Map([...parts.device.files, [unitBundle, units.bytes]]);
    contents.push({
      arch,
      package: await packageTree({ root, version, target, programs: all, addons, copyright }),
    });
  }
  const operatorCopyright = await copyrightFile(nodeModules, parts.operator.npmPackages);
  const operators: UnwrittenPackage[] = [];
  for (const arch of options.operatorArchs ?? []) {
    const target = targets[arch];
    operators.push({
      arch,
      package: await operatorTree({
        root,
        version,
        target,
        programs: parts.operator.files,
        sqlite: await sqliteLibrary(root, cache, target),
        copyright: operatorCopyright,
      }),
    });
  }
  return { version, contents, operators, closures };
}

/**
 * Builds the packages of several architectures. Unchanged parts come from the cache, so a second
 * run takes only the time of the bundler.
 *
 * @throws BuildFailure with a sentence that names what is missing or wrong
 */
export async function buildPackages(options: PackageOptions): Promise<BuiltPackages> {
  const epochSeconds = await buildTime(options.root);
  const { version, contents, operators, closures } = await packageContents(options);
  const write = async ({ arch, package: one }: UnwrittenPackage): Promise<BuiltPackage> => {
    options.progress?.(`${arch}: writing ${one.control.Package}`);
    const name = `${one.control.Package}_${version}_${arch}.deb`;
    const file = await cachedDeb(options.cache ?? cacheRoot(), one, epochSeconds, name);
    const bytes = await readFile(file);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { arch, version, file, sizeBytes: bytes.length, sha256 };
  };
  const inTurn = async (all: readonly UnwrittenPackage[]): Promise<readonly BuiltPackage[]> => {
    const built: BuiltPackage[] = [];
    for (const one of all) built.push(await write(one));
    return built;
  };
  return { packages: await inTurn(contents), operators: await inTurn(operators), closures };
}

/**
 * npm packages whose code is in the addons, and so not in the bundle's metafile.
 */
const nativePackages = ['systemd-journald', 'sd-notify', 'nan'];

async function cachedDeb(
  cache: string,
  contents: DebianPackage,
  epochSeconds: number,
  fileName: string,
): Promise<string> {
  const dpkg = await runTool('dpkg', 'dpkg-deb', ['--version']);
  const parts = contents.entries.flatMap((entry) => {
    const { type, path: where } = entry;
    if (type === 'file') return [where, String(entry.mode), entry.content];
    return [where, type, type === 'link' ? entry.target : String(entry.mode)];
  });
  const metadata = JSON.stringify([contents.control, contents.scripts, epochSeconds]);
  const key = contentKey(['deb 1', dpkg, metadata, ...parts]);
  const directory = await cached(
    `deb-${contents.control.Package}-${contents.control.Architecture}`,
    key,
    async (into) => {
      const work = path.join(into, 'work');
      await mkdir(work);
      await writeDeb(contents, path.join(into, fileName), work, epochSeconds);
    },
    cache,
  );
  return path.join(directory, fileName);
}

async function versionOf(root: string): Promise<string> {
  const manifest = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    version?: unknown;
  };
  // deb-version(7) requires a digit first and has no hyphen for semver's pre-releases: 1.0.0-rc.1
  // sorts as 1.0.0~rc.1.
  const version = String(manifest.version).replace('-', '~');
  if (!/^\d[\d.]*(~[a-z0-9.]+)?$/.test(version)) {
    throw new BuildFailure(`The version "${version}" in package.json cannot be that of a package.`);
  }
  return version;
}
