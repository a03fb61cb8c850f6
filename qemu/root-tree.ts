import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { BoardConfig } from './board-config.ts';
import type { GuestFile } from './guest-files.ts';

/** Documentation that no board uses; without it the tree is half the size. */
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
/**
 * Makes the root file system of a board from Debian packages without running any of their code.
 * Must run as root or under fakeroot, so that files get their owners.
 * @param files what the rig adds to the packages
 */
export function makeRootTree(
  config: Pick<BoardConfig, 'arch' | 'suite'>,
  packages: readonly string[],
  files: readonly GuestFile[],
  root: string,
): void {
  unpackPackages(config, packages, root);
  registerPackages(root);
  for (const path of pruned) rmSync(join(root, path), { recursive: true, force: true });
  // Maintainer scripts would have made these.
  copyFileSync(join(root, 'usr/share/base-passwd/passwd.master'), join(root, 'etc/passwd'));
  copyFileSync(join(root, 'usr/share/base-passwd/group.master'), join(root, 'etc/group'));
  writeShadow(root);
  writeCertificates(root);
  for (const file of files) {
    const path = join(root, file.path);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    if ('linkTo' in file) symlinkSync(file.linkTo, path);
    else {
      writeFileSync(path, file.content);
      chmodSync(path, file.mode ?? 0o644);
    }
  }
}

function unpackPackages(
  config: Pick<BoardConfig, 'arch' | 'suite'>,
  packages: readonly string[],
  root: string,
): void {
  run('mmdebstrap', [
    '--quiet',
    '--variant=extract',
    `--arch=${config.arch}`,
    '--skip=cleanup',
    '--aptopt=Acquire::Retries "3"',
    // Testing's index is signed but may have expired on a slow mirror.
    ...(config.suite === 'forky' ? ['--aptopt=Acquire::Check-Valid-Until "false"'] : []),
    `--include=${packages.join(',')}`,
    config.suite,
    root,
  ]);
}

/**
 * Records the unpacked packages as installed for dpkg on the board, so that it accepts packages
 * that depend on them.
 */
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
  // Declares that file names of multi-arch packages contain the architecture.
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

/** Runs a program to its end. @returns its output */
export function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
