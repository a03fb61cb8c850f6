import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { pullInTime, raiseClock } from '../../../src/device/agent/clock-floor.ts';
import { systemClock } from '../../../src/core/ports/index.ts';
import { defaultPatience, fetchSmall, openHttpClient } from '../../../src/wire/http/index.ts';
import { earlyCertificate, loopbackCertificate } from '../../support/loopback-certificate.ts';
import { serve, steadyRandom } from '../../support/test-server.ts';

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

describe('a pull from a server whose certificate is not valid yet [C347]', () => {
  /** What a device did, whose clock `raises` when it may be set. */
  const pulled = async (tls: { key: string; cert: string }, raises: boolean, ca = tls.cert) => {
    const server = await serve((_request, response) => response.end('image'), tls);
    const http = openHttpClient({ clock: systemClock, ca });
    const asked: string[] = [];
    const ports = {
      clock: systemClock,
      http,
      random: steadyRandom,
      patience: { ...defaultPatience, idleTries: 1 },
    };
    const outcome = await pullInTime(
      async () => {
        asked.push('pull');
        return String(await fetchSmall(ports, [server.url], 100));
      },
      () => Promise.resolve(asked.push('raise') > 0 && raises),
    ).catch((error: unknown) => String(error));
    http.close();
    await server.close();
    return { asked, outcome };
  };

  it('begins once more after the clock was set, and only once', async () => {
    const { asked, outcome } = await pulled(earlyCertificate(), true);
    expect(asked).toEqual(['pull', 'raise', 'pull']);
    expect(outcome).toContain('is not trusted: its certificate is not valid yet; check the clock here');
  });

  it('fails where the clock was not behind, and sets no clock for another fault', async () => {
    expect((await pulled(earlyCertificate(), false)).asked).toEqual(['pull', 'raise']);
    expect(await pulled(loopbackCertificate(), true)).toEqual({ asked: ['pull'], outcome: 'image' });
    const other = await pulled(loopbackCertificate(), true, loopbackCertificate().cert);
    expect(other.asked).toEqual(['pull']);
    expect(other.outcome).toContain('is not trusted');
  });
});
