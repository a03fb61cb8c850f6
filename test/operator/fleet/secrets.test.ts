import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FleetDirectory, messageFor, namedSecrets, readSecrets } from '../../../src/operator/fleet/index.ts';
import { compareMemory, mustRepeat } from '../../../src/operator/fleet/broker-memory.ts';
import { isEncrypted } from '../../../src/wire/trust/index.ts';
import { type GeneratedKey, generateDeviceKey } from '../../../src/wire/trust/sign.ts';
import { desired, makeKey, publish } from '../../support/operator.ts';
import { wherry } from '../../support/recording-terminal.ts';

let root: string;
let fleet: FleetDirectory;
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
};

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'wherry-secrets-'));
  fleet = await FleetDirectory.init(join(root, 'fleet'), {
    fleet: 'farm',
    brokerUrl: 'mqtt://127.0.0.1:1883',
    imagesUrl: 'http://127.0.0.1:8080',
  });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('secrets of a command', () => {
  it('have one digest per value and fleet', async () => {
    const [one, two] = [file('one', 'value'), file('two', 'other')];
    const digest = async (text: string, of = fleet): Promise<string> => {
      const { values, saveKey } = await readSecrets(of, [text]);
      await saveKey();
      return namedSecrets(values)[0]?.digest ?? '';
    };
    expect(await digest(`db=@${one}`)).toBe(await digest(`db=@${one}`));
    expect(await digest(`db=@${two}`)).not.toBe(await digest(`db=@${one}`));
    expect(await digest(`api=@${one}`)).not.toBe(await digest(`db=@${one}`));
    expect(statSync(join(fleet.path, 'keys/secrets.key')).mode & 0o777).toBe(0o600);
    const other = await FleetDirectory.init(join(root, 'other'), {
      fleet: 'farm',
      brokerUrl: 'mqtt://127.0.0.1:1883',
      imagesUrl: 'http://127.0.0.1:8080',
    });
    expect(await digest(`db=@${one}`, other)).not.toBe(await digest(`db=@${one}`));
  });

  it('come from files, once, and not too large', async () => {
    const path = file('one', 'value');
    await expect(readSecrets(fleet, ['db=hunter2'])).rejects.toMatchObject({ code: 'usage' });
    // The message does not show what may be the value itself.
    await expect(readSecrets(fleet, ['db=hunter2'])).rejects.toThrow(/^(?!.*hunter2)/);
    await expect(readSecrets(fleet, [`DB=@${path}`])).rejects.toMatchObject({ code: 'usage' });
    await expect(readSecrets(fleet, [`db=@${path}`, `db=@${path}`])).rejects.toThrow(/twice/);
    await expect(readSecrets(fleet, [`db=@${path}.none`])).rejects.toThrow(/the secret .* /);
    const large = file('large', Buffer.alloc(16_385));
    await expect(readSecrets(fleet, [`db=@${large}`])).rejects.toMatchObject({ code: 'input-invalid' });
  });

  it('are refused for a device with an unknown key, so none is sent in clear [C152]', async () => {
    const envelope = await publish(desired, await makeKey('operator'));
    const { values } = await readSecrets(fleet, [`db=@${file('one', 'value')}`]);
    await expect(messageFor(fleet, 'pump-1', envelope, values)).rejects.toMatchObject({
      code: 'device-key-missing',
    });
    expect(await messageFor(fleet, 'pump-1', envelope, [])).toBe(envelope);
  });

  it('[C225] are refused with advice when a group makes their message too large', async () => {
    const names = Array.from({ length: 200 }, (_, at) => `pump-${at}`);
    const toml = join(fleet.path, 'fleet.toml');
    const list = `[groups]\npumps = ${JSON.stringify(names)}\n`;
    writeFileSync(toml, readFileSync(toml, 'utf8').replace('[groups]\n', list));
    fleet = await FleetDirectory.open(fleet.path);
    const device = await generateDeviceKey('device');
    for (const name of names) await fleet.pinDeviceKey(name, device.publicKey, { replace: false });
    const envelope = await publish(desired, await makeKey('operator'));
    const { values } = await readSecrets(
      fleet,
      [1, 2, 3, 4, 5, 6, 7].map((at) => `v${at}=@${file(`v${at}`, Buffer.alloc(16_384, at))}`),
    );
    await expect(messageFor(fleet, '@pumps', envelope, values)).rejects.toMatchObject({
      code: 'envelope-too-large',
      message: expect.stringContaining('200 devices of pumps need about 19200 of them') as string,
    });
  });

  it('leave no trace in the fleet directory', async () => {
    const device = await generateDeviceKey('device');
    await fleet.pinDeviceKey('pump-1', device.publicKey, { replace: false });
    const envelope = await publish(desired, await makeKey('operator'));
    const { values } = await readSecrets(fleet, [`db=@${file('one', 'planted-value')}`]);
    const message = await messageFor(fleet, 'pump-1', envelope, values);
    expect(isEncrypted(message)).toBe(true);
    await fleet.claim('pump-1', 1, message, envelope);
    expect(await fleet.envelope('pump-1', 1)).toEqual(Buffer.from(message));
    expect(await fleet.plainEnvelope('pump-1', 1)).toEqual(Buffer.from(envelope));
    expect((await fleet.history('pump-1')).map(({ version }) => version)).toEqual([1]);
    // Each encryption of the same command differs. A second process still recognises it.
    const again = await messageFor(fleet, 'pump-1', envelope, []);
    await expect(fleet.claim('pump-1', 1, again, envelope)).rejects.toThrow(/by somebody else/);
    expect(await fleet.plainEnvelope('pump-1', 1)).toEqual(Buffer.from(envelope));
    expect(readdirSync(join(fleet.path, 'devices/pump-1')).sort()).toEqual([
      '1.cbor',
      expect.stringMatching(/^1\.plain-[0-9a-f]{16}\.cbor$/),
    ]);
    const files = readdirSync(fleet.path, { recursive: true, encoding: 'utf8' })
      .map((name) => join(fleet.path, name))
      .filter((path) => statSync(path).isFile());
    expect(files.length).toBeGreaterThan(3);
    expect(files.filter((path) => readFileSync(path).includes('planted-value'))).toEqual([]);
  });
});

