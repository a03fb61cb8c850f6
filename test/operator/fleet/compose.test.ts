import { describe, expect, it } from 'vitest';
import { nextVersion, rollbackTarget } from '../../../src/operator/fleet/compose.ts';
import { progressOf, type DeviceView, foldMessage } from '../../../src/operator/fleet/device-view.ts';
import {
  type DeviceReport,
  encodeEvent,
  encodePresence,
  encodeReport,
} from '../../../src/wire/report/index.ts';
import type { DeploymentReport } from '../../../src/wire/report/deployment-report.ts';
import { sampleEvent, sampleReport } from '../../support/sample-messages.ts';

describe('the next version', () => {
  const highest = Number.MAX_SAFE_INTEGER;
  const root = { version: 2, expires: 2_000_000_000 };
  const committed = (version: number) => ({ trustedVersion: version, currentVersion: version });

  it.each([
    ['is 1 for a new device', [], committed(0), 1],
    ['is 1 for a device that never reported', [], undefined, 1],
    ['follows what was published from here', [{ version: 4 }, { version: 7 }], committed(3), 8],
    ['follows what the device trusted, when another operator was ahead', [{ version: 4 }], committed(11), 12],
    [
      'follows what runs on a device without a root',
      [{ version: 4 }],
      { trustedVersion: 0, currentVersion: 11 },
      12,
    ],
    [
      "follows the history when a new root made an attacker's highest version void, though it runs",
      [{ version: 41 }],
      { trustedVersion: 0, currentVersion: highest, root },
      42,
    ],
    [
      'follows what the device with a new root trusted since, while the highest version runs',
      [{ version: 41 }],
      { trustedVersion: 43, currentVersion: highest, root },
      44,
    ],
  ])('%s', (_name, history, report, expected) => {
    expect(nextVersion('crane-7', history, report)).toBe(expected);
  });

  it.each([
    ['a device trusts the highest one', [{ version: 41 }], { ...committed(highest), root }],
    ['a device without a root does', [{ version: 41 }], committed(highest)],
    ['it was published from here', [{ version: highest }], { ...committed(0), root }],
  ])('[C84] is refused when %s, with what to do', (_name, history, report) => {
    const next = () => nextVersion('crane-7', history, report);
    expect(next).toThrow(/^there is no version after 9007199254740991, which .*crane-7/);
    expect(next).toThrow(/trust root rotate --drop/);
    expect(next).toThrow(expect.objectContaining({ code: 'version-older' }));
  });
});

describe('a rollback', () => {
  const history = [
    { version: 1, outcome: 'committed' },
    { version: 2, outcome: 'committed' },
    { version: 3, outcome: 'rolled-back' },
    { version: 4, outcome: 'committed' },
    { version: 5, outcome: 'refused' },
  ] as const;

  it('goes to the last good version before the running one', () => {
    expect(rollbackTarget(history, 4)).toBe(2);
    expect(rollbackTarget(history, 2)).toBe(1);
  });

  it('finds the running version in the history when the device has not reported', () => {
    expect(rollbackTarget(history, undefined)).toBe(2);
  });

  it('prefers a version with an unknown outcome to none', () => {
    expect(rollbackTarget([{ version: 1 }, { version: 2, outcome: 'committed' }], 2)).toBe(1);
  });

  it('reports that there is no earlier version', () => {
    expect(() => rollbackTarget([], undefined)).toThrow(/nothing was published from here/);
    expect(() => rollbackTarget(history.slice(0, 1), 1)).toThrow(/no earlier version.*1 committed/);
  });
});

