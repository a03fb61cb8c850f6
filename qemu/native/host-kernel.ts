import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { cacheRoot } from '../../cross/index.ts';
import { checkPrograms, PreconditionError } from '../preconditions.ts';

/**
 * `f_type` of file systems that cannot hold the upper layer of an overlay, or are emptied at boot
 * (magic.h).
 */
const unusable: Readonly<Record<number, string>> = { 0x794c7630: 'an overlay', 0x858458f6: 'ramfs' };

const programs = [
  'systemd-nspawn',
  'slirp4netns',
  'mmdebstrap',
  'dpkg-deb',
  'setpriv',
  'nsenter',
  'unshare',
  'ip',
];

/**
 * Checks everything that a native board requires of this machine.
 * @throws PreconditionError, one sentence with the remedy
 */
export function checkHost(): void {
  const instead = 'or choose an emulated board, e.g. virt-armv8';
  if (process.getuid?.() !== 0)
    throw new PreconditionError(`A native board needs root: run this as root (sudo), ${instead}.`);
  checkPrograms(programs);
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 12)) {
    throw new PreconditionError(
      `This machine's kernel ${release()} cannot mount EROFS from a file: boot 6.12 or newer, ${instead}.`,
    );
  }
  for (const name of ['overlay', 'erofs']) checkFilesystem(name, instead);
  checkCache();
  try {
    execFileSync('unshare', ['--mount', '--net', 'mount', '-t', 'tmpfs', 'rig', '/mnt'], { stdio: 'pipe' });
  } catch (cause) {
    throw new PreconditionError(
      `This machine does not allow namespaces and mounts: run outside of a container or give it privileges, ${instead}.`,
      { cause },
    );
  }
}

function checkFilesystem(name: string, instead: string): void {
  const known = (): boolean => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(name);
  if (known()) return;
  try {
    execFileSync('modprobe', [name], { stdio: 'pipe' });
  } catch {
    // The list of file systems decides.
  }
  if (known()) return;
  throw new PreconditionError(
    `This machine's kernel has no ${name}: load or install its module ("modprobe ${name}"), ${instead}.`,
  );
}

/** Boards store their layer over the cached tree next to it. */
function checkCache(): void {
  const root = cacheRoot();
  mkdirSync(root, { recursive: true });
  const kind = unusable[statfsSync(root).type];
  const wrong =
    kind !== undefined
      ? `lies on ${kind}`
      : /[:,\\]/.test(root)
        ? 'has a colon, a comma or a backslash in its path'
        : root.startsWith('/run/')
          ? 'lies below /run'
          : undefined;
  if (wrong === undefined) return;
  throw new PreconditionError(
    `The cache ${root} ${wrong}, which a native board cannot use: set XDG_CACHE_HOME to a directory on a disk.`,
  );
}

/** Whether this ARMv8 machine runs 32-bit programs, by the query of `wherry-arm32.service`. */
export function runs32Bit(): boolean {
  try {
    return execFileSync('setarch', ['linux32', 'uname', '-m'], { encoding: 'utf8' }).trim() !== 'aarch64';
  } catch {
    return false;
  }
}

/** Why a board has no loop devices of this machine; undefined when it has some, and ext4. */
export function lacksLoops(): string | undefined {
  try {
    // The first use loads the driver.
    for (const path of ['/dev/loop-control', '/dev/loop0']) closeSync(openSync(path, 'r'));
    if (readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes('ext4')) return allLoopsTaken();
  } catch {
    // The reason below applies.
  }
  return 'this machine gives it no loop devices';
}

/**
 * The kernel uses the first free number of this machine. A board has nodes only for the first
 * {@link loops}, so a mount with a higher number would fail.
 */
export function allLoopsTaken(devices = '/sys/block'): string | undefined {
  const taken = readdirSync(devices).filter((name) => existsSync(`${devices}/${name}/loop/backing_file`));
  return taken.length + sparedLoops <= loops
    ? undefined
    : `this machine has ${taken.length} loop devices in use, and a board can use the first ${loops}; losetup -a lists them`;
}

/** Whether processes of this machine may have CAP_SYS_RESOURCE, number 24 (capabilities(7)). */
export function mayResize(): boolean {
  const set = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${set}`) >> 24n) & 1n) === 1n;
}

const loops = 32;
/** For a board that starts. */
const sparedLoops = 4;

/** Device nodes by which a board mounts files: path on the board, type and numbers (mknod(1)). */
export const loopNodes: readonly (readonly [path: string, ...numbers: string[]])[] = [
  ['/dev/loop-control', 'c', '10', '237'],
  ...Array.from({ length: loops }, (_, at) => [`/dev/loop${at}`, 'b', '7', String(at)] as const),
];

/** Whether the cache's file system, on which native boards keep their files, has fs-verity. */
export function hostSealsFiles(): boolean {
  mkdirSync(cacheRoot(), { recursive: true });
  const dir = mkdtempSync(join(cacheRoot(), `tmp.${process.pid}.`));
  try {
    writeFileSync(join(dir, 'sealed'), 'x');
    execFileSync('fsverity', ['enable', join(dir, 'sealed')], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
