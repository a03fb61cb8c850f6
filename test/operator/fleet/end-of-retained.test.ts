import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetLink } from '../../../src/operator/fleet/index.ts';
import { EndMarks } from '../../../src/operator/fleet/end-marks.ts';
import { type Connection, MqttTransport } from '../../../src/wire/mqtt/index.ts';
import { encodePresence, encodeReport } from '../../../src/wire/report/index.ts';
import { hasMosquitto, mosquittoBroker, type RealBroker } from '../../support/real-brokers.ts';
import { sampleReport } from '../../support/sample-messages.ts';
import { systemClock } from '../../support/system-clock.ts';

/** A clock that stands still: every delay lasts until it is aborted. */
const standing = {
  nowMs: () => 0,
  monotonicMs: () => 0,
  sleep: (_ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((_resolve, reject) => {
      const abort = (): void => reject(signal?.reason as Error);
      if (signal?.aborted === true) abort();
      signal?.addEventListener('abort', abort, { once: true });
    }),
};

describe.runIf(hasMosquitto)('the retained messages of Mosquitto', () => {
  let broker: RealBroker;
  let devices: Connection;
  /** Of QoS 1, Mosquitto would queue 1,000 messages and drop the others. */
  const count = 600;

  beforeAll(async () => {
    broker = await mosquittoBroker();
    await broker.start();
    const transport = new MqttTransport({ url: broker.url, version: 4 });
    devices = await transport.connect({
      ...{ clientId: 'devices', keepaliveSeconds: 300, onMessage: () => undefined },
    });
    const presence = encodePresence({ format: 1, bootId: 'a', connection: 1, up: true });
    const messages = Array.from({ length: count }, (_, number) => `crane-${number}`).flatMap((device) => [
      { topic: `v1/harbour/d/${device}/reported`, payload: encodeReport(sampleReport({ device })) },
      { topic: `v1/harbour/d/${device}/live`, payload: presence },
    ]);
    await Promise.all(messages.map((message) => devices.publish(message, { retain: true })));
  });
  afterAll(async () => {
    await devices.close();
    await broker.kill();
  });

  it.each([4, 5] as const)(
    '[C226] are read to their end without a wait, over MQTT version %i',
    async (version) => {
      const transport = new MqttTransport({ url: broker.url, version });
      const link = await FleetLink.connect({ fleet: 'harbour', transport, clock: standing });
      await link.listen('all', ['crane-3', 'never-heard-of'], { once: true });
      const views = link.views();
      expect(views.length).toBe(count);
      expect(views.every(({ report, presence }) => report !== undefined && presence?.up === true)).toBe(true);
      await link.close();
    },
  );

  it('[C226] are complete for a client that stays, too', async () => {
    const transport = new MqttTransport({ url: broker.url, version: 4 });
    const link = await FleetLink.connect({ fleet: 'harbour', transport, clock: standing });
    await link.listen('all');
    expect(link.views().filter(({ report, presence }) => report && presence).length).toBe(count);
    await link.close();
  });

  it('[C226] are followed by later messages for a client that stays', async () => {
    const transport = new MqttTransport({ url: broker.url, version: 4 });
    const link = await FleetLink.connect({ fleet: 'pier', transport, clock: standing });
    await link.listen('all', ['buoy-1']);
    expect(link.views()).toEqual([]);
    const heard = new Promise<string>((resolve) =>
      link.onChange(({ device }) => device !== '' && resolve(device)),
    );
    await devices.publish(
      { topic: 'v1/pier/d/buoy-1/reported', payload: encodeReport(sampleReport({ device: 'buoy-1' })) },
      { retain: false },
    );
    expect(await heard).toBe('buoy-1');
    await link.close();
  });
});

describe.runIf(hasMosquitto)(
  'messages that Mosquitto drops because too many are queued for one client',
  () => {
    it('[C226] are requested again by name, so the list is complete', async () => {
      const count = 1500;
      // Together more than the sockets hold, so messages are queued in Mosquitto.
      const detail = 'x'.repeat(1500);
      const capabilities = Array.from({ length: 8 }, (_, index) => ({
        ...{ name: `ability-${index}`, available: true, detail },
      }));
      const broker = await mosquittoBroker('max_queued_messages 100');
      await broker.start();
      const transport = new MqttTransport({ url: broker.url, version: 4 });
      const devices = await transport.connect({
        ...{ clientId: 'devices', keepaliveSeconds: 300, onMessage: () => undefined },
      });
      const presence = encodePresence({ format: 1, bootId: 'a', connection: 1, up: true });
      const messages = Array.from({ length: count }, (_, number) => `crane-${number}`).flatMap((device) => [
        {
          topic: `v1/harbour/d/${device}/reported`,
          payload: encodeReport(sampleReport({ device, capabilities })),
        },
        { topic: `v1/harbour/d/${device}/live`, payload: presence },
      ]);
      await Promise.all(messages.map((message) => devices.publish(message, { retain: true })));
      const link = await FleetLink.connect({ fleet: 'harbour', transport, clock: systemClock });
      await link.listen('all', [], { once: true });
      expect(link.views().filter(({ report, presence: live }) => report && live).length).toBe(count);
      await link.close();
      await devices.close();
      await broker.kill();
    });
  },
);

describe('the mark of an end', () => {
  it('[C226] is the version of Mosquitto alone, and no message of a device', () => {
    const marks = new EndMarks();
    const topic = '$SYS/broker/version';
    expect(marks.receive({ topic, payload: Buffer.from('another broker 1.0') })).toBe(true);
    expect(marks.areGiven).toBe(false);
    expect(marks.receive({ topic: 'v1/harbour/d/a/live', payload: Buffer.from('mosquitto version 2') })).toBe(
      false,
    );
    expect(marks.areGiven).toBe(false);
    expect(marks.receive({ topic, payload: Buffer.from('mosquitto version 2.0.11') })).toBe(true);
    expect(marks.areGiven).toBe(true);
  });
});
