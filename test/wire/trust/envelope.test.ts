import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/encode.ts';
import { Refusal } from '../../../src/core/refusal/refusal.ts';
import { decodeEnvelope, encodeEnvelope, maxEnvelopeBytes } from '../../../src/wire/trust/envelope.ts';

const payload = Uint8Array.of(1, 2, 3);
const signatures = ['-----BEGIN PGP SIGNATURE-----'];

function codeOf(message: Uint8Array): string {
  try {
    decodeEnvelope(message);
    return 'accepted';
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

describe('an envelope [C11] [C12]', () => {
  it('returns the exact bytes that were signed', () => {
    expect(decodeEnvelope(encodeEnvelope({ payload, signatures }))).toEqual({
      format: 1,
      payload,
      signatures,
    });
  });

  it('may have up to 128 KiB', () => {
    const overhead = encodeEnvelope({ payload: new Uint8Array(1 << 16), signatures }).length - (1 << 16);
    const largest = encodeEnvelope({ payload: new Uint8Array(maxEnvelopeBytes - overhead), signatures });
    expect(largest.length).toBe(maxEnvelopeBytes);
    expect(codeOf(largest)).toBe('accepted');
    const oversized = { payload: new Uint8Array(maxEnvelopeBytes - overhead + 1), signatures };
    expect(() => encodeEnvelope(oversized)).toThrow(/131073 bytes; 131072 are the limit/);
  });

  it.each<[string, Uint8Array, string]>([
    ['a megabyte of noise', new Uint8Array(1 << 20).fill(0x9f), 'envelope-too-large'],
    ['nothing', new Uint8Array(0), 'envelope-malformed'],
    ['JSON', new TextEncoder().encode('{"format":1}'), 'envelope-malformed'],
    ['no signature', encodeCbor({ format: 1, payload, signatures: [] }), 'unsigned'],
    ['no list of signatures', encodeCbor({ format: 1, payload }), 'envelope-malformed'],
    ['an unknown key', encodeCbor({ format: 1, payload, signatures, role: 'root' }), 'envelope-malformed'],
    ['another format', encodeCbor({ format: 2, payload, signatures }), 'envelope-malformed'],
    ['a payload that is text', encodeCbor({ format: 1, payload: 'x', signatures }), 'envelope-malformed'],
    [
      'nine signatures',
      encodeCbor({ format: 1, payload, signatures: Array(9).fill('x') }),
      'envelope-malformed',
    ],
    [
      'a huge signature',
      encodeCbor({ format: 1, payload, signatures: ['x'.repeat(8193)] }),
      'envelope-malformed',
    ],
    [
      'trailing bytes',
      Buffer.concat([encodeEnvelope({ payload, signatures }), Buffer.of(0)]),
      'envelope-malformed',
    ],
  ])('with %s is refused', (_name, message, code) => {
    expect(codeOf(message)).toBe(code);
  });
});
