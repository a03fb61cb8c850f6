import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedBroker, type EmbeddedBroker } from '../../../../src/operator/dev/embedded-broker.ts';
import { readDraft } from '../../../../src/operator/fleet/index.ts';
import { decodeEnvelope, signersOf } from '../../../../src/wire/trust/index.ts';
import { verifyEnvelope } from '../../../../src/wire/trust/openpgp.ts';
import { generateKey } from '../../../../src/wire/trust/sign.ts';
import { FakeDevice } from '../../../support/fake-device.ts';
import { wherry, type Run } from '../../../support/recording-terminal.ts';

let directory: string;
let broker: EmbeddedBroker;
const devices: FakeDevice[] = [];

const at = (...names: string[]): string => join(directory, ...names);
const run = (...args: string[]): Promise<Run> => wherry(['--fleet', at('fleet'), ...args]);
const rollout = (...args: string[]): Promise<Run> => run('rollout', ...args);
const key = (name: string): string[] => ['--signing-key', at(`${name}.key.asc`)];

/** A fleet whose devices accept a command signed by the fleet's deploy key and by Bob's. */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'wherry-rollout-signing-'));
  broker = await startEmbeddedBroker({ host: '127.0.0.1', port: 0 });
  await run('fleet', 'init', 'harbour', '--broker', broker.url);
  for (const name of ['alice', 'bob', 'stranger']) {
    const { publicKey, privateKey } = await generateKey({ name });
    await writeFile(at(`${name}.asc`), publicKey);
    await writeFile(at(`${name}.key.asc`), privateKey);
  }
  const deploy = ['--deploy-key', at('fleet/keys/deploy.pub.asc'), '--deploy-key', at('bob.asc')];
  const root = ['--root-key', at('alice.asc'), ...deploy, '--deploy-threshold', '2'];
  expect(await run('trust', 'root', 'init', ...root)).toMatchObject({ status: 0 });
  expect(await run('trust', 'root', 'sign', ...key('alice'))).toMatchObject({ status: 0 });
});

afterEach(async () => {
  for (const device of devices.splice(0)) await device.close();
});

afterAll(async () => {
  await broker.close();
  await rm(directory, { recursive: true });
});

function someDevices(...names: string[]): readonly FakeDevice[] {
  devices.push(
    ...names.map((device) => new FakeDevice({ url: broker.url, fleet: 'harbour', device }).start()),
  );
  return devices;
}

/** How many keys of the role have signed the published message of this version. */
async function signers(device: string, version: number): Promise<number> {
  const { root } = readDraft(await readFile(at('fleet/roots/1.cbor')));
  const { payload, signatures } = decodeEnvelope(
    await readFile(at('fleet/devices', device, `${version}.cbor`)),
  );
  const time = { nowSeconds: Math.floor(Date.now() / 1000) + 60, clockTrusted: true };
  const { keys } = signersOf(root, 'deploy');
  return (await verifyEnvelope(payload, signatures, keys, time)).fingerprints.length;
}

describe('[C252] a rollout that two people sign', () => {
  it('begins once the second person has signed, and is undone with both signatures', async () => {
    const names = ['crane-1', 'crane-2'];
    const cranes = someDevices(...names);
    const start = ['start', ...names, '--stop-all', '--stage', 'all', '--id', 'spring'];
    const alone = await rollout(...start);
    expect(alone.err).toMatch(
      /2 different keys must sign; start it with --sign-only.*rollout sign.*threshold-not-met/,
    );
    expect(await rollout(...start, '--sign-only')).toMatchObject({
      status: 0,
      out: 'spring  2 devices  signed once; next: wherry rollout sign spring\n',
    });
    const waiting = await rollout('watch', 'spring');
    expect(waiting).toMatchObject({ status: 0, out: 'spring  signing\n' });
    expect(waiting.err).toContain('others sign it with "wherry rollout sign spring"');
    for (const change of ['resume', 'pause', 'halt', 'approve'])
      expect((await rollout(change, 'spring')).err).toMatch(/the rollout spring is signing/);

    const shown = await rollout('sign', 'spring', '--dry-run');
    expect(shown.out).toBe(
      'spring  2 of 2 devices run nothing\nspring  to undo it, 2 of 2 devices run nothing\n',
    );
    expect((await rollout('sign', 'spring', ...key('stranger'))).err).toMatch(/key-unknown/);
    // A second signature by the same person adds nothing.
    expect((await rollout('sign', 'spring')).out).toMatch(/signed; more must sign/);
    expect(cranes.flatMap(({ obeyed }) => obeyed)).toEqual([]);

    const signed = await rollout('sign', 'spring', ...key('bob'));
    expect(signed).toMatchObject({
      status: 0,
      out: 'spring  2 devices  signed by enough; next: wherry rollout watch spring\n',
    });
    expect((await rollout('sign', 'spring', ...key('bob'))).err).toMatch(/the rollout spring is running/);
    expect(await rollout('watch', 'spring')).toMatchObject({ status: 0, out: 'spring  complete\n' });
    expect(await rollout('undo', 'spring')).toMatchObject({ status: 0, out: 'spring  undone\n' });
    for (const name of names) {
      expect(await signers(name, 1)).toBe(2);
      expect(await signers(name, 2)).toBe(2);
    }
  });

  it('releases its devices when it is given up before it was signed', async () => {
    const [crane] = someDevices('crane-3');
    const start = ['start', 'crane-3', '--stop-all', '--sign-only', '--no-undo', '--json'];
    expect(await rollout(...start, '--id', 'one')).toMatchObject({
      status: 0,
      out: '{"id":"one","devices":1,"phase":"signing"}\n',
    });
    expect((await rollout(...start, '--id', 'two')).err).toMatch(
      /crane-3 is in the rollout one, which is signing; give that one up first: wherry rollout undo one/,
    );
    expect(await rollout('undo', 'one', '--no-wait')).toMatchObject({ status: 0, out: 'one  undone\n' });
    expect(await rollout(...start, '--id', 'two')).toMatchObject({ status: 0 });
    expect(crane?.obeyed).toEqual([]);
  });
});
