import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AcName } from '../../../src/image/appc/index.ts';
import { keptEvents } from '../../../src/device/agent/kept-events.ts';
import { DeviceSession } from '../../../src/device/session/index.ts';
import { ConnectionLost } from '../../../src/wire/mqtt/index.ts';
import { decodeEvent } from '../../../src/wire/report/report-codec.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { sampleEvent } from '../../support/sample-messages.ts';
import { MemoryBroker } from '../session/memory-broker.ts';

const topic = 'v1/harbour/d/crane-7/event';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wherry-unsent-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The session of one wherryd after the other, with one broker and one directory in memory. */
function device() {
  const broker = new MemoryBroker();
  const path = join(directory, 'unsent.json');
  const warnings: string[] = [];
  const journal = { log: (level: string, text: string) => level === 'warning' && warnings.push(text) };
  const start = (name = 'crane-7'): DeviceSession => {
    const identity = { fleet: 'harbour' as AcName, device: name as AcName };
    const session = new DeviceSession({
      ...{ ...identity, bootId: 'boot-a', transport: broker.transport() },
      ...{ clock: new FakeClock(), journal, keptEvents: keptEvents(path, identity, journal) },
      policy: { bootSpreadMs: 0 },
    });
    session.start();
    return session;
  };
  const versions = (): number[] =>
    broker.published.flatMap((one) => (one.topic === topic ? [decodeEvent(one.payload).version] : []));
  return { broker, path, warnings, start, versions };
}

describe('an answer that no broker has acknowledged', () => {
  it('[C365] is sent by the next wherryd, once', async () => {
    const { broker, start, versions } = device();
    broker.refuses = new ConnectionLost('unreachable', 'no route');
    const first = start();
    first.publishEvent(sampleEvent({ version: 7 }));
    first.publishEvent(sampleEvent({ version: 8 }));
    await settle();
    expect(versions()).toEqual([]); // and now it is killed: nothing of it is closed
    broker.refuses = undefined;
    const second = start();
    await settle();
    expect(versions()).toEqual([7, 8]);
    await second.close();
    start();
    await settle();
    expect(versions()).toEqual([7, 8]);
  });

  it('[C365] is not sent after the device got another name', async () => {
    const { broker, start } = device();
    broker.refuses = new ConnectionLost('unreachable', 'no route');
    start().publishEvent(sampleEvent({ version: 7 }));
    await settle();
    broker.refuses = undefined;
    start('crane-8');
    await settle();
    expect(broker.published.filter((one) => one.topic.endsWith('/event'))).toEqual([]);
  });

  it('[C365] does not keep wherryd from starting when its file is damaged', async () => {
    const { path, start, versions } = device();
    const own = '"fleet": "harbour", "device": "crane-7"';
    for (const text of ['', '[', '7', '[[]]', '{"a": 1}', `{${own}}`, `{${own}, "events": [[1, {}]]}`]) {
      writeFileSync(path, text);
      const session = start();
      await settle();
      await session.close();
      expect(versions(), text).toEqual([]);
    }
  });

  it('[C365] is sent where it cannot be kept, with a warning', async () => {
    const { path, start, versions, warnings } = device();
    mkdirSync(`${path}.new`);
    start().publishEvent(sampleEvent({ version: 7 }));
    await settle();
    expect(versions()).toEqual([7]);
    expect(warnings).toEqual([expect.stringContaining('is lost if wherryd ends before it is sent')]);
  });
});
