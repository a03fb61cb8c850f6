import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readyToVisit, wakeTimer, wakeTimerText } from '../../../src/device/agent/wake-timer.ts';
import { nodeDisk } from '../../../src/device/store/index.ts';
import { Refusal } from '../../../src/core/refusal/index.ts';

let units = '';
beforeEach(() => (units = mkdtempSync(join(tmpdir(), 'wherry-wake-'))));
afterEach(() => rmSync(units, { recursive: true }));

/** The requests to systemd, which runs the timer or not. */
function ports(options: { refuses?: boolean } = {}) {
  const asked: string[] = [];
  let isActive = false;
  const systemd = {
    start: (unit: string) => {
      asked.push(`start ${unit}`);
      if (options.refuses === true) return Promise.reject(new Refusal('activation-failed', 'masked'));
      isActive = true;
      return Promise.resolve('done' as const);
    },
    stop: (unit: string) => {
      asked.push(`stop ${unit}`);
      isActive = false;
      return Promise.resolve('done' as const);
    },
    reload: () => Promise.resolve(void asked.push('reload')),
    status: (name: string) =>
      Promise.resolve({
        ...{ name, subState: 'waiting' },
        activeState: isActive ? 'active' : 'inactive',
      }),
  };
  const lines: string[] = [];
  const journal = { log: (_level: string, message: string) => lines.push(message) };
  const file = join(units, wakeTimer);
  return { asked, lines, file, with: { systemd, disk: nodeDisk(), units }, journal };
}

describe('the timer that starts wherryd', () => {
  it('[C159] is written and started once, and rewritten with another interval', async () => {
    const one = ports();
    const ready = (visitEverySeconds: number) => readyToVisit(one.with, { visitEverySeconds }, one.journal);
    expect(await ready(900)).toEqual({ areOn: true, isWoken: false });
    expect(await ready(900)).toEqual({ areOn: true, isWoken: true });
    expect(one.asked).toEqual(['reload', `start ${wakeTimer}`, `start ${wakeTimer}`]);
    expect(readFileSync(one.file, 'utf8')).toContain('\nOnUnitInactiveSec=900s\nRandomizedDelaySec=90s\n');
    await ready(60);
    expect(one.asked.slice(3)).toEqual(['reload', `start ${wakeTimer}`]);
    expect(readFileSync(one.file, 'utf8')).toContain('\nOnUnitInactiveSec=60s\n');
  });

  it('[C159] is removed when the connection is permanent', async () => {
    const one = ports();
    await readyToVisit(one.with, { visitEverySeconds: 900 }, one.journal);
    expect(await readyToVisit(one.with, {}, one.journal)).toEqual({ areOn: false, isWoken: false });
    expect(existsSync(one.file)).toBe(false);
    expect(one.asked.slice(-2)).toEqual([`stop ${wakeTimer}`, 'reload']);
    await readyToVisit(one.with, {}, one.journal);
    expect(one.asked).toHaveLength(4);
  });

  it('[C159] is left alone if an administrator made it', async () => {
    const one = ports();
    writeFileSync(one.file, '[Timer]\nOnCalendar=daily\n');
    await readyToVisit(one.with, {}, one.journal);
    expect(existsSync(one.file)).toBe(true);
    expect(one.asked).toEqual([]);
  });

  it('[C159] that does not start leaves wherryd resident, with a line in the journal', async () => {
    const one = ports({ refuses: true });
    const visits = await readyToVisit(one.with, { visitEverySeconds: 900 }, one.journal);
    expect(visits).toEqual({ areOn: false, isWoken: false });
    expect(one.lines).toEqual(['wherryd.timer does not follow the configuration: masked']);
  });

  it.skipIf(!existsSync('/usr/bin/systemd-analyze'))('[C159] is a unit that systemd accepts', () => {
    writeFileSync(join(units, wakeTimer), wakeTimerText(600));
    writeFileSync(join(units, 'wherryd.service'), '[Service]\nExecStart=/bin/true\n');
    const said = execFileSync('systemd-analyze', ['verify', '--man=no', join(units, wakeTimer)], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    expect(said).toBe('');
  });
});
