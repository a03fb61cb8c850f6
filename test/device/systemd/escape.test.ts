import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeUnitName, escapeUnitPath } from '../../../src/device/systemd/escape.ts';

const systemdEscape = spawnSync('systemd-escape', ['--version']).status === 0;
const reference = (...args: string[]) =>
  execFileSync('systemd-escape', args, { encoding: 'utf8' }).replace(/\n$/, '');

describe('escaping for unit names', () => {
  it.each([
    ['web', 'web'],
    ['my-pod', 'my\\x2dpod'],
    ['.hidden', '\\x2ehidden'],
    ['a/b c', 'a-b\\x20c'],
    ['ü', '\\xc3\\xbc'],
    ['a\\b', 'a\\x5cb'],
  ])('writes %j as %j', (text, escaped) => {
    expect(escapeUnitName(text)).toBe(escaped);
  });

  it.each([
    ['/', '-'],
    ['/run//wherry/./x/', 'run-wherry-x'],
    ['/a-b', 'a\\x2db'],
  ])('writes the path %j as %j', (path, escaped) => {
    expect(escapeUnitPath(path)).toBe(escaped);
  });

  it.each(['', 'a\0b', '\ud800'])('refuses the name %j', (text) => {
    expect(() => escapeUnitName(text)).toThrow();
  });

  it.each(['run/x', '/run/../etc', ''])('refuses the path %j', (path) => {
    expect(() => escapeUnitPath(path)).toThrow();
  });

  it.runIf(systemdEscape)('agrees with systemd-escape on any name', () => {
    const text = fc
      .string({ minLength: 1, maxLength: 20, unit: 'binary' })
      .filter((s) => !/[\0\n]|\p{Surrogate}/u.test(s));
    // Many at once: a process for each would take a minute.
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 40 }), (names) => {
        expect(names.map(escapeUnitName).join(' ')).toBe(reference('--', ...names));
      }),
      { numRuns: 25 },
    );
  });

  it.runIf(systemdEscape)('agrees with systemd-escape on any path', () => {
    const part = fc
      .string({ minLength: 1, maxLength: 8 })
      .filter((s) => !s.includes('/') && s !== '..' && s !== '.');
    const path = fc.array(part, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`);
    fc.assert(
      fc.property(fc.array(path, { minLength: 1, maxLength: 40 }), (paths) => {
        expect(paths.map(escapeUnitPath).join(' ')).toBe(reference('--path', '--', ...paths));
      }),
      { numRuns: 25 },
    );
  });
});