describe('the key of a device', () => {
  it('swapped by the broker or anyone else: a second one does not replace the first [C153]', async () => {
    const [first, second] = [await generateDeviceKey('one'), await generateDeviceKey('two')];
    await fleet.pinDeviceKey('pump-1', first.publicKey, { replace: false });
    await fleet.pinDeviceKey('pump-1', first.publicKey, { replace: false });
    await expect(fleet.pinDeviceKey('pump-1', second.publicKey, { replace: false })).rejects.toMatchObject({
      code: 'input-invalid',
    });
    expect((await fleet.deviceKey('pump-1'))?.armored).toBe(first.publicKey);
    await fleet.pinDeviceKey('pump-1', second.publicKey, { replace: true });
    expect((await fleet.deviceKey('pump-1'))?.armored).toBe(second.publicKey);
    expect(await fleet.devicesWithKeys()).toEqual(['pump-1']);
  });

  it.each<[string, (key: GeneratedKey) => string | Promise<string>, string]>([
    ['nothing', () => '\n', 'it is empty'],
    ['the private half', ({ privateKey }) => privateKey, 'holds a private key \\(PGP PRIVATE KEY BLOCK\\)'],
    ['a TLS key', () => '-----BEGIN EC PRIVATE KEY-----\nMHc=\n', 'holds a private key \\(EC PRIVATE KEY\\)'],
    ['a TLS certificate', () => '-----BEGIN CERTIFICATE-----\nMIIB\n', 'it holds CERTIFICATE'],
    ['a signature', () => '-----BEGIN PGP SIGNATURE-----\n\niQ==\n', 'it holds PGP SIGNATURE'],
    ['what --json prints', ({ publicKey }) => JSON.stringify({ publicKey }).slice(0, 20), 'it is JSON'],
    ['an image', () => '\ufffd\0\b', 'it is binary'],
    ['a page', () => 'not found', 'it is other text'],
    ['two keys', async ({ publicKey }) => publicKey + (await generateDeviceKey('b')).publicKey, '2 keys'],
    ['a damaged key', ({ publicKey }) => publicKey.slice(0, 200), 'not an armored OpenPGP key'],
    [
      'a key that only signs',
      async () => (await makeKey('ops')).publicKey,
      'nothing can be encrypted to its key',
    ],
  ])('is not taken from a file of %s, and the refusal names both', async (_what, content, found) => {
    const text = await content(await generateDeviceKey('one'));
    const file = join(fleet.path, 'given.asc');
    writeFileSync(file, text);
    const added = await wherry(['--fleet', fleet.path, 'fleet', 'key', 'add', 'pump-1', file]);
    expect(added).toMatchObject({ status: 64, out: '' });
    const takes = 'take what "wherry key show" prints on the device';
    const sentence = new RegExp(`given.asc is not the public key of a device: .*${found}.*; ${takes}`);
    expect(added.err).toMatch(sentence);
    // The same of a pinned file that was damaged since.
    mkdirSync(join(fleet.path, 'keys/devices'));
    writeFileSync(join(fleet.path, 'keys/devices/pump-1.asc'), text);
    await expect(fleet.deviceKey('pump-1')).rejects.toThrow(/pump-1\.asc is not the public key of a device/);
  });

  it('[C351] is noted when another device has it', async () => {
    const file = join(fleet.path, 'given.asc');
    writeFileSync(file, (await generateDeviceKey('one')).publicKey);
    const add = (device: string) => wherry(['--fleet', fleet.path, 'fleet', 'key', 'add', device, file]);
    expect(await add('pump-1')).toMatchObject({ status: 0, err: '' });
    expect(await add('pump-1')).toMatchObject({ status: 0, err: '' });
    const second = await add('pump-2');
    expect(second.err).toMatch(/note: pump-1 has this very key: it can read the secrets of pump-2/);
    expect(second.status).toBe(0);
  });
});

describe('an encrypted message that the broker retains', () => {
  it('is never replaced automatically: only the device knows its version', async () => {
    const device = await generateDeviceKey('device');
    await fleet.pinDeviceKey('pump-1', device.publicKey, { replace: false });
    const envelope = await publish(desired, await makeKey('operator'));
    const newest = { version: 1, envelope: await messageFor(fleet, 'pump-1', envelope, []) };
    const other = await messageFor(fleet, 'pump-1', envelope, []);
    expect(compareMemory(newest, { seen: 'command', envelope: newest.envelope })).toEqual({
      keeps: 'newest',
    });
    const memory = compareMemory(newest, { seen: 'command', envelope: other });
    expect(memory).toEqual({ keeps: 'encrypted' });
    expect(mustRepeat(memory, 1, 0)).toBe(false);
  });
});
