import { beforeAll, describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import { isRefusal } from '../../../src/core/refusal/index.ts';
import { parseAcName } from '../../../src/image/appc/index.ts';
import { decodeEnvelope, encodeEnvelope, encodeLogRequest } from '../../../src/wire/trust/index.ts';
import { examineLogRequest, examineMessage, type LogContext } from '../../../src/wire/trust/openpgp.ts';
import { signDetached, type GeneratedKey } from '../../../src/wire/trust/sign.ts';
import { logRequest, publishRequest } from '../../support/log-requests.ts';
import { desired, issued, makeKey, publish } from '../../support/operator.ts';

/** The broker is hostile, or has another operator's key. One test per attack. */

let operator: GeneratedKey;
let other: GeneratedKey;
let context: LogContext;

beforeAll(async () => {
  operator = await makeKey('operator');
  other = await makeKey('other');
  context = {
    keys: [operator.publicKey],
    ...{ fleet: 'farm', device: 'pump-1', boot: 'boot-a' },
    time: { nowSeconds: issued + 5, clockTrusted: true },
  };
});

async function codeOf(message: Uint8Array, change: Partial<LogContext> = {}): Promise<string> {
  try {
    return (await examineLogRequest(message, { ...context, ...change })).request.ask;
  } catch (error) {
    if (isRefusal(error)) return error.code;
    throw error;
  }
}

describe('attacks on requests for logs', () => {
  it('[C232] a request for this device, this boot and this time is answered', async () => {
    expect(await codeOf(await publishRequest(logRequest, operator))).toBe('logs');
  });

  it('[C232] a request for another device or fleet', async () => {
    const message = await publishRequest(logRequest, operator);
    expect(await codeOf(message, { device: 'pump-2' })).toBe('wrong-device');
    expect(await codeOf(message, { fleet: 'ranch' })).toBe('wrong-fleet');
  });

  it('[C232] a request that is replayed after a reboot', async () => {
    expect(await codeOf(await publishRequest(logRequest, operator), { boot: 'boot-b' })).toBe(
      'request-replayed',
    );
  });

  it('[C232] a request that was held back until its deadline', async () => {
    const message = await publishRequest(logRequest, operator);
    expect(await codeOf(message, { time: { nowSeconds: issued + 600, clockTrusted: true } })).toBe('expired');
  });

  it('[C232] a device without a trusted clock, where a deadline never passes', async () => {
    const message = await publishRequest(logRequest, operator);
    expect(await codeOf(message, { time: { nowSeconds: issued + 5, clockTrusted: false } })).toBe('expired');
  });

  it('[C232] a deadline that is prolonged after signing', async () => {
    const { signatures } = decodeEnvelope(await publishRequest(logRequest, operator));
    const payload = encodeLogRequest({ ...logRequest, expires: logRequest.expires + 60 });
    expect(await codeOf(encodeEnvelope({ payload, signatures }))).toBe('signature-invalid');
  });

  it.each([
    ['a deadline beyond an hour', { expires: issued + 3601 }],
    ['a deadline before it is issued', { expires: issued - 1 }],
    ['a deadline at which it is issued', { expires: issued }],
    ['an endless limit', { limitBytes: 2 ** 40 }],
    ['a pod whose name is an option of journalctl', { pod: '--since=1970-01-01' }],
    ['an unknown key', { more: true }],
  ])('[C231] %s, signed', async (_what, change) => {
    const payload = encodeCbor({ ...logRequest, ...change });
    const signature = await signDetached(payload, operator.privateKey, issued);
    expect(await codeOf(encodeEnvelope({ payload, signatures: [signature] }))).toBe('request-malformed');
  });

  it('[C232] a key of another fleet, and too few keys', async () => {
    expect(await codeOf(await publishRequest(logRequest, other))).toBe('key-unknown');
    const keys = [operator.publicKey, other.publicKey];
    const message = await publishRequest(logRequest, operator);
    expect(await codeOf(message, { keys, threshold: 2 })).toBe('threshold-not-met');
    const both = await publishRequest(logRequest, operator, other);
    expect(await codeOf(both, { keys, threshold: 2 })).toBe('logs');
  });

  it('[C232] an expired root of trust, whose successor is held back', async () => {
    const message = await publishRequest(logRequest, operator);
    expect(await codeOf(message, { rootExpires: issued + 5 })).toBe('root-expired');
  });

  it('[C232] a command in the place of a request, and the other way round', async () => {
    expect(await codeOf(await publish(desired, operator))).toBe('request-malformed');
    const asCommand = examineMessage(await publishRequest(logRequest, operator), {
      ...{ keys: [operator.publicKey], fleet: 'farm', device: parseAcName('pump-1'), time: context.time },
      trusted: { version: 0, payloadSha256: '', issued: 0 },
    });
    await expect(asCommand).rejects.toMatchObject({ code: 'desired-malformed' });
  });
});
