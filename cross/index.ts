/**
 * Debian packages of wherry for the devices' architectures: the bundle of programs, the native
 * addons, the units, the documentation. This folder runs on the machine of a developer and in
 * continuous integration, never on a device. It may run compilers and download packages, and writes
 * to the cache and to the given directories.
 */
export { BuildFailure } from './build-failure.ts';
export type { BuiltPackage, BuiltPackages, PackageOptions } from './build-package.ts';
export { buildPackages, packageContents } from './build-package.ts';
export { cached, cacheRoot, contentKey, fileParts, processAlive } from './cache.ts';
export type { DebianPackage, PackageEntry } from './deb.ts';
export type { DebianArch, Suite, Target } from './targets.ts';
export { allArchs, hostArch, suites, targets } from './targets.ts';
