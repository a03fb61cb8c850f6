import { describe, expect, it } from 'vitest';
import {
  deviceLine,
  type DeviceFilter,
  isWanted,
  summarise,
  type DeviceView,
} from '../../../src/operator/fleet/index.ts';
import { sampleReport } from '../../support/sample-messages.ts';

const view = (device: string, changes: Partial<DeviceView> = {}): DeviceView => ({
  device,
  events: [],
  eventCount: 0,
  presence: { format: 1, bootId: 'a', connection: 1, up: true },
  report: sampleReport({ device }),
  ...changes,
});
const failed = { version: 4, phase: 'rolled-back', code: 'probation-failed', message: 'web ended' } as const;
const lines = [
  view('crane-1'),
  view('crane-2', { report: sampleReport({ deployment: failed }) }),
  view('crane-3', { presence: { format: 1, bootId: 'a', connection: 1, up: false } }),
  { device: 'pump-1', events: [], eventCount: 0 },
].map(deviceLine);

describe('the summary of a fleet', () => {
  it('counts devices by each property, the most frequent first', () => {
    expect(summarise(lines)).toEqual({
      devices: 4,
      links: [
        { value: 'up', devices: 2 },
        { value: 'down', devices: 1 },
        { value: 'unknown', devices: 1 },
      ],
      versions: [
        { value: '3', devices: 3 },
        { value: 'unknown', devices: 1 },
      ],
      groups: [],
      phases: [
        { value: '-', devices: 3 },
        { value: 'rolled-back', devices: 1 },
      ],
      health: [{ value: '-', devices: 4 }],
      codes: [{ value: 'probation-failed', devices: 1 }],
      certificates: 0,
    });
  });

  it('[C224] counts devices whose client certificate must be renewed', () => {
    const detail = 'the client certificate expires at 2026-01-02T00:00:00.000Z';
    const having = (available: boolean) =>
      deviceLine(
        view('crane-5', {
          report: sampleReport({ capabilities: [{ name: 'lasting-certificate', available, detail }] }),
        }),
      );
    expect(having(false)).toMatchObject({ certificate: detail });
    expect(having(true)).not.toHaveProperty('certificate');
    expect(summarise([...lines, having(true), having(false)])).toMatchObject({ certificates: 1 });
  });

  it('[C178] filters by group and labels, and names the group whose version runs', () => {
    const groups = [{ name: 'kitchen', trustedVersion: 5 }];
    const labels = [{ name: 'site', value: 'pier 4' }];
    const inKitchen = deviceLine(
      view('crane-4', { report: sampleReport({ group: 'kitchen', groups, labels }) }),
    );
    const wanted = (filter: DeviceFilter) =>
      [...lines, inKitchen].filter((line) => isWanted(line, filter)).map(({ device }) => device);
    expect(wanted({ group: 'kitchen' })).toEqual(['crane-4']);
    expect(wanted({ label: ['site=pier 4'] })).toEqual(['crane-4']);
    expect(wanted({ group: 'kitchen', label: ['site=pier 4', 'floor=2'] })).toEqual([]);
    expect(summarise([inKitchen])).toMatchObject({
      versions: [{ value: 'kitchen:3', devices: 1 }],
      groups: [{ value: 'kitchen', devices: 1 }],
    });
  });

  it.each([
    [{ link: 'down' }, ['crane-3']],
    [{ code: 'probation-failed' }, ['crane-2']],
    [{ prefix: 'crane', version: 3 }, ['crane-1', 'crane-2', 'crane-3']],
    [{ version: 0 }, ['pump-1']],
    [{}, ['crane-1', 'crane-2', 'crane-3', 'pump-1']],
  ])('is of those that are %j', (filter, names) => {
    expect(lines.filter((line) => isWanted(line, filter)).map(({ device }) => device)).toEqual(names);
  });
});
