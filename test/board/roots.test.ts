import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changeRoot } from '../../src/operator/fleet/index.ts';
import { type Connection, MqttTransport } from '../../src/wire/mqtt/index.ts';
import {
  type DeploymentEvent,
  type DeviceReport,
  deviceTopics,
  rootTopic,
} from '../../src/wire/report/index.ts';
import { decodeEvent, decodeReport } from '../../src/wire/report/report-codec.ts';
import {
  type DesiredState,
  encodeDesiredState,
  encodeEnvelope,
  encodeRoot,
  type RootDocument,
} from '../../src/wire/trust/index.ts';
import { fingerprintOf } from '../../src/wire/trust/sign.ts';
import { openGnuPg, type GnuPg } from '../support/gnupg.ts';
import { type Mosquitto, mosquittoBroker } from '../support/real-brokers.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, device, fleet, Scene } from './scene.ts';

/** A board whose root of trust holds GnuPG keys and is sent over Mosquitto. */
describe.each(oneBoard)('on %s', (boardName) => {
  let scene: Scene;
  let broker: Mosquitto;
  let operator: Connection;
  let gpg: GnuPg;
  let image: BuiltImage;
  let first: RootDocument;
  let second: RootDocument;
  const people: Record<string, string> = {};
  const topics = deviceTopics(fleet, device);
  const events: DeploymentEvent[] = [];
  let report: DeviceReport | undefined;
  let changed: () => void = () => undefined;

  const waitFor = async <T>(what: string, look: () => T | undefined): Promise<T> => {
    const deadline = Date.now() + 240_000;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (Date.now() > deadline) {
        const log = await scene.board.journal('-u wherryd -u wherry-examine -n 60 -o cat');
        throw new Error(
          `${what} did not come; events ${JSON.stringify(events)}; ${JSON.stringify(report)}\n${log}`,
        );
      }
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, 2000);
        changed = () => {
          clearTimeout(timer);
          wake();
        };
      });
    }
  };
  const listen = async (): Promise<void> => {
    operator = await new MqttTransport({ url: broker.url, version: 4 }).connect({
      clientId: `operator-${Date.now()}`,
      keepaliveSeconds: 60,
      onMessage: ({ topic, payload }) => {
        if (topic === topics.event) events.push(decodeEvent(payload));
        if (topic === topics.reported) report = decodeReport(payload);
        changed();
      },
    });
    await operator.subscribe([topics.event, topics.reported]);
  };
  const signed = (payload: Uint8Array, ...names: readonly string[]): Uint8Array =>
    encodeEnvelope({ payload, signatures: names.map((name) => gpg.sign(payload, people[name] ?? '')) });
  const send = async (desired: DesiredState, ...names: readonly string[]): Promise<void> => {
    const payload = signed(encodeDesiredState(desired), ...names);
    await operator.publish({ topic: topics.desired, payload }, { retain: true });
  };
  const publishRoot = async (
    version: number,
    root: RootDocument,
    ...names: readonly string[]
  ): Promise<void> => {
    const payload = signed(encodeRoot(root), ...names);
    await operator.publish({ topic: rootTopic(fleet, version), payload }, { retain: true });
  };
  const answer = (version: number) =>
    waitFor(`the answer to ${version}`, () => events.find((event) => event.version === version));
  const refusal = async (before: number): Promise<string> => {
    const event = await waitFor('a refusal', () =>
      events.slice(before).find(({ outcome }) => outcome === 'refused'),
    );
    return 'code' in event ? event.code : '';
  };
  const onRoot = (version: number) =>
    waitFor(`root ${version}`, () => (report?.root?.version === version ? report : undefined));
  /** Kills wherryd, if need be when it runs again, and forgets what it reported. */
  const killWherryd = async () => {
    await scene.board.waitFor('pid=$(systemctl show -P MainPID wherryd); test "$pid" != 0 && kill -9 "$pid"');
    report = undefined;
  };
  const pod = () => scene.desired([{ name: 'web', image }]);

  beforeAll(async () => {
    gpg = openGnuPg();
    broker = await mosquittoBroker('persistence false');
    await broker.start();
    for (const name of ['alice', 'bob', 'carol', 'early', 'late', 'next'])
      people[name] = gpg.newKey(name, 'ed25519');
    scene = await Scene.start(boardName);
    await listen();
    const toml = `fleet = "${fleet}"\ndevice = "${device}"\n[broker]\nurl = "mqtt://10.0.2.2:${broker.port}"\nboot_spread_seconds = 0\n`;
    await scene.board.copyIn(Buffer.from(toml), '/etc/wherry/wherry.toml');
    await scene.board.check('sync; systemctl restart wherryd');
    image = await scene.image('busybox', ['/usr/bin/busybox', 'sh', '-c', 'while sleep 1; do :; done']);

    const now = Math.floor(Date.now() / 1000);
    const key = (name: string) => ({
      fingerprint: (people[name] ?? '').toLowerCase(),
      armored: gpg.export(people[name] ?? ''),
    });
    const images = {
      fingerprint: await fingerprintOf(scene.imageKey.publicKey),
      armored: scene.imageKey.publicKey,
    };
    const terms = { fleet, issued: now, expires: now + 86_400 };
    first = changeRoot(undefined, { ...terms, version: 1 }, {
      root: { keys: ['alice', 'bob', 'carol'].map(key), threshold: 2 },
      deploy: { keys: ['early', 'late'].map(key), threshold: 2 },
      images: { keys: [images] },
    }); // prettier-ignore
    second = changeRoot(first, { ...terms, version: 2 }, { deploy: { keys: ['late', 'next'].map(key) } });
  });
  afterAll(async () => {
    await operator.close();
    await scene.stop();
    await broker.kill();
    gpg.close();
  });

  it('[C86] uses its directories of keys until an administrator installs a root', async () => {
    const old = pod();
    await operator.publish({ topic: topics.desired, payload: await scene.sign(old) }, { retain: true });
    expect(await answer(old.version)).toMatchObject({ outcome: 'committed' });
    await scene.board.copyIn(signed(encodeRoot(first), 'alice'), '/tmp/alone.cbor');
    const alone = await scene.board.run('wherry trust root install /tmp/alone.cbor --yes');
    expect(alone.stderr).toMatch(/threshold-not-met/);
    await scene.board.copyIn(signed(encodeRoot(first), 'alice', 'carol'), '/tmp/1.cbor');
    await scene.board.check('wherry trust root install /tmp/1.cbor --yes');
    // The root applies from the next command on: a command by the key of the directory is refused.
    const before = events.length;
    await operator.publish({ topic: topics.desired, payload: await scene.sign(pod()) }, { retain: true });
    expect(await refusal(before)).toBe('key-unknown');
    await onRoot(1);
  });

  it('[C83] refuses a command with one signature, and commits one with two', async () => {
    const desired = pod();
    let before = events.length;
    await send(desired, 'early');
    expect(await refusal(before)).toBe('threshold-not-met');
    before = events.length;
    await send(desired, 'early', 'alice');
    expect(await refusal(before)).toBe('threshold-not-met');
    await send(desired, 'early', 'late');
    expect(await answer(desired.version)).toMatchObject({ outcome: 'committed' });
  });

  it('[C81] [C85] follows a rotation over Mosquitto although wherryd is killed meanwhile', async () => {
    await publishRoot(2, second, 'alice', 'bob');
    await killWherryd();
    await onRoot(2);
    await killWherryd();
    const before = events.length;
    await onRoot(2);
    await publishRoot(3, first, 'alice', 'bob');
    expect(await refusal(before)).toBe('root-older');
    // A broker that has lost everything has no effect.
    await broker.kill();
    await broker.start();
    report = undefined;
    await listen();
    await onRoot(2);
  });

  it('[C84] obeys the keys of the new root, and no command of the removed key', async () => {
    const before = events.length;
    await send(pod(), 'early', 'late');
    expect(await refusal(before)).toBe('threshold-not-met');
    const desired = pod();
    await send(desired, 'late', 'next');
    expect(await answer(desired.version)).toMatchObject({ outcome: 'committed' });
  });

  it('[C85] obeys a refused command when a root makes it valid', async () => {
    const desired = pod();
    const before = events.length;
    await send(desired, 'next');
    expect(await refusal(before)).toBe('threshold-not-met');
    const terms = { fleet: second.fleet, version: 3, issued: second.issued, expires: second.expires };
    await publishRoot(3, changeRoot(second, terms, { deploy: { threshold: 1 } }), 'bob', 'carol');
    expect(await waitFor('the commit', () => events.find(({ outcome, version }) => outcome === 'committed' && version === desired.version))).toBeDefined(); // prettier-ignore
  });
});
