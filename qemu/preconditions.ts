import { accessSync, constants, statfsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * Something that the rig needs is missing on this machine; the message is one sentence with the
 * remedy.
 */
export class PreconditionError extends Error {
  override readonly name = 'PreconditionError';
}

/** The Debian package of each program that the rig starts. */
export const packageOf: Readonly<Record<string, string>> = {
  depmod: 'kmod',
  ip: 'iproute2',
  nsenter: 'util-linux',
  slirp4netns: 'slirp4netns',
  'systemd-nspawn': 'systemd-container',
  unshare: 'util-linux',
  'dpkg-deb': 'dpkg',
  e2fsck: 'e2fsprogs',
  fakeroot: 'fakeroot',
  'mkfs.ext4': 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
  nbdkit: 'nbdkit',
  'qemu-img': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-system-aarch64': 'qemu-system-arm',
  'qemu-system-arm': 'qemu-system-arm',
  setpriv: 'util-linux',
  xz: 'xz-utils',
};

/** @throws PreconditionError that names the packages to install */
export function checkPrograms(programs: readonly string[], path = process.env['PATH'] ?? ''): void {
  const places = [...path.split(delimiter), '/usr/sbin', '/sbin'];
  const missing = programs.filter((program) => !places.some((place) => executable(join(place, program))));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => packageOf[program] ?? program))];
  throw new PreconditionError(
    `${missing.join(', ')} not found: install with "apt-get install ${packages.join(' ')}" as root.`,
  );
}

/**
 * An image takes about 1 GB and its snapshots as much again. The check avoids a full disk halfway.
 */
const freeMinBytes = 4e9;

/** @throws PreconditionError if the file system of the directory has less than 4 GB left */
export function checkDiskSpace(dir: string, minBytes = freeMinBytes): void {
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  if (free >= minBytes) return;
  throw new PreconditionError(
    `Only ${(free / 1e9).toFixed(1)} GB are free at ${dir}; board images need ${(minBytes / 1e9).toFixed(0)} GB: make room or set XDG_CACHE_HOME.`,
  );
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
