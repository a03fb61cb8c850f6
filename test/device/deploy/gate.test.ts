import { describe, expect, it } from 'vitest';
import { type GateFacts, whyWait } from '../../../src/device/deploy/index.ts';
import type { Activation } from '../../../src/wire/trust/index.ts';

const facts: GateFacts = {
  clockTrusted: true,
  bootId: 'this',
  acceptedIn: 'this',
  locks: [],
  approved: false,
  windowOpen: false,
};
const lock = { name: 'harvest', reason: 'the harvester runs', expires: 1001 };
const window: Activation = {
  when: 'window',
  windows: [{ cron: '0 2 * * *', durationSeconds: 3600, timeZone: 'UTC' }],
};

/** The request, what the device knows, and the beginning of the reason to wait. */
const rows: readonly [string, Activation | undefined, Partial<GateFacts>, string | undefined][] = [
  ['a command without a policy begins now', undefined, {}, undefined],
  ['now begins now', { when: 'now' }, {}, undefined],
  [
    'a lock holds a command without a policy',
    undefined,
    { locks: [lock] },
    'the lock harvest holds it until 1970',
  ],
  ['a lock holds an open window', window, { locks: [lock], windowOpen: true }, 'the lock harvest'],
  [
    'a lock that cannot be read holds',
    undefined,
    { locks: [{ name: 'x', reason: 'unreadable' }] },
    'the lock x holds it: unreadable',
  ],
  ['a closed window holds', window, {}, 'no window is open; the next opens at "0 2 * * *" UTC'],
  ['an open window does not', window, { windowOpen: true }, undefined],
  [
    'no window is open while the clock is not set',
    window,
    { windowOpen: true, clockTrusted: false },
    'it may begin',
  ],
  [
    'next-boot holds in the boot in which it came',
    { when: 'next-boot' },
    {},
    'it begins after the next boot',
  ],
  ['next-boot begins in another boot', { when: 'next-boot' }, { acceptedIn: 'last' }, undefined],
  ['approval holds until it is there', { when: 'approval' }, {}, 'it awaits approval: "wherry approve 7"'],
  ['an approved version begins', { when: 'approval' }, { approved: true }, undefined],
  ['force goes past a lock', { when: 'now', force: true }, { locks: [lock] }, undefined],
  ['force goes past a window', { ...window, force: true }, { locks: [lock], clockTrusted: false }, undefined],
];

describe('an activation [C170] [C171]', () => {
  it.each(rows)('%s', (_name, activation, change, expected) => {
    const why = whyWait(activation, 7, { ...facts, ...change });
    if (expected === undefined) expect(why).toBeUndefined();
    else expect(why).toMatch(new RegExp(`^${expected.replaceAll(/[*?.]/g, '\\$&')}`));
  });
});
