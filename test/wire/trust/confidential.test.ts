import { randomBytes } from 'node:crypto';
import * as openpgp from 'openpgp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import type { AcName } from '../../../src/image/appc/index.ts';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import {
  decodeEnvelope,
  decodeMessage,
  type DesiredState,
  maxEnvelopeBytes,
  secretDigest,
  type SecretValue,
} from '../../../src/wire/trust/index.ts';
import { encodeConfidential, encodeEncrypted } from '../../../src/wire/trust/confidential.ts';
import { decryptMessage, examineMessage, type ExamineContext } from '../../../src/wire/trust/openpgp.ts';
import {
  deviceKeyFingerprint,
  encryptMessage,
  generateDeviceKey,
  type GeneratedKey,
} from '../../../src/wire/trust/sign.ts';
import { openGnuPg, type GnuPg } from '../../support/gnupg.ts';
import { day, desired, issued, makeKey, publish } from '../../support/operator.ts';

/**
 * The broker is hostile and sees every message. It can neither read nor replace an encrypted value.
 * One test per attack.
 */

const secretOf = (name: string, value: string): SecretValue => ({
  name: name as AcName,
  salt: randomBytes(32),
  value: Buffer.from(value),
});
const naming = (...secrets: readonly SecretValue[]): DesiredState => ({
  ...desired,
  secrets: secrets.map((secret) => ({ name: secret.name, digest: secretDigest(secret) })),
});

let operator: GeneratedKey;
let ours: Awaited<ReturnType<typeof generateDeviceKey>>;
let theirs: typeof ours;
let context: ExamineContext;

beforeAll(async () => {
  [operator, ours, theirs] = await Promise.all([
    makeKey('operator'),
    generateDeviceKey('ours'),
    generateDeviceKey('theirs'),
  ]);
  context = {
    keys: [operator.publicKey],
    fleet: 'farm',
    device: 'pump-1',
    trusted: { version: 0, payloadSha256: '', issued: 0 },
    time: { nowSeconds: issued + day, clockTrusted: true },
  };
});

/** A signed desired state, encrypted, with these values. */
async function encrypted(
  state: DesiredState,
  secrets: readonly SecretValue[] = [],
  key = ours.publicKey,
): Promise<Uint8Array> {
  const { payload, signatures } = decodeEnvelope(await publish(state, operator));
  return await encryptMessage({ payload, signatures, secrets }, [key]);
}

/** The message that carries these OpenPGP packets. */
const carrying = (ciphertext: Uint8Array): Uint8Array => encodeCbor({ format: 2, ciphertext });

/** The plaintext of an encrypted message. */
async function content(): Promise<Uint8Array> {
  const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
  return encodeConfidential({ payload, signatures, secrets: [] });
}

/** An OpenPGP message of `binary`, as other tools could write it. */
async function packed(
  binary: Uint8Array,
  made: { to?: string; password?: string; by?: string; config?: openpgp.PartialConfig },
): Promise<Uint8Array> {
  const { to, password, by, config } = made;
  const message: unknown = await openpgp.encrypt({
    message: await openpgp.createMessage({ binary }),
    format: 'binary',
    ...(to === undefined ? {} : { encryptionKeys: (await openpgp.readKey({ armoredKey: to })).toPublic() }),
    ...(password === undefined ? {} : { passwords: [password] }),
    ...(by === undefined ? {} : { signingKeys: await openpgp.readPrivateKey({ armoredKey: by }) }),
    ...(config === undefined ? {} : { config }),
  });
  return message as Uint8Array;
}

async function outcomeOf(message: Uint8Array, key: string | undefined = ours.privateKey): Promise<string> {
  try {
    return (await examineMessage(message, context, key)).outcome;
  } catch (error) {
    if (isRefusal(error)) return error.code;
    throw error;
  }
}

