import { statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Refusal } from '../../../src/core/refusal/index.ts';
import { logFailure } from '../../../src/device/agent/log-failure.ts';

function logged(error: unknown) {
  const lines: unknown[] = [];
  const code = logFailure({ log: (...line) => void lines.push(line) }, 'wherryd cannot run', error);
  return { code, lines };
}

function failureOfDisk(): unknown {
  try {
    return statSync('/proc/self/no-such-file');
  } catch (error) {
    return error;
  }
}

it.each([
  [
    'a refusal',
    new Refusal('state-unreadable', 'both are damaged'),
    'state-unreadable',
    /: both are damaged$/,
  ],
  ['a failure of the disk', failureOfDisk(), 'disk-failed', /no-such-file: no such file.*; check the disk/],
  ['a bug', new TypeError('x is undefined'), 'internal', /TypeError: x is undefined\n +at /],
])('%s is logged with its code, which is returned', (_, error, code, message) => {
  expect(logged(error)).toEqual({
    code,
    lines: [['error', expect.stringMatching(message) as string, { WHERRY_CODE: code }]],
  });
});
