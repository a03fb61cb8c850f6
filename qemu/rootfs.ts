import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EmulatedConfig } from './board-config.ts';
import { guestFiles } from './guest-files.ts';
import { makeInitramfs } from './initramfs.ts';
import { makeRootTree, run } from './root-tree.ts';

/** The files of an assembled image inside its directory. */
export const imageFiles = {
  disk: 'root.raw',
  kernel: 'vmlinuz',
  initrd: 'initrd.gz',
  dtb: 'board.dtb',
} as const;

/** Drivers that no board here uses. */
const prunedModules = [
  'drivers/bluetooth',
  'drivers/gpu',
  'drivers/iio',
  'drivers/infiniband',
  'drivers/isdn',
  'drivers/media',
  'drivers/net/wireless',
  'drivers/scsi',
  'drivers/staging',
  'drivers/video',
  'net/bluetooth',
  'net/mac80211',
  'net/wireless',
  'sound',
];

/**
 * Makes a board's disk, kernel and initramfs from Debian packages without running anything of the
 * board's architecture. Must run as root or under fakeroot, so that files get their owners.
 * @param dir an empty directory; the results stay there under the names in {@link imageFiles}
 */
export function assembleImage(config: EmulatedConfig, packages: readonly string[], dir: string): void {
  const root = join(dir, 'root');
  const machineId = createHash('md5').update(config.name).digest('hex');
  makeRootTree(config, packages, guestFiles(config, machineId), root);
  takeKernel(config, root, dir);
  const disk = join(dir, imageFiles.disk);
  writeFileSync(disk, '');
  truncateSync(disk, config.disk.sizeMiB * 2 ** 20);
  run('mkfs.ext4', [
    '-q',
    '-F',
    '-L',
    'root',
    '-m',
    '0',
    ...(config.disk.verity === true ? ['-O', 'verity'] : []),
    '-E',
    'lazy_itable_init=0,lazy_journal_init=0',
    '-d',
    root,
    disk,
  ]);
  rmSync(root, { recursive: true });
}

/**
 * Moves the kernel (and device tree) out of the root, sorts its modules and makes the initramfs.
 */
function takeKernel(config: EmulatedConfig, root: string, dir: string): void {
  const [version, ...others] = readdirSync(join(root, 'usr/lib/modules'));
  if (version === undefined || others.length > 0)
    throw new Error(`Not exactly one kernel in ${config.kernelPackage}`);
  const modules = join(root, 'usr/lib/modules', version);
  for (const path of prunedModules) {
    rmSync(join(modules, 'kernel', path), { recursive: true, force: true });
  }
  run('depmod', ['-b', root, version]);
  // Debian 13 keeps the kernel in /boot, testing beside its modules.
  const places = [join(root, 'boot', `vmlinuz-${version}`), join(modules, 'vmlinuz')];
  const kernel = places.find((path) => existsSync(path));
  if (kernel === undefined)
    throw new Error(`${config.kernelPackage} has no kernel at ${places.join(' or ')}`);
  moveFile(kernel, join(dir, imageFiles.kernel));
  if (config.dtb !== undefined) takeDeviceTree(config.dtb, root, version, dir);
  for (const path of [
    `usr/lib/linux-image-${version}`,
    `boot/System.map-${version}`,
    `usr/lib/modules/${version}/dtb`,
  ]) {
    rmSync(join(root, path), { recursive: true, force: true });
  }
  writeFileSync(join(dir, imageFiles.initrd), makeInitramfs(root, version));
}

function takeDeviceTree(name: string, root: string, version: string, dir: string): void {
  const places = [join(root, 'usr/lib', `linux-image-${version}`), join(root, 'usr/lib/modules', version)];
  for (const place of places.filter((path) => existsSync(path))) {
    const found = readdirSync(place, { recursive: true, encoding: 'utf8' }).find(
      (path) => path.endsWith(`/${name}`) || path === name,
    );
    if (found === undefined) continue;
    moveFile(join(place, found), join(dir, imageFiles.dtb));
    return;
  }
  throw new Error(`No device tree called ${name} in ${places.join(' or ')}`);
}

function moveFile(from: string, to: string): void {
  renameSync(from, to);
  chmodSync(to, 0o644);
}