describe('an encrypted command', () => {
  it('is judged like an unencrypted one, and contains the values it names [C150] [C152]', async () => {
    const secret = secretOf('db-password', 'correct horse');
    const state = naming(secret);
    const message = await encrypted(state, [secret]);
    const examined = await examineMessage(message, context, ours.privateKey);
    expect(examined).toMatchObject({ outcome: 'new', signedBy: [operator.fingerprint] });
    const { payload } = decodeEnvelope(await publish(state, operator));
    expect(Buffer.from(examined.payload)).toEqual(Buffer.from(payload));
    expect(examined.secrets).toEqual([
      { name: 'db-password', digest: secretDigest(secret), value: new Uint8Array(secret.value) },
    ]);
  });

  it('may be for several devices', async () => {
    const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
    const message = await encryptMessage({ payload, signatures, secrets: [] }, [
      theirs.publicKey,
      ours.publicKey,
    ]);
    expect(await outcomeOf(message)).toBe('new');
  });

  it('[C151] may be for 512 devices, and for no more', async () => {
    const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
    const keys = [theirs.publicKey, ours.publicKey];
    const read = decodeMessage(await encryptMessage({ payload, signatures, secrets: [] }, keys));
    if (read.form !== 'encrypted') throw new Error('it is not encrypted');
    // A header of two bytes, and the body whose length the second byte holds (RFC 9580 §4.2.1.1).
    const length = 2 + (read.ciphertext[1] ?? 0);
    const [other, rest] = [read.ciphertext.subarray(0, length), read.ciphertext.subarray(length)];
    /** The message for this device and `count` others. */
    const beside = (count: number): Uint8Array =>
      carrying(Buffer.concat([...Array.from({ length: count }, () => other), rest]));
    expect(await outcomeOf(beside(511))).toBe('new');
    expect(length).toBeLessThanOrEqual(96);
    expect(await outcomeOf(beside(512))).toBe('ciphertext-malformed');
  });

  it('[C225] is refused as encrypted to other devices by one that joined the group later', async () => {
    const read = decodeMessage(await encrypted(desired, [], theirs.publicKey));
    if (read.form !== 'encrypted') throw new Error('it is not encrypted');
    await expect(decryptMessage(read.ciphertext, ours.privateKey)).rejects.toMatchObject({
      code: 'decryption-failed',
      message: expect.stringMatching(/encrypted to 1 other keys and not to .* of this device/) as string,
    });
  });

  it('is refused by a device without a key [C150]', async () => {
    const read = decodeMessage(await encrypted(desired));
    if (read.form !== 'encrypted') throw new Error('it is not encrypted');
    await expect(decryptMessage(read.ciphertext, undefined)).rejects.toMatchObject({
      code: 'device-key-missing',
    });
  });

  it('is refused before it is sent when it is larger than brokers carry [C12]', async () => {
    const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
    /** Nine secrets; `last` is the size of the ninth. */
    const holding = (last: number) => ({
      ...{ payload, signatures },
      secrets: Array.from({ length: 9 }, (_, at) => ({
        ...secretOf(`s${at}`, ''),
        value: randomBytes(at === 8 ? last : 14_500),
      })),
    });
    const room = maxEnvelopeBytes - encodeConfidential(holding(10_000)).length;
    const largest = 10_000 + room;
    const send = async (last: number) => encryptMessage(holding(last), [ours.publicKey]);
    expect((await send(largest - 1000)).length).toBeLessThanOrEqual(maxEnvelopeBytes);
    // Devices would accept the content, but the message around it is larger.
    await expect(send(largest)).rejects.toMatchObject({ code: 'envelope-too-large' });
    await expect(send(largest + 1)).rejects.toMatchObject({ code: 'ciphertext-malformed' });
    expect(await outcomeOf(carrying(randomBytes(maxEnvelopeBytes)))).toBe('envelope-too-large');
  });

  it('[C12] has at most 128 KiB', () => {
    const around = encodeEncrypted(new Uint8Array(100_000)).length - 100_000;
    const most = maxEnvelopeBytes - around;
    expect(encodeEncrypted(new Uint8Array(most))).toHaveLength(maxEnvelopeBytes);
    expect(() => encodeEncrypted(new Uint8Array(most + 1))).toThrow(
      expect.objectContaining({ code: 'envelope-too-large' }),
    );
  });

  it.each([31, 33])('is refused with a salt of %d bytes: 32 make a value unguessable', async (length) => {
    const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
    const salted = (bytes: number) => () =>
      encodeConfidential({
        ...{ payload, signatures },
        secrets: [{ ...secretOf('db-password', 'x'), salt: randomBytes(bytes) }],
      });
    expect(salted(32)).not.toThrow();
    expect(salted(length)).toThrow(expect.objectContaining({ code: 'ciphertext-malformed' }));
  });
});

