import { describe, expect, it } from 'vitest';
import { Outbox } from '../../../src/device/session/outbox.ts';
import { type DeploymentEvent } from '../../../src/wire/report/index.ts';
import { decodeEvent } from '../../../src/wire/report/report-codec.ts';
import { sampleReport } from '../../support/sample-messages.ts';

const report = sampleReport();
const event = (version: number, at = 1): DeploymentEvent => ({
  ...{ format: 1, bootId: 'boot-a', at, version, outcome: 'committed' },
});

function versionsOf(outbox: Outbox): number[] {
  const versions: number[] = [];
  for (let next = outbox.next(); next?.kind === 'event'; next = outbox.next()) {
    versions.push(decodeEvent(next.payload).version);
    outbox.acknowledge(next.of, next.payload);
  }
  return versions;
}

describe('the outbox of a device', () => {
  it('has events before the report, the oldest first', () => {
    const outbox = new Outbox();
    outbox.putReport(report);
    outbox.putEvent(event(1));
    outbox.putEvent(event(2));
    expect(versionsOf(outbox)).toEqual([1, 2]);
    expect(outbox.next()).toEqual({ kind: 'report', report });
  });

  it('keeps an event that was replaced while the older one was in flight', () => {
    const outbox = new Outbox();
    outbox.putEvent(event(1));
    const first = outbox.next();
    outbox.putEvent(event(1, 2));
    if (first?.kind === 'event') outbox.acknowledge(first.of, first.payload);
    expect(versionsOf(outbox)).toEqual([1]);
  });

  it('[C175] keeps events of a group and of the device with one version apart', () => {
    const outbox = new Outbox();
    outbox.putEvent(event(1));
    outbox.putEvent({ ...event(1, 2), group: 'kitchen' });
    expect(versionsOf(outbox)).toEqual([1, 1]);
  });

  it('keeps a version as long as its newest event', () => {
    const outbox = new Outbox();
    for (let version = 1; version <= 32; version++) outbox.putEvent(event(version));
    outbox.putEvent(event(1, 2));
    outbox.putEvent(event(33));
    expect(versionsOf(outbox)).toEqual([...Array.from({ length: 30 }, (_, index) => index + 3), 1, 33]);
  });

  it('drops the oldest event beyond 32 versions', () => {
    const outbox = new Outbox();
    for (let version = 1; version <= 34; version++) outbox.putEvent(event(version));
    expect(versionsOf(outbox)).toEqual(Array.from({ length: 32 }, (_, index) => index + 3));
  });

  it('publishes the newest report once for each connection', () => {
    const outbox = new Outbox();
    outbox.begin();
    expect(outbox.next()).toBeUndefined();
    outbox.putReport(report);
    outbox.reportIsSent();
    expect(outbox.next()).toBeUndefined();
    outbox.begin();
    expect(outbox.next()).toMatchObject({ kind: 'report' });
  });
});
