import { expect, it } from 'vitest';
import { logLoss } from '../../../src/device/session/loss-journal.ts';
import { ConnectionLost } from '../../../src/wire/mqtt/index.ts';

it.each([
  ['closed', 'broker-unreachable'],
  ['credentials', 'broker-refused'],
] as const)('a connection that ended as %s is logged with %s', (reason, code) => {
  const entries: unknown[] = [];
  const journal = { log: (...entry: unknown[]) => entries.push(entry) };
  logLoss(journal, new ConnectionLost(reason, 'the end'), 1_001, 12.4);
  expect(entries).toEqual([
    [
      'warning',
      'no connection to the broker: the end; next attempt in 2 s',
      { WHERRY_CODE: code, WHERRY_REASON: reason, WHERRY_LASTED_MS: 12 },
    ],
  ]);
});