describe('attacks on an encrypted command', () => {
  it('eavesdrop: the message shows neither a value nor the signed payload [C150]', async () => {
    const secret = secretOf('db-password', 'correct horse');
    const state = naming(secret);
    const message = Buffer.from(await encrypted(state, [secret]));
    const { payload } = decodeEnvelope(await publish(state, operator));
    const seen = ['correct horse', 'db-password', 'pump-1', ...state.images.map(({ name }) => name)];
    for (const text of seen.slice(1)) expect(Buffer.from(payload).includes(text)).toBe(true);
    for (const text of seen) expect(message.includes(text)).toBe(false);
    expect(message.includes(Buffer.from(payload))).toBe(false);
  });

  it('swap between devices: a ciphertext for another device cannot be read [C151]', async () => {
    expect(await outcomeOf(await encrypted(desired, [], theirs.publicKey))).toBe('decryption-failed');
  });

  it('swap between devices: encrypted again to this one, it is still for the other [C22]', async () => {
    // Somebody who can read the command of another device encrypts it to this one.
    const state = { ...desired, target: { device: 'pump-2' as AcName } };
    expect(await outcomeOf(await encrypted(state))).toBe('wrong-device');
  });

  it('key swapped by the broker: a key that is not pinned decrypts nothing for the device', async () => {
    // The attacker could make the operator encrypt to another key and read that, but cannot sign.
    const state = naming();
    const forged = { ...state, version: state.version + 1 };
    const attacker = await makeKey('attacker');
    const { payload, signatures } = decodeEnvelope(await publish(forged, attacker));
    const message = await encryptMessage({ payload, signatures, secrets: [] }, [ours.publicKey]);
    expect(await outcomeOf(message)).toBe('key-unknown');
  });

  it('replay of an old secret: a value of another version is refused [C152]', async () => {
    const old = secretOf('db-password', 'old');
    const renewed = secretOf('db-password', 'new');
    expect(await outcomeOf(await encrypted(naming(renewed), [old]))).toBe('secret-mismatch');
    // Nor the value of another secret, or the same value with another salt.
    const renamed = { ...renewed, name: 'api-token' as AcName };
    expect(await outcomeOf(await encrypted(naming(renewed), [renamed]))).toBe('secret-mismatch');
    const salted = { ...renewed, salt: randomBytes(32) };
    expect(await outcomeOf(await encrypted(naming(renewed), [salted]))).toBe('secret-mismatch');
  });

  it('replay of an old message: its version is older [C23]', async () => {
    const secret = secretOf('db-password', 'old');
    const message = await encrypted(naming(secret), [secret]);
    context = { ...context, trusted: { version: desired.version + 1, payloadSha256: 'x', issued } };
    try {
      expect(await outcomeOf(message)).toBe('version-older');
    } finally {
      context = { ...context, trusted: { version: 0, payloadSha256: '', issued: 0 } };
    }
  });

  it('a changed bit anywhere is refused [C151]', async () => {
    const message = Buffer.from(await encrypted(desired));
    for (const at of [60, message.length >> 1, message.length - 3]) {
      const changed = Buffer.from(message);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(['decryption-failed', 'ciphertext-malformed', 'envelope-malformed']).toContain(
        await outcomeOf(changed),
      );
    }
  });

  it('decompression bomb: compressed content is refused, however small [C151]', async () => {
    for (const method of ['zip', 'zlib'] as const) {
      const config = { preferredCompressionAlgorithm: openpgp.enums.compression[method] };
      const ciphertext = await packed(await content(), { to: ours.publicKey, config });
      const refusal = examineMessage(carrying(ciphertext), context, ours.privateKey);
      await expect(refusal).rejects.toMatchObject({ code: 'ciphertext-malformed' });
      await expect(refusal).rejects.toThrow(/compressed/);
    }
  });

  it('anything but one message with integrity protection is refused [C151]', async () => {
    const binary = await content();
    const clear = (await openpgp.createMessage({ binary })).write() as Uint8Array;
    for (const ciphertext of [
      new Uint8Array(clear),
      await packed(binary, { password: 'x' }),
      await packed(binary, { to: ours.publicKey, by: operator.privateKey }),
      await packed(Buffer.from('no CBOR'), { to: ours.publicKey }),
      Buffer.from('no packet'),
    ])
      expect(await outcomeOf(carrying(ciphertext))).toBe('ciphertext-malformed');
    expect(await outcomeOf(carrying(await packed(binary, { to: ours.publicKey })))).toBe('new');
  });

  it('a message without session keys, or without integrity protection, is refused [C151]', async () => {
    const read = decodeMessage(await encrypted(desired));
    if (read.form !== 'encrypted') throw new Error('it is not encrypted');
    const length = 2 + (read.ciphertext[1] ?? 0);
    const [sessionKey, rest] = [read.ciphertext.subarray(0, length), read.ciphertext.subarray(length)];
    expect(await outcomeOf(carrying(rest))).toBe('ciphertext-malformed');
    // The packet with tag 9 (RFC 9580 §5.7).
    const unprotected = Buffer.concat([sessionKey, Buffer.of(0xc9, 40), randomBytes(40)]);
    expect(await outcomeOf(carrying(unprotected))).toBe('ciphertext-malformed');
  });
});

describe('the key of a device', () => {
  let gpg: GnuPg;
  beforeAll(() => {
    gpg = openGnuPg();
  });
  afterAll(() => gpg.close());

  it('is one that GnuPG can encrypt to', async () => {
    gpg.run(['--import'], ours.publicKey);
    const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
    const plain = gpg.writeFile('plain', encodeConfidential({ payload, signatures, secrets: [] }));
    const options = ['--trust-model', 'always', '--compress-algo', 'none', '--recipient', ours.fingerprint];
    gpg.run([...options, '--output', `${plain}.gpg`, '--encrypt', plain]);
    const { readFileSync } = await import('node:fs');
    expect(await outcomeOf(carrying(readFileSync(`${plain}.gpg`)))).toBe('new');
  });

  it('is refused when it is private, malformed, or cannot be encrypted to', async () => {
    await expect(deviceKeyFingerprint(ours.privateKey)).rejects.toThrow(/private key/);
    await expect(deviceKeyFingerprint('key')).rejects.toMatchObject({ code: 'input-invalid' });
    await expect(deviceKeyFingerprint(operator.publicKey)).rejects.toThrow(/nothing can be encrypted/);
  });
});
