import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  type DeviceView,
  type FleetDirectory,
  type FleetLink,
  onEachMember,
  type Outcome,
} from '../../../src/operator/fleet/index.ts';
import { sampleReport } from '../../support/sample-messages.ts';

const refused: Outcome = { phase: 'refused', code: 'no-space', message: 'the disk is full' };
const committed: Outcome = { phase: 'committed' };
const passedOver: Outcome = { phase: 'superseded', code: 'passed-over', message: 'it has a command' };

const member = (device: string): DeviceView => ({
  ...{ device, events: [], eventCount: 0 },
  report: sampleReport({ device, groups: [{ name: 'kitchen', trustedVersion: 1 }] }),
});

/** The outcome that is kept of a version when its devices answer all at once. */
async function kept(answers: Readonly<Record<string, Outcome>>): Promise<string | undefined> {
  let word: string | undefined;
  const fleet = {
    config: { fleet: 'harbour' },
    async recordOutcome(_target: string, _version: number, outcome: string) {
      // A slow disk: the first write ends last.
      if (outcome === 'committed') for (let turns = 0; turns < 20; turns++) await turn();
      word = outcome;
    },
  } as unknown as FleetDirectory;
  const link = {
    follow: (device: string) => Promise.resolve(answers[device]),
  } as unknown as FleetLink;
  const published = {
    ...{ device: '@kitchen', version: 2, bytes: 1 },
    isKept: () => Promise.resolve(true),
    follow: () => Promise.resolve(committed),
  };
  const members = onEachMember({ fleet, link }, published, 'kitchen', Object.keys(answers).map(member));
  await Promise.all(members.map((one) => one.follow(1000, () => undefined)));
  return word;
}

describe('the outcome of a version for a group', () => {
  it.each([
    ['crane-1 refuses last', { 'crane-0': committed, 'crane-1': refused }],
    ['crane-1 refuses first', { 'crane-1': refused, 'crane-2': committed }],
    ['one passes it over', { 'crane-0': committed, 'crane-1': refused, 'crane-2': passedOver }],
  ])('[C236] is that of the device that failed, when %s', async (_, answers) => {
    expect(await kept(answers)).toBe('refused');
  });

  it('[C236] is that of the devices that committed, and none if all pass it over', async () => {
    expect(await kept({ 'crane-0': committed, 'crane-1': passedOver })).toBe('committed');
    expect(await kept({ 'crane-0': passedOver })).toBeUndefined();
  });
});
