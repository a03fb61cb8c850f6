import { describe, expect, it } from 'vitest';
import { brokerNotes } from '../../../../src/cli/commands/operator/broker-notes.ts';
import { renderStatus } from '../../../../src/cli/commands/operator/status.ts';
import type { BrokerComparison } from '../../../../src/operator/fleet/index.ts';
import { sampleReport } from '../../../support/sample-messages.ts';

const plain = { hasColour: false };
const comparison = (changes: Partial<BrokerComparison>): BrokerComparison => ({
  device: 'crane-7',
  version: 15,
  versions: [14, 15],
  memory: { keeps: 'newest' },
  ...changes,
});

describe('differences between the broker and the fleet directory', () => {
  it.each<[string, Partial<BrokerComparison>, RegExp | undefined]>([
    ['keeps what was published', {}, undefined],
    [
      'was given a lost command again',
      { memory: { keeps: 'nothing' }, repeated: 'kept' },
      /^crane-7: the broker lost version 15, .*: it was published again$/,
    ],
    [
      'does not keep it',
      { memory: { keeps: 'older', version: 14 }, repeated: 'not-kept' },
      /forgot version 15 and keeps version 14: .* check what this account may write/,
    ],
    [
      'lost what expired',
      { memory: { keeps: 'nothing' }, repeated: 'expired' },
      /it has expired; deploy again$/,
    ],
    [
      'never had it',
      { memory: { keeps: 'nothing' }, repeated: 'unsent' },
      /version 15 did not reach the broker/,
    ],
    [
      'lost what is out of date',
      { memory: { keeps: 'nothing' }, repeated: 'foreign' },
      /a newer version of another fleet directory has been trusted/,
    ],
    [
      'keeps a newer one',
      { memory: { keeps: 'newer', version: 16 } },
      /keeps version 16, which was not published from/,
    ],
    ['keeps another one', { memory: { keeps: 'other', version: 15 } }, /keeps another version 15/],
    [
      'keeps noise',
      { memory: { keeps: 'unreadable' }, repeated: 'kept' },
      /not a command .* who may publish there/,
    ],
  ])('%s', (_, changes, words) => {
    const notes = brokerNotes(comparison(changes));
    if (words === undefined) expect(notes).toEqual([]);
    else expect(notes).toEqual([expect.stringMatching(words)]);
  });

  const refused = {
    version: 14,
    code: 'version-older',
    message: 'version 14 is older than 15',
    at: 1,
  } as const;
  it.each<[string, BrokerComparison | undefined, RegExp]>([
    [
      'forgot the newer one',
      comparison({ memory: { keeps: 'older', version: 14 }, repeated: 'kept' }),
      /older than 15; the broker forgot version 15 and offered the older one, as after a crash; this is not a replay/,
    ],
    ['keeps the newer one', comparison({}), /older than 15; .* or somebody sent the old one again/],
    [
      'was asked by another directory',
      comparison({ versions: [15] }),
      /was not published from this fleet directory/,
    ],
    ['was not asked', undefined, /\(version-older\): version 14 is older than 15$/m],
  ])('explains an old command that a device refused: the broker %s', (_, found, words) => {
    const view = { device: 'crane-7', report: sampleReport({ refused }), events: [], eventCount: 0 };
    expect(renderStatus(plain, [view], found === undefined ? [] : [found])).toMatch(words);
  });

  it('explains an old command of a group by the commands of that group', () => {
    const report = sampleReport({ refused: { ...refused, group: 'kitchen' } });
    const view = { device: 'crane-7', report, events: [], eventCount: 0 };
    const ofGroup = comparison({ device: '@kitchen', memory: { keeps: 'older', version: 14 } });
    expect(renderStatus(plain, [view], [comparison({ versions: [15] }), ofGroup])).toMatch(
      /refused version kitchen:14 .* offered the older one, as after a crash; this is not a replay/,
    );
  });

  it('[C157] names the address in use of a device that has several brokers', () => {
    const broker = { url: 'mqtts://b.example:8883', at: 2, of: 2 };
    const view = { device: 'crane-7', report: sampleReport({ broker }), events: [], eventCount: 0 };
    const presence = { format: 1, bootId: 'boot-a', connection: 1, up: true } as const;
    const words = 'the broker mqtts://b.example:8883, address 2 of 2';
    expect(renderStatus(plain, [{ ...view, presence }])).toContain(`crane-7: uses ${words}`);
    expect(renderStatus(plain, [view])).toContain(`crane-7: used ${words}`);
  });

  it('names a connected device whose reports do not arrive', () => {
    const presence = { format: 1, bootId: 'boot-a', connection: 1, up: true } as const;
    const view = { device: 'crane-7', events: [], eventCount: 0 };
    expect(renderStatus(plain, [{ ...view, presence }])).toMatch(/crane-7 +up +- +reports do not arrive/);
    expect(renderStatus(plain, [view])).toMatch(/crane-7 +unknown +- +no report/);
  });
});
