import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { allLoopsTaken } from '../../qemu/native/host-kernel.ts';

it.each([
  [28, undefined],
  [29, 'this machine has 29 loop devices in use, and a board can use the first 32; losetup -a lists them'],
])('with %i loop devices in use a native board lacks them: %s', (count, reason) => {
  const devices = mkdtempSync(join(tmpdir(), 'wherry-loops-'));
  onTestFinished(() => rmSync(devices, { recursive: true }));
  for (let at = 0; at < 40; at++) {
    const device = join(devices, `loop${at}`, 'loop');
    mkdirSync(device, { recursive: true });
    if (at < count) writeFileSync(join(device, 'backing_file'), '/some/file');
  }
  expect(allLoopsTaken(devices)).toBe(reason);
});
