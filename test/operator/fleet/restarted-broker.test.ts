import { afterEach, describe, expect, it } from 'vitest';
import { FleetLink } from '../../../src/operator/fleet/index.ts';
import { MqttTransport, type Transport } from '../../../src/wire/mqtt/index.ts';
import { hasMosquitto, type Mosquitto, mosquittoBroker } from '../../support/real-brokers.ts';
import { systemClock, until } from '../../support/system-clock.ts';

let broker: Mosquitto | undefined;
afterEach(() => broker?.kill());

describe.skipIf(!hasMosquitto)('the link of an operator', () => {
  it.each([4, 5] as const)('is restored when the broker is restarted, over MQTT %i', async (version) => {
    broker = await mosquittoBroker();
    await broker.start();
    const transport = new MqttTransport({ url: broker.url, version });
    const link = await FleetLink.connect({ fleet: 'harbour', transport, clock: systemClock });
    const seen: string[] = [];
    const enough = new AbortController();
    const kept = link.keepConnected(enough.signal, (loss) => void seen.push(loss?.message ?? 'back'));
    await broker.stop();
    await broker.start();
    await until(() => seen.includes('back'));
    enough.abort();
    await kept;
    await link.close();
  });

  it('[C303] is reported as lost once, however often it tries again', async () => {
    const own = (broker = await mosquittoBroker());
    await own.start();
    const real = new MqttTransport({ url: own.url, version: 4 });
    let attempts = 0;
    const transport: Transport = {
      connect: (options) => {
        attempts += 1;
        return real.connect(options);
      },
    };
    const link = await FleetLink.connect({ fleet: 'harbour', transport, clock: systemClock });
    const seen: string[] = [];
    const enough = new AbortController();
    const kept = link.keepConnected(enough.signal, (loss) => void seen.push(loss ? 'lost' : 'back'));
    await own.kill();
    await until(() => attempts >= 4);
    await own.start();
    await until(() => seen.includes('back'));
    enough.abort();
    await kept;
    await link.close();
    expect(seen).toEqual(['lost', 'back']);
  });

  it('does not blame a command for a connection that had ended before', async () => {
    broker = await mosquittoBroker();
    await broker.start();
    const transport = new MqttTransport({ url: broker.url, version: 4 });
    const link = await FleetLink.connect({ fleet: 'harbour', transport, clock: systemClock });
    const ended = new AbortController();
    const kept = link.keepConnected(ended.signal, () => ended.abort());
    await broker.kill();
    await kept;
    const sent = link.publishDesired('crane-7', { version: 1, envelope: new Uint8Array([1]) });
    await expect(sent).rejects.toThrow(/^no connection to the broker: /);
    await link.close();
  });
});
