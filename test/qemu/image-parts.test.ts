import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadBoardConfig } from '../../qemu/board-config.ts';
import { loadOrder } from '../../qemu/kernel-modules.ts';
import { newcArchive } from '../../qemu/newc.ts';
import { checkDiskSpace, checkPrograms } from '../../qemu/preconditions.ts';
import { qemuArgs } from '../../qemu/qemu-args.ts';

describe('the order of kernel modules', () => {
  const dep = [
    'kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz',
    'kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz',
    'kernel/lib/crc16.ko.xz:',
    'kernel/drivers/block/virtio-blk.ko:',
    '',
  ].join('\n');

  it('has each module once, after those that it requires', () => {
    expect(loadOrder(dep, ['virtio_blk', 'ext4'])).toEqual([
      'kernel/drivers/block/virtio-blk.ko',
      'kernel/lib/crc16.ko.xz',
      'kernel/fs/jbd2/jbd2.ko.xz',
      'kernel/fs/ext4/ext4.ko.xz',
    ]);
  });

  it('omits modules that are built into the kernel', () => {
    expect(loadOrder(dep, ['virtio_mmio', 'crc16'])).toEqual(['kernel/lib/crc16.ko.xz']);
  });
});

describe('the first file system of a boot', () => {
  it('is an archive that cpio unpacks to the same files', () => {
    const archive = newcArchive([
      { path: 'bin', kind: 'directory', mode: 0o755 },
      { path: 'bin/tool', kind: 'file', mode: 0o750, content: Buffer.from('12345') },
      { path: 'sh', kind: 'symlink', target: 'bin/tool' },
    ]);
    const dir = mkdtempSync(join(tmpdir(), 'wherry-cpio-'));
    try {
      execFileSync('cpio', ['--quiet', '-i', '--no-preserve-owner'], { cwd: dir, input: archive });
      expect(readFileSync(join(dir, 'bin/tool'), 'utf8')).toBe('12345');
      expect(statSync(join(dir, 'bin/tool')).mode & 0o777).toBe(0o750);
      expect(readlinkSync(join(dir, 'sh'))).toBe('bin/tool');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('the requirements of the rig', () => {
  it('are named with the package that provides them', () => {
    expect(() =>
      checkPrograms(['qemu-system-aarch64', 'qemu-system-arm', 'no-such-program'], '/nowhere'),
    ).toThrow(/not found: install with "apt-get install qemu-system-arm no-such-program" as root\.$/);
  });

  it('include free space on the disk', () => {
    expect(() => checkDiskSpace(tmpdir(), 1e18)).toThrow(/^Only .* GB are free at .*: make room/);
  });
});

describe("QEMU's arguments", () => {
  const { config } = loadBoardConfig('virt-armv8');
  if (config.kind !== 'emulated') throw new Error('the board is not emulated');
  const args = (incoming: boolean, hardwareClock?: Date): string[] =>
    qemuArgs(
      config,
      640,
      {
        kernel: '/k',
        initrd: '/i',
        dtb: undefined,
        disk: { kind: 'nbd', socket: '/s' },
        memory: { path: '/m', share: false },
        runDir: '/run',
        hardwareClock,
      },
      incoming,
    );

  it('start the machine stopped, with the given memory', () => {
    expect(args(false)).toContain('-S');
    expect(args(false).join(' ')).toContain(
      '-m 640 -object memory-backend-file,id=ram0,size=640M,mem-path=/m,share=off',
    );
  });

  it('wait for a saved state only when there is one', () => {
    expect(args(true).join(' ')).toContain('-incoming defer');
    expect(args(false)).not.toContain('-incoming');
  });

  it('set its clock to the real time by default', () => {
    expect(args(false).join(' ')).toContain('-rtc base=utc,clock=host');
    expect(args(false, new Date(0)).join(' ')).toContain('-rtc base=1970-01-01T00:00:00,clock=host');
  });
});