describe('the progress of a version', () => {
  const view = (deployment: DeploymentReport | undefined, currentVersion = 3): DeviceView => ({
    device: 'crane-7',
    events: [],
    eventCount: 0,
    report: sampleReport({ currentVersion, ...(deployment === undefined ? {} : { deployment }) }),
  });

  it('is unknown until the device reports it', () => {
    expect(progressOf({ device: 'crane-7', events: [], eventCount: 0 }, 4, 0)).toEqual({ phase: 'waiting' });
    expect(progressOf(view({ version: 3, phase: 'committed' }), 4, 0)).toEqual({ phase: 'waiting' });
  });

  it('has the bytes of a download while it runs', () => {
    const fetching = { phase: 'fetch', receivedBytes: 1, totalBytes: 2 } as const;
    expect(progressOf(view({ version: 4, ...fetching }), 4, 0)).toEqual(fetching);
  });

  it('ends with the first of event, report or running version', () => {
    expect(
      progressOf({ ...view(undefined), events: [sampleEvent({ version: 4 })], eventCount: 1 }, 4, 0),
    ).toEqual({
      phase: 'committed',
    });
    expect(progressOf(view({ version: 4, phase: 'committed' }), 4, 0)).toEqual({ phase: 'committed' });
    expect(progressOf(view(undefined, 4), 4, 0)).toEqual({ phase: 'committed' });
  });

  it('ends with the reason of the device', () => {
    const failed = {
      version: 4,
      phase: 'rolled-back',
      code: 'probation-failed',
      message: 'it died',
    } as const;
    expect(progressOf(view(failed), 4, 0)).toEqual({
      phase: 'rolled-back',
      code: 'probation-failed',
      message: 'it died',
    });
  });

  it('keeps an unknown code of a later release in the message', () => {
    const failed = { version: 4, phase: 'refused', code: 'moon-too-full', message: 'it is' } as const;
    expect(progressOf(view(failed), 4, 0)).toMatchObject({
      code: 'internal',
      message: 'it is (moon-too-full)',
    });
  });

  it('counts a refusal without a version only if it arrived after the command', () => {
    const events = [sampleEvent({ version: 0, outcome: 'refused', code: 'key-unknown', message: 'who?' })];
    expect(progressOf({ ...view(undefined), events, eventCount: 1 }, 4, 1)).toEqual({ phase: 'waiting' });
    expect(progressOf({ ...view(undefined), events, eventCount: 1 }, 4, 0)).toMatchObject({
      phase: 'refused',
      code: 'key-unknown',
    });
  });

  it('is superseded when the device is at a later one', () => {
    const later = { ...view(undefined), report: sampleReport({ trustedVersion: 5, deployment: { version: 5, phase: 'fetch' } }) }; // prettier-ignore
    expect(progressOf(later, 4, 0)).toMatchObject({ phase: 'superseded' });
  });

  it('[C175] distinguishes a version of a group from the same version of the device', () => {
    const own = view({ version: 4, phase: 'committed' }, 4);
    expect(progressOf(own, 4, 0, 'kitchen')).toEqual({ phase: 'waiting' });
    const groups = [{ name: 'kitchen', trustedVersion: 4 }];
    const end = { version: 4, group: 'kitchen', phase: 'committed' } as const;
    const report = sampleReport({ currentVersion: 4, group: 'kitchen', groups, deployment: end });
    const events = [sampleEvent({ version: 4, group: 'kitchen' })];
    for (const seen of [
      { ...own, report },
      { ...own, report: sampleReport(), events, eventCount: 1 },
    ]) {
      expect(progressOf(seen, 4, 0, 'kitchen')).toEqual({ phase: 'committed' });
      expect(progressOf(seen, 4, 0)).toEqual({ phase: 'waiting' });
    }
  });

  it('[C177] recognises a withdrawal from the report alone', () => {
    const report = sampleReport({ trustedVersion: 4, withdrawn: true });
    expect(progressOf({ ...view(undefined), report }, 4, 0)).toEqual({ phase: 'committed' });
  });

  it('[C84] is awaited while the device runs a higher version that a new root voided', () => {
    const version = Number.MAX_SAFE_INTEGER;
    const report = sampleReport({
      trustedVersion: 0,
      currentVersion: version,
      root: { version: 2, expires: 2_000_000_000 },
      deployment: { version, phase: 'committed' },
    });
    expect(progressOf({ ...view(undefined), report }, 4, 0)).toEqual({ phase: 'waiting' });
  });
});

describe('the view of a device', () => {
  const empty: DeviceView = { device: 'crane-7', events: [], eventCount: 0 };

  it('is built from its messages', () => {
    const presence = { format: 1, bootId: 'boot-a', connection: 1, up: true } as const;
    const steps = [
      ['reported', encodeReport(sampleReport())],
      ['live', encodePresence(presence)],
      ['event', encodeEvent(sampleEvent())],
    ] as const;
    const view = steps.reduce((seen, [kind, payload]) => foldMessage(seen, kind, payload), empty);
    expect(view).toEqual({
      device: 'crane-7',
      report: sampleReport(),
      presence,
      events: [sampleEvent()],
      eventCount: 1,
    });
  });

  it.each<[string, Partial<DeviceReport>, boolean]>([
    ['an older one of the same wherryd', { seq: 4, at: 99 }, false],
    ['an older one of the same second', { seq: 4, at: 100 }, false],
    ['a later one', { seq: 6, at: 100 }, true],
    ['a later one of a clock that was set back', { seq: 6, at: 50 }, true],
    ['the first of a wherryd that was restarted', { seq: 1, at: 101 }, true],
    ['the first of another boot, whose clock is wrong', { bootId: 'boot-b', seq: 1, at: 7 }, true],
  ])('after a report, %s counts or not [C242]', (_, changes, counts) => {
    const known = sampleReport({ seq: 5, at: 100, currentVersion: 8 });
    const next = sampleReport({ seq: 5, at: 100, currentVersion: 9, ...changes });
    const seen = [known, next].reduce(
      (view, report) => foldMessage(view, 'reported', encodeReport(report)),
      empty,
    );
    expect(seen.report?.currentVersion).toBe(counts ? 9 : 8);
  });

  it('recognises a refusal without a version after more events than it keeps', () => {
    const noise = encodeEvent(sampleEvent({ version: 3 }));
    const refusal = encodeEvent(
      sampleEvent({ version: 0, outcome: 'refused', code: 'key-unknown', message: 'a stranger' }),
    );
    let seen = empty;
    for (let count = 0; count < 70; count++) seen = foldMessage(seen, 'event', noise);
    const before = seen.eventCount;
    expect(progressOf(foldMessage(seen, 'event', refusal), 4, before)).toMatchObject({
      phase: 'refused',
      code: 'key-unknown',
    });
  });

  it('keeps its content when a device sends an invalid message, and reports that', () => {
    const before = foldMessage(empty, 'reported', encodeReport(sampleReport()));
    const after = foldMessage(before, 'reported', Buffer.from('nonsense'));
    expect(after.report).toEqual(sampleReport());
    expect(after.unreadable).toMatch(/cannot be read/);
  });
});
