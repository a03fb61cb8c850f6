import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePodManifest } from '../../../src/image/appc/index.ts';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { type CompiledPod, compilePod } from '../../../src/device/pod/index.ts';
import { readUnit } from '../../support/unit-reader.ts';
import { boardHost, demoImage, demoUuid, imageId } from './demo.ts';

/** The pod with this schedule; undefined if it is refused correctly. */
function scheduled(schedule: string, missed = 'run'): CompiledPod | undefined {
  const manifest = {
    ...{ acVersion: '0.8.11', acKind: 'PodManifest' },
    apps: [{ name: 'main', image: { id: imageId }, app: { exec: ['/bin/app'], user: '0', group: '0' } }],
    annotations: [
      { name: 'wherry/schedule', value: schedule },
      { name: 'wherry/schedule-missed', value: missed },
    ],
  };
  try {
    return compilePod({
      ...{ name: 'demo', uuid: demoUuid, host: boardHost, images: new Map([[imageId, demoImage]]) },
      manifest: parsePodManifest(Buffer.from(JSON.stringify(manifest))),
    });
  } catch (error) {
    if (isRefusal(error, 'pod-manifest-invalid')) return undefined;
    throw error;
  }
}

const timerOf = (pod: CompiledPod) => pod.units.find(({ name }) => name === pod.timer)?.text ?? '';

/** Characters with a meaning in expressions and in units. */
const ofExpressions = [
  '*',
  '-',
  ':',
  '/',
  ',',
  '..',
  '~',
  ' ',
  ';',
  '0',
  '12',
  '2099',
  'Mon',
  'hourly',
  'UTC',
  '@',
];
const ofUnits = [
  '\n',
  '\r',
  '\t',
  '\\',
  '%',
  '%n',
  '"',
  "'",
  '#',
  '=',
  '[Install]',
  'Unit=reboot.target',
  '\u2028',
  'ü',
];
const madeOf = (parts: readonly string[]) =>
  fc.array(fc.constantFrom(...parts), { maxLength: 12 }).map((words) => words.join(''));
const values = fc.oneof(
  madeOf(ofExpressions),
  madeOf([...ofExpressions, ...ofUnits]),
  fc.string({ unit: 'binary', maxLength: 140 }).filter((text) => !/\p{Surrogate}/u.test(text)),
);

describe('a schedule', () => {
  it('never changes the structure of a unit, whatever its text [C219]', () => {
    const usual = readUnit(timerOf(scheduled('hourly') as CompiledPod)).map(
      ({ section, key }) => section + key,
    );
    let accepted = 0;
    fc.assert(
      fc.property(values, (text) => {
        const pod = scheduled(text);
        if (pod === undefined) return;
        accepted += 1;
        const directives = readUnit(timerOf(pod));
        const calendar = directives.filter(({ key }) => key === 'OnCalendar');
        expect(calendar.map(({ value }) => value)).toEqual(text.split(';').map((one) => one.trim()));
        expect(new Set(directives.map(({ section, key }) => section + key))).toEqual(new Set(usual));
        expect(directives.length - calendar.length).toBe(usual.length - 1);
      }),
      { numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  it('accepts one of two words for missed runs', () => {
    fc.assert(
      fc.property(values, (text) => {
        expect(scheduled('hourly', text)).toBeUndefined();
      }),
    );
  });

  it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0)(
    'becomes units that systemd-analyze verify accepts',
    () => {
      const pod = scheduled('*-*-* 03:00:00; Mon..Fri 18:30 UTC') as CompiledPod;
      const directory = mkdtempSync(join(tmpdir(), 'schedule-'));
      try {
        for (const { name, text } of pod.units) {
          writeFileSync(
            join(directory, name),
            text.replaceAll('ExecStart=/usr/bin/crun', 'ExecStart=/bin/true'),
          );
        }
        const files = pod.units
          .map(({ name }) => name)
          .filter((name) => name === pod.timer || name.startsWith('wherry-run-'))
          .map((name) => join(directory, name));
        expect(files).toHaveLength(2);
        const { stderr } = spawnSync(
          'systemd-analyze',
          ['verify', '--man=no', '--recursive-errors=no', ...files],
          {
            ...{ encoding: 'utf8' },
            env: { ...process.env, SYSTEMD_UNIT_PATH: `${directory}:` },
          },
        );
        expect(stderr.split('\n').filter((line) => /wherry-(timer|run)-/.test(line))).toEqual([]);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  );
});
