import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { BoardConfig } from './board-config.ts';
import { guestFiles } from './guest-files.ts';
import { makeInitramfs } from './initramfs.ts';

/** The files of an assembled image inside its directory. */
export const imageFiles = {
  disk: 'root.raw',
  kernel: 'vmlinuz',
  initrd: 'initrd.gz',
  dtb: 'board.dtb',
} as const;

/** Drivers and texts that no board here uses; without them the disk is half the size. */
const pruned = [
  // The initramfs mounts the root with its final options: nothing is left to mount or check.
  'etc/fstab',
  'usr/share/doc',
  'usr/share/info',
  'usr/share/locale',
  'usr/share/man',
  'usr/lib/udev/hwdb.d',
  'usr/lib/klibc',
  'usr/share/initramfs-tools',
  'var/cache/apt',
  'var/lib/apt/lists',
];
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
 * Makes a board's disk, kernel and initramfs from Debian packages without running anything of the board's
 * architecture. Must run as root or under fakeroot, so that files get their owners.
 * @param dir an empty directory; the results stay there under the names in {@link imageFiles}
 */
export function assembleImage(config: BoardConfig, packages: readonly string[], dir: string): void {
  const root = join(dir, 'root');
  unpackPackages(config, packages, root);
  registerPackages(root);
  for (const path of pruned) rmSync(join(root, path), { recursive: true, force: true });
  // Maintainer scripts would have made these.
  copyFileSync(join(root, 'usr/share/base-passwd/passwd.master'), join(root, 'etc/passwd'));
  copyFileSync(join(root, 'usr/share/base-passwd/group.master'), join(root, 'etc/group'));
  writeShadow(root);
  writeCertificates(root);
  const machineId = createHash('md5').update(config.name).digest('hex');
  for (const file of guestFiles(config, machineId)) {
    const path = join(root, file.path);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    if ('linkTo' in file) symlinkSync(file.linkTo, path);
    else {
      writeFileSync(path, file.content);
      chmodSync(path, file.mode ?? 0o644);
    }
  }
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

function unpackPackages(config: BoardConfig, packages: readonly string[], root: string): void {
  run('mmdebstrap', [
    '--quiet',
    '--variant=extract',
    `--arch=${config.arch}`,
    '--skip=cleanup',
    '--aptopt=Acquire::Retries "3"',
    // Testing's index is signed but may be past its date on a slow mirror.
    ...(config.suite === 'forky' ? ['--aptopt=Acquire::Check-Valid-Until "false"'] : []),
    `--include=${packages.join(',')}`,
    config.suite,
    root,
  ]);
}

/** Tells dpkg on the board that the unpacked packages are installed, so that it accepts what depends on them. */
function registerPackages(root: string): void {
  const archives = join(root, 'var/cache/apt/archives');
  const database = join(root, 'var/lib/dpkg');
  const status: string[] = [];
  for (const file of readdirSync(archives)
    .filter((name) => name.endsWith('.deb'))
    .sort()) {
    const deb = join(archives, file);
    const control = run('dpkg-deb', ['-f', deb]).trimEnd();
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(control)?.[1] ?? '';
    status.push(control.replace(/^(Package: .*)$/m, '$1\nStatus: install ok installed'));
    const owner =
      field('Multi-Arch') === 'same' ? `${field('Package')}:${field('Architecture')}` : field('Package');
    const tar = execFileSync('dpkg-deb', ['--fsys-tarfile', deb], { maxBuffer: 2 ** 30 });
    const list = execFileSync('tar', ['-t'], { input: tar, encoding: 'utf8', maxBuffer: 2 ** 28 })
      .split('\n')
      .filter(Boolean)
      .map((path) =>
        path
          .replace(/^\./, '')
          .replace(/(.)\/$/, '$1')
          .replace(/^\/$/, '/.'),
      );
    writeFileSync(join(database, 'info', `${owner}.md5sums`), '');
    writeFileSync(join(database, 'info', `${owner}.list`), `${list.join('\n')}\n`);
  }
  // Says that the files of packages for several architectures carry the architecture in their names.
  writeFileSync(join(database, 'info/format'), '1\n');
  writeFileSync(join(database, 'status'), `${status.join('\n\n')}\n`);
  writeFileSync(join(database, 'available'), '');
}

/** Root may enter without a password; everybody else not at all. */
function writeShadow(root: string): void {
  const users = readFileSync(join(root, 'etc/passwd'), 'utf8').trim().split('\n');
  const lines = users
    .map((line) => line.slice(0, line.indexOf(':')))
    .map((user) => `${user}:*:19000:0:99999:7:::`);
  writeFileSync(join(root, 'etc/shadow'), `${lines.join('\n')}\n`.replace(/^root:\*/m, 'root:'));
  chmodSync(join(root, 'etc/shadow'), 0o640);
}

function writeCertificates(root: string): void {
  const dir = join(root, 'usr/share/ca-certificates/mozilla');
  if (!existsSync(dir)) return;
  const all = readdirSync(dir)
    .sort()
    .map((name) => readFileSync(join(dir, name), 'utf8'));
  mkdirSync(join(root, 'etc/ssl/certs'), { recursive: true });
  writeFileSync(join(root, 'etc/ssl/certs/ca-certificates.crt'), all.join(''));
}

/** Moves the kernel (and device tree) out of the root, sorts its modules and makes the initramfs. */
function takeKernel(config: BoardConfig, root: string, dir: string): void {
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

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
