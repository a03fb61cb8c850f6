import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unitText, type UnitDescription } from '../../../src/device/systemd/unit-text.ts';
import { readUnit, readWords } from '../../support/unit-reader.ts';

const anything = fc.string({ unit: 'binary', maxLength: 60 });
/** Strings of characters with a meaning in unit files. */
const nasty = fc
  .array(
    fc.constantFrom(
      ...['%', '$', '\\', '"', "'", ';', ' ', '\n', '\r', '\t', '%n', '${HOME}', '\\x41', '\\n'],
      ...['ExecStart=/bin/evil', '[Install]', '-', '@', '+', '!', ':', '#', 'a', 'ü', '\u2028'],
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));
const hostile = fc.oneof(anything, nasty).filter((s) => !/[\0\p{Surrogate}]/u.test(s));

describe('unit text', () => {
  it('writes sections and directives in the order given', () => {
    const text = unitText({
      Unit: { Description: 'Pod demo', Wants: ['a.service', 'b\\x2dc.service'], DefaultDependencies: false },
      Slice: { MemoryMax: 1n << 40n, CPUQuota: '12.5%', IOReadIOPSMax: { paths: ['/var/lib'], limit: 7 } },
    });
    expect(text).toBe(
      [
        '[Unit]',
        'Description=Pod demo',
        'Wants=a.service b\\x2dc.service',
        'DefaultDependencies=no',
        '',
        '[Slice]',
        'MemoryMax=1099511627776',
        'CPUQuota=12.5%',
        'IOReadIOPSMax="/var/lib" 7',
        '',
      ].join('\n'),
    );
  });

  it('keeps every argument of a command, with any content', () => {
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 5 }), (args) => {
        const [, directive, ...more] = readUnit(
          unitText({ Unit: { Description: 'x' }, Service: { ExecStart: [['/bin/true', ...args]] } }),
        );
        expect(more).toEqual([]);
        expect(directive?.key).toBe('ExecStart');
        expect(readWords(directive?.value ?? '', true)).toEqual(['/bin/true', ...args]);
      }),
    );
  });

  it('keeps every value of a journal field, with any content', () => {
    fc.assert(
      fc.property(hostile, (value) => {
        const [, directive, ...more] = readUnit(
          unitText({ Unit: { Description: 'x' }, Service: { LogExtraFields: { WHERRY_POD: value } } }),
        );
        expect(more).toEqual([]);
        expect(readWords(directive?.value ?? '', false)).toEqual([`WHERRY_POD=${value}`]);
      }),
    );
  });

  it('writes a description on one line or not at all', () => {
    fc.assert(
      fc.property(hostile, (value) => {
        let text: string;
        try {
          text = unitText({ Unit: { Description: value } });
        } catch {
          return;
        }
        expect(readUnit(text)).toEqual([
          { section: 'Unit', key: 'Description', value: value.replaceAll('%', '%%') },
        ]);
      }),
    );
  });

  it.each<[string, UnitDescription]>([
    ['a prefix that gives a command more rights', { Unit: {}, Service: { ExecStart: [['+/bin/true']] } }],
    ['a program that is found by PATH', { Unit: {}, Service: { ExecStart: [['true']] } }],
    ['a specifier in the name of a program', { Unit: {}, Service: { ExecStart: [['/bin/%n']] } }],
    ['no program at all', { Unit: {}, Service: { ExecStart: [[]] } }],
    ['a line break in a description', { Unit: { Description: 'a\nb' } }],
    ['a description that goes on in the next line', { Unit: { Description: 'a\\' } }],
    ['a NUL in an argument', { Unit: {}, Service: { ExecStart: [['/bin/true', '\0']] } }],
    ['two units as one', { Unit: { Wants: ['a.service b.service'] } }],
    ['a unit of a kind that wherry never needs', { Unit: { Wants: ['a.swap'] } }],
    ['a relative path', { Unit: {}, Mount: { What: 'x' } }],
    ['a line break in a path', { Unit: {}, Mount: { What: '/x\nOptions=suid' } }],
    ['a second word in a setting', { Unit: {}, Service: { Type: 'simple oneshot' } }],
    ['a negative limit', { Unit: {}, Slice: { MemoryMax: -1 } }],
    ['a limit past exact numbers', { Unit: {}, Slice: { MemoryMax: 2 ** 60 } }],
    ['a directive that is not in the table', { Unit: { JobTimeoutAction: 'reboot' } as object }],
    ['a directive of another section', { Unit: { ExecStart: [['/bin/true']] } as object }],
    ['an inherited name', { Unit: { constructor: 'x' } as object }],
    ['a section that is not in the table', { Unit: {}, Install: { Alias: 'x' } } as UnitDescription],
  ])('refuses %s', (_, unit) => {
    expect(() => unitText(unit)).toThrow();
  });

  it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0)(
    'is accepted by systemd-analyze verify',
    () => {
      const directory = mkdtempSync(join(tmpdir(), 'unit-'));
      try {
        const unit = join(directory, 'app.service');
        writeFileSync(
          unit,
          unitText({
            Unit: { Description: '100% of a pod', StartLimitIntervalSec: 0 },
            Service: {
              Type: 'forking',
              GuessMainPID: true,
              RuntimeDirectory: ['x', 'y'],
              ExecStart: [['/bin/sh', '-c', 'echo "$HOME" %n; \\ \'x\'\ny']],
              Restart: 'always',
              RestartSec: 1,
              KillMode: 'mixed',
              OOMPolicy: 'kill',
              DevicePolicy: 'closed',
              LogExtraFields: { WHERRY_POD: 'a "b" %c' },
              CPUQuota: '0.5%',
              MemoryMax: 1n << 25n,
              IOReadBandwidthMax: { paths: ['/var/lib'], limit: 1000 },
            },
          }),
        );
        const { stderr, status } = spawnSync(
          'systemd-analyze',
          ['verify', '--man=no', '--recursive-errors=no', unit],
          {
            encoding: 'utf8',
          },
        );
        expect({
          status,
          complaints: stderr.split('\n').filter((line) => line.includes('app.service:')),
        }).toEqual({
          status: 0,
          complaints: [],
        });
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  );
});
