import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Supervisor } from '../../../src/device/agent/supervisor.ts';
import { DeviceSession } from '../../../src/device/session/index.ts';
import { CountedTransport, noTraffic } from '../../../src/device/simulated/traffic.ts';
import { MqttTransport } from '../../../src/wire/mqtt/index.ts';
import { deviceTopics } from '../../../src/wire/report/index.ts';
import { desiredState as desired } from '../../support/desired.ts';
import { sampleReport } from '../../support/sample-messages.ts';
import { systemClock, until } from '../../support/system-clock.ts';
import { WorldModel } from '../../support/world-model.ts';

/**
 * The parts of wherryd that live long, with a real broker and a world in memory: takes commands and
 * loses its connection, and prints its private memory before and after. Arguments: the address of
 * the broker, commands, reconnects. Node needs --expose-gc.
 */
const [url = '', ...counts] = process.argv.slice(2);
const [commands = 0, reconnects = 0] = counts.map(Number);

/** Remembers no calls: they are the test's memory, not wherryd's. */
class ForgetfulWorld extends WorldModel {
  forget(): void {
    this.calls.length = 0;
    this.reserved.length = 0;
  }
}

function privateBytes(): number {
  for (let round = 0; round < 4; round++) globalThis.gc?.();
  const rollup = readFileSync('/proc/self/smaps_rollup', 'utf8');
  const kilobytes = [...rollup.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)].map(([, text]) =>
    Number(text),
  );
  return 1024 * kilobytes.reduce((sum, one) => sum + one, 0);
}

function writtenBytes(): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

const world = new ForgetfulWorld();
const transport = new CountedTransport(new MqttTransport({ url, version: 4 }), noTraffic());
let connections = 0;
let committed = 0;
let seq = 0;
const session = new DeviceSession({
  fleet: 'harbour',
  device: 'crane-7',
  bootId: 'boot',
  transport,
  clock: systemClock,
  journal: { log: () => undefined },
  policy: { bootSpreadMs: 0, windowMs: 1, baseMs: 1, capMs: 2 },
});
const supervisor: Supervisor = new Supervisor({
  keeper: world,
  world,
  clock: systemClock,
  journal: { log: () => undefined },
  bootId: 'boot',
  examine: (message, { trusted }) => {
    const version = Number(Buffer.from(message).toString());
    return Promise.resolve({
      outcome: version === trusted.version ? 'same' : 'new',
      desired: desired(version, `content-${version % 2}`),
      payloadSha256: createHash('sha256').update(message).digest('hex'),
      signedBy: ['key'],
    });
  },
  onChange: () => {
    const { deployment } = supervisor;
    session.publishReport({
      ...sampleReport(),
      seq: ++seq,
      ...(deployment === undefined ? {} : { deployment }),
    });
  },
  onRest: () => undefined,
  onEvent: (event) => {
    if (event.outcome === 'committed') committed += 1;
    session.publishEvent(event);
  },
  onAccepted: () => undefined,
  onRepeated: () => session.repeatReport(),
});
session.onDesired((message, group) => supervisor.receive(message, group));
session.onConnection(({ up }) => (connections += up ? 1 : 0));
session.start();
await until(() => connections > 0);

const operator = await new MqttTransport({ url, version: 4 }).connect({
  clientId: 'operator',
  keepaliveSeconds: 300,
  onMessage: () => undefined,
});
const { desired: topic } = deviceTopics('harbour', 'crane-7');
let version = 0;
async function take(count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const wanted = committed + 1;
    await operator.publish({ topic, payload: Buffer.from(String(++version)) }, { retain: true });
    while (committed < wanted) await sleep(1);
    world.forget();
  }
}
async function reconnect(count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const wanted = connections + 1;
    transport.cut();
    while (connections < wanted) await sleep(1);
  }
}

// What a first thousand compiles and fills is not growth.
await take(Math.min(1000, commands));
await reconnect(Math.min(100, reconnects));
const before = { private: privateBytes(), written: writtenBytes() };
await take(commands);
const between = privateBytes();
await reconnect(reconnects);
const after = { private: privateBytes(), written: writtenBytes() };
process.stdout.write(
  `${JSON.stringify({
    beforeBytes: before.private,
    afterCommandsBytes: between,
    afterBytes: after.private,
    writtenBytes: after.written - before.written,
    committed,
  })}\n`,
);
process.exit(0);
