import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { raiseClock } from '../../../src/device/agent/clock-floor.ts';

/** A device whose earliest possible time is 2000 s after 1970. */
async function deviceAt(seconds: number, { synchronized = false, end = 'done' } = {}) {
  const calls: string[] = [];
  let now = seconds;
  const call = (text: string): Promise<void> => Promise.resolve(void calls.push(text));
  await raiseClock({
    clock: { nowMs: () => now * 1000 },
    disk: { write: (path, bytes) => call(`write ${path} ${Buffer.from(bytes).toString().trim()}`) },
    journal: { log: (priority, message) => void calls.push(`${priority}: ${message}`) },
    systemd: {
      resetFailed: (unit) => call(`reset ${unit}`),
      run: async (unit) => {
        await call(`run ${unit}`);
        if (end === 'masked') throw new Error(`Unit ${unit} is masked.`);
        if (end === 'done') now = 2000;
        return end;
      },
    },
    file: '/run/wherry/clock-floor',
    floor: () => 2000,
    isSynchronized: () => Promise.resolve(synchronized),
  });
  return calls;
}

describe('a clock that is behind the earliest possible time [C259]', () => {
  it('is set to it by a unit of its own', async () => {
    const done = [
      'write /run/wherry/clock-floor 2000',
      'reset wherry-floor.service',
      'run wherry-floor.service',
    ];
    expect(await deviceAt(1399)).toEqual([
      ...done,
      'notice: the clock was behind 1970-01-01T00:33:20.000Z, the earliest possible time, and was set to that',
    ]);
  });

  it.each(['masked', 'exit-code'])('is reported when it was not set: %s', async (end) => {
    const last = (await deviceAt(0, { end })).at(-1) ?? '';
    expect(last).toMatch(/^warning: the clock is behind .*, and wherry-floor.service did not set it: /);
    expect(last).toContain(end);
  });

  it('is left alone once a time source has set it, and no other clock is set', async () => {
    expect(await deviceAt(0, { synchronized: true })).toEqual([]);
    expect(await deviceAt(2000)).toEqual([]);
    // The clock of the signer may be ten minutes ahead. A clock chip would not count any more.
    expect(await deviceAt(1400)).toEqual([]);
  });
});

describe('the unit that sets the clock [C259]', () => {
  const directory = mkdtempSync(join(tmpdir(), 'wherry-floor-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const unit = readFileSync(
    join(import.meta.dirname, '../../../src/device/agent/wherry-floor.service'),
    'utf8',
  );
  const floorFile = join(directory, 'clock-floor');
  const [, script = ''] = /^ExecStart=\/bin\/sh -c '(.*)'$/m.exec(unit) ?? [];
  const command = script
    .replaceAll('$$', '$')
    .replaceAll('%%', '%')
    .replace('/run/wherry/clock-floor', floorFile);

  it.each([
    [1999, 'date -s @2000'],
    [2000, ''],
    [3000, ''],
  ])('at %i s sets it forward to 2000 s, and never back', (now, set) => {
    const log = join(directory, 'log');
    writeFileSync(log, '');
    writeFileSync(floorFile, '2000\n');
    const date = `#!/bin/sh\nif [ "$1" = +%s ]; then echo ${now}; else echo "date $*" >>${log}; fi\n`;
    writeFileSync(join(directory, 'date'), date, { mode: 0o755 });
    execFileSync('/bin/sh', ['-c', command], { env: { PATH: `${directory}:/usr/bin:/bin` } });
    expect(readFileSync(log, 'utf8').trim()).toBe(set);
  });

  it('may set the clock and nothing else, and not that of a container', () => {
    expect(unit).toMatch(/^CapabilityBoundingSet=CAP_SYS_TIME$/m);
    expect(unit).toMatch(/^ConditionVirtualization=!container$/m);
  });
});
