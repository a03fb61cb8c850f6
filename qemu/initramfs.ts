import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { loadOrder } from './kernel-modules.ts';
import { newcArchive, type CpioEntry } from './newc.ts';

/**
 * The modules that a Debian kernel needs for its root on the board's disk. ext4 requests its
 * checksum by name at run time, so modules.dep does not list it.
 */
const wantedModules = ['virtio_mmio', 'virtio_blk', 'crc32c_generic', 'ext4'];

/**
 * Makes the first file system of a boot: a static busybox of the board's architecture, the modules
 * for disk and root file system, and a script that loads them, mounts the root and hands over to
 * systemd.
 * @param rootDir the unpacked root file system, with `modules.dep` in place
 * @param kernelVersion the directory's name under `/usr/lib/modules`
 */
export function makeInitramfs(rootDir: string, kernelVersion: string): Buffer {
  const modulesDir = join(rootDir, 'usr/lib/modules', kernelVersion);
  const order = loadOrder(readFileSync(join(modulesDir, 'modules.dep'), 'utf8'), wantedModules);
  const modules = order.map((path) => ({
    path: `modules/${basename(path).replace(/\.(xz|zst|gz)$/, '')}`,
    content: decompressed(join(modulesDir, path)),
  }));
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'modules', 'proc', 'root', 'sys'].map(
      (path) => ({ path, kind: 'directory', mode: 0o755 }) as const,
    ),
    {
      path: 'bin/busybox',
      kind: 'file',
      mode: 0o755,
      content: readFileSync(join(rootDir, 'usr/bin/busybox')),
    },
    { path: 'bin/sh', kind: 'symlink', target: 'busybox' },
    {
      path: 'init',
      kind: 'file',
      mode: 0o755,
      content: Buffer.from(initScript(modules.map(({ path }) => path))),
    },
    ...modules.map(({ path, content }) => ({ path, kind: 'file', mode: 0o644, content }) as const),
  ];
  return gzipSync(newcArchive(entries), { level: 1 });
}

function initScript(modules: readonly string[]): string {
  return `#!/bin/sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
${modules.map((path) => `$b insmod /${path}`).join('\n')}
tries=0
until [ -b /dev/vda ]; do
  tries=$((tries + 1))
  if [ $tries -gt 100 ]; then echo "rig: no root disk"; $b poweroff -f; fi
  $b usleep 50000
done
if ! $b mount -t ext4 -o noatime /dev/vda /root; then
  echo "rig: the root file system cannot be mounted"
  $b poweroff -f
fi
$b mount --move /dev /root/dev
$b umount /proc
$b umount /sys
exec $b switch_root -c /dev/console /root /sbin/init
`;
}

function decompressed(path: string): Buffer {
  const tool = { xz: 'xz', zst: 'zstd', gz: 'gzip' }[path.slice(path.lastIndexOf('.') + 1)];
  if (tool === undefined) return readFileSync(path);
  return execFileSync(tool, ['-dc', path], { maxBuffer: 1 << 28 });
}
