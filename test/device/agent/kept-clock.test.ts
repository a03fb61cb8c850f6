import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { clockKeeper, isSynchronized } from '../../../src/device/agent/kept-clock.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** A device whose files and kernel say what a test sets. */
function deviceWhere({ marked = false, synchronized = false }) {
  const device = { marked, synchronized, questions: 0 };
  const clock = new FakeClock();
  const isKept = clockKeeper({
    marked: () => device.marked,
    ask: () => {
      device.questions += 1;
      return Promise.resolve(device.synchronized);
    },
    clock,
  });
  return { device, clock, isKept };
}

describe('the clock of a device is kept [C312]', () => {
  it('by a file, and nothing is asked', async () => {
    const { device, isKept } = deviceWhere({ marked: true });
    expect(await isKept()).toBe(true);
    expect(device.questions).toBe(0);
  });

  it('by the kernel where there is no file', async () => {
    expect(await deviceWhere({ synchronized: true }).isKept()).toBe(true);
    expect(await deviceWhere({ synchronized: false }).isKept()).toBe(false);
  });

  it('by a file that comes later, at once', async () => {
    const { device, isKept } = deviceWhere({});
    expect(await isKept()).toBe(false);
    device.marked = true;
    expect(await isKept()).toBe(true);
  });

  it('for good once it was synchronized', async () => {
    const { device, clock, isKept } = deviceWhere({ synchronized: true });
    await isKept();
    device.synchronized = false;
    await clock.pass(86_400_000);
    expect(await isKept()).toBe(true);
    expect(device.questions).toBe(1);
  });

  it('by a later synchronization, which is noticed after 30 s', async () => {
    const { device, clock, isKept } = deviceWhere({});
    expect(await isKept()).toBe(false);
    device.synchronized = true;
    clock.jump(86_400_000); // of the wall clock, by the synchronization
    await clock.pass(29_999);
    expect(await isKept()).toBe(false);
    expect(device.questions).toBe(1);
    await clock.pass(1);
    expect(await isKept()).toBe(true);
    expect(device.questions).toBe(2);
  });

  it('by one answer for all who ask at the same time', async () => {
    const { device, isKept } = deviceWhere({ synchronized: true });
    expect(await Promise.all([isKept(), isKept(), isKept()])).toEqual([true, true, true]);
    expect(device.questions).toBe(1);
  });
});

describe('the answer of timedatectl [C312]', () => {
  const directory = mkdtempSync(join(tmpdir(), 'wherry-timedatectl-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  const answerOf = async (script: string, timeoutMs?: number) => {
    const program = join(directory, 'timedatectl');
    writeFileSync(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return await isSynchronized(program, timeoutMs);
  };

  it.each([
    ['yes', '[ "$*" = "show --property=NTPSynchronized --value" ] && echo yes', true],
    ['no', 'echo no', false],
    ['nothing', '', false],
    ['an error', 'echo yes; echo "Failed to connect to bus" >&2; exit 1', false],
    ['too late, by a process that ignores SIGTERM', "trap '' TERM; exec sleep 1000", false, 200],
  ])('%s', async (_name, script, expected, timeoutMs?: number) => {
    expect(await answerOf(script, timeoutMs)).toBe(expected);
  });

  it('no, where there is no such program', async () => {
    expect(await isSynchronized(join(directory, 'nowhere'))).toBe(false);
  });
});
