import { beforeAll, describe, expect, it } from 'vitest';
import { parseAcIdentifier, parseAcName, parseImageId } from '../../../src/image/appc/identifiers.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import type { RefusalCode } from '../../../src/core/refusal/codes.ts';
import { decodeEnvelope, encodeEnvelope, maxEnvelopeBytes } from '../../../src/wire/trust/envelope.ts';
import { keysForImage } from '../../../src/wire/trust/keyring.ts';
import { markOf } from '../../../src/wire/trust/judge.ts';
import { examineMessage, type Examined, type ExamineContext } from '../../../src/wire/trust/examine.ts';
import { signatureVerifier } from '../../../src/wire/trust/image-signature.ts';
import { signDetached, type GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { day, desired, issued, makeKey, publish } from '../../support/operator.ts';

/**
 * The broker and the web server are hostile: they hold back, replay, mix and forge messages. All
 * they achieve is a delay. One test per attack of the TUF and Uptane lists that a single deploy key
 * and signed images prevent. Attacks that require a root of trust (key compromise, fast-forward)
 * are in root-attacks.test.ts, eavesdropping in confidential.test.ts, attacks of the web server
 * (slow retrieval, endless data) in http/download.test.ts, and held-back messages in
 * plan-wave.test.ts. board/attacks.test.ts runs each attack on a device.
 */

let operator: GeneratedKey;
let attacker: GeneratedKey;
let context: ExamineContext;

beforeAll(async () => {
  [operator, attacker] = await Promise.all([makeKey('operator'), makeKey('attacker')]);
  context = {
    keys: [operator.publicKey],
    fleet: 'farm',
    device: 'pump-1',
    trusted: { version: 0, payloadSha256: '', issued: 0 },
    time: { nowSeconds: issued + day, clockTrusted: true },
  };
});

/** A device that stores what it trusts, as the daemon does. */
function openDevice(change: Partial<ExamineContext> = {}): { receive(message: Uint8Array): Promise<string> } {
  let { trusted } = context;
  return {
    receive: async (message) => {
      try {
        const examined = await examineMessage(message, { ...context, trusted, ...change });
        if (examined.outcome === 'new') trusted = markOf(examined.desired, examined.payloadSha256, trusted);
        return examined.outcome;
      } catch (error) {
        if (isRefusal(error)) return error.code;
        throw error;
      }
    },
  };
}

describe('attacks on the command', () => {
  const expiry = { nowSeconds: desired.expires, clockTrusted: true };

  it('arbitrary software (TUF §5.4.2, Uptane step 4.2): only a signed command is accepted [C21]', async () => {
    const device = openDevice();
    const genuine = decodeEnvelope(await publish(desired, operator));
    expect(await device.receive(await publish(desired, attacker))).toBe('key-unknown');
    const otherPayload = decodeEnvelope(await publish({ ...desired, version: 8 }, attacker)).payload;
    expect(await device.receive(encodeEnvelope({ ...genuine, payload: otherPayload }))).toBe(
      'signature-invalid',
    );
    expect(await device.receive(Buffer.from('run this'))).toBe('envelope-malformed');
    expect(await device.receive(await publish(desired, operator))).toBe('new');
  });

  it('arbitrary software: a signature over a file is not a command', async () => {
    const payload = Buffer.from('release notes');
    const signature = await signDetached(payload, operator.privateKey, issued);
    const message = encodeEnvelope({ payload, signatures: [signature] });
    expect(await openDevice().receive(message)).toBe('desired-malformed');
  });

  it('[A9.22] rollback (TUF §5.4.3, Uptane step 4.3): an old command that is replayed is refused', async () => {
    const device = openDevice();
    const vulnerable = await publish(desired, operator);
    expect(await device.receive(vulnerable)).toBe('new');
    expect(await device.receive(await publish({ ...desired, version: 8 }, operator))).toBe('new');
    expect(await device.receive(vulnerable)).toBe('version-older');
  });

  it('freeze (TUF §5.4.4, Uptane step 4.4): a command that was held back past its expiry is refused', async () => {
    const heldBack = await publish(desired, operator);
    expect(await openDevice({ time: expiry }).receive(heldBack)).toBe('expired');
  });

  it('freeze: a device that runs an expired command reports it', async () => {
    const message = await publish(desired, operator);
    const { payloadSha256 } = await examineMessage(message, context);
    const trusted = { version: desired.version, payloadSha256, issued };
    const later = await examineMessage(message, { ...context, trusted, time: expiry });
    expect(later).toMatchObject({ outcome: 'same', expired: true });
  });

  it('freeze: a board that boots in 1970 obeys, and checks expiry once its clock is set', async () => {
    const message = await publish(desired, operator);
    expect(await openDevice({ time: { nowSeconds: 0, clockTrusted: false } }).receive(message)).toBe('new');
    expect(
      await openDevice({ time: { nowSeconds: desired.expires, clockTrusted: true } }).receive(message),
    ).toBe('expired');
  });

  it('mix-and-match (Uptane step 5.2): a version has one set of pods and images', async () => {
    const device = openDevice();
    expect(await device.receive(await publish(desired, operator))).toBe('new');
    expect(await device.receive(await publish({ ...desired, pods: [] }, operator))).toBe('version-conflict');
  });

  it('partial bundle: a set without one of its pods is not the set that was signed', async () => {
    const second = {
      ...desired,
      pods: [...desired.pods, { name: parseAcName('db'), manifest: Buffer.from('{}') }],
    };
    const whole = decodeEnvelope(await publish(second, operator));
    const part = decodeEnvelope(await publish(desired, attacker));
    expect(await openDevice().receive(encodeEnvelope({ ...whole, payload: part.payload }))).toBe(
      'signature-invalid',
    );
  });

  it('wrong software (Uptane, Director Targets): a command for another device or fleet is refused', async () => {
    const elsewhere = { ...desired, target: { device: parseAcName('pump-2') } };
    expect(await openDevice().receive(await publish(elsewhere, operator))).toBe('wrong-device');
    const barn = { ...desired, fleet: parseAcName('barn') };
    expect(await openDevice().receive(await publish(barn, operator))).toBe('wrong-fleet');
  });

  it('[A9.22] extraneous dependencies: every image is pinned by its ID in the signed part', async () => {
    const swapped = {
      ...desired,
      images: desired.images.map((image) => ({ ...image, id: parseImageId(`sha512-${'f'.repeat(128)}`) })),
    };
    const genuine = decodeEnvelope(await publish(desired, operator));
    const { payload } = decodeEnvelope(await publish(swapped, attacker));
    expect(await openDevice().receive(encodeEnvelope({ ...genuine, payload }))).toBe('signature-invalid');
  });

  it('endless data: the size of a message is checked first', async () => {
    const device = openDevice();
    expect(await device.receive(new Uint8Array(1 << 20).fill(0x41))).toBe('envelope-too-large');
    expect(await device.receive(new Uint8Array(maxEnvelopeBytes).fill(0x9b))).toBe('envelope-malformed');
    const promised = Buffer.from('a3667061796c6f61645bffffffffffffffff', 'hex');
    expect(await device.receive(promised)).toBe('envelope-malformed');
  });

  it('an unsigned command is refused', async () => {
    const { payload } = decodeEnvelope(await publish(desired, operator));
    const signed = encodeEnvelope({ payload, signatures: ['x'] });
    // The same map with an empty list: 0x80 instead of a list of one text of one character.
    const unsigned = Buffer.from(Buffer.from(signed).toString('hex').replace('816178', '80'), 'hex');
    expect(await openDevice().receive(unsigned)).toBe('unsigned');
    expect(await openDevice().receive(signed)).toBe('signature-malformed');
  });

  it('[C11] [C26] the signature of one payload beside a payload that differs in encoding only is refused, before that is decoded', async () => {
    const { payload, signatures } = decodeEnvelope(await publish(desired, operator));
    const longer = Buffer.concat([payload, Buffer.of(0xf6)]);
    expect(await openDevice().receive(encodeEnvelope({ payload: longer, signatures }))).toBe(
      'signature-invalid',
    );
    const resigned = [await signDetached(longer, operator.privateKey, issued)];
    expect(await openDevice().receive(encodeEnvelope({ payload: longer, signatures: resigned }))).toBe(
      'desired-malformed',
    );
  });
});

describe('attacks on the image', () => {
  const image = Buffer.from('the bytes of an image');

  async function outcome(
    signature: string,
    keys: readonly string[],
    bytes: Uint8Array,
  ): Promise<RefusalCode | 'ok'> {
    try {
      const verifier = await signatureVerifier(signature, keys, context.time);
      verifier.update(bytes);
      await verifier.finish();
      return 'ok';
    } catch (error) {
      if (isRefusal(error)) return error.code;
      throw error;
    }
  }

  it('arbitrary software: changed bytes, a foreign signer, a missing signature', async () => {
    const signature = await signDetached(image, operator.privateKey, issued);
    const forged = await signDetached(image, attacker.privateKey, issued);
    const keys = [operator.publicKey];
    expect(await outcome(signature, keys, image)).toBe('ok');
    expect(await outcome(signature, keys, Buffer.from('the bytes of an Image'))).toBe(
      'image-signature-invalid',
    );
    expect(await outcome(forged, keys, image)).toBe('image-key-untrusted');
    expect(await outcome('', keys, image)).toBe('image-signature-missing');
  });

  it('[C31] [A9.15] key compromise: a key that is trusted for one prefix signs nothing outside of it', async () => {
    const entries = [{ prefix: 'example.com/web', armored: attacker.publicKey }];
    const forged = await signDetached(image, attacker.privateKey, issued);
    const keysFor = (name: string): string[] => keysForImage(parseAcIdentifier(name), entries);
    expect(await outcome(forged, keysFor('example.com/web/server'), image)).toBe('ok');
    expect(await outcome(forged, keysFor('example.com/website'), image)).toBe('image-key-untrusted');
    expect(await outcome(forged, keysFor('example.com'), image)).toBe('image-key-untrusted');
  });
});

describe('the examined message', () => {
  it('has the payload and its signers, and can be cloned to another process', async () => {
    const message = await publish(desired, operator);
    const examined = await examineMessage(structuredClone(message), structuredClone(context));
    const received: Examined = structuredClone(examined);
    expect(received).toEqual({
      outcome: 'new',
      desired,
      payload: decodeEnvelope(message).payload,
      payloadSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      signedBy: [operator.fingerprint],
      secrets: [],
    });
  });
});
