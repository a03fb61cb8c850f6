import { describe, expect, it } from 'vitest';
import {
  isSignature,
  metadataUrl,
  podOfToken,
  serviceKey,
  signContent,
} from '../../../src/device/metadata/token.ts';

const uuid = '0123abcd-0000-8000-8000-00000000abcd';
const [key, other] = [Buffer.alloc(64, 1), Buffer.alloc(64, 2)];
const tokenOf = (url: string) => url.split('/').at(-1) ?? '';

describe('the token of a pod', () => {
  it('is in its address and leads to the pod again, with the same key only', () => {
    const url = metadataUrl(key, uuid);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:18112\/[0-9a-f]{64}$/);
    expect(podOfToken(key, tokenOf(url))).toBe(uuid);
    expect(podOfToken(other, tokenOf(url))).toBeUndefined();
  });

  it('cannot be changed in any digit, shortened or lengthened [A15.3]', () => {
    const token = tokenOf(metadataUrl(key, uuid));
    for (let at = 0; at < token.length; at++) {
      const digit = token[at] === '0' ? '1' : '0';
      expect(podOfToken(key, token.slice(0, at) + digit + token.slice(at + 1))).toBeUndefined();
    }
    expect(podOfToken(key, token.slice(1))).toBeUndefined();
    expect(podOfToken(key, `${token}0`)).toBeUndefined();
    expect(podOfToken(key, token.toUpperCase())).toBeUndefined();
  });

  it.each([
    ['lost', undefined],
    ['empty', ''],
    ['too short', 'k'.repeat(63)],
  ])('is not accepted by a service whose key is %s [C318]', (_, text) => {
    const file = text === undefined ? undefined : Buffer.from(text);
    const token = tokenOf(metadataUrl(file ?? Buffer.alloc(0), uuid));
    expect(podOfToken(serviceKey(file), token)).toBeUndefined();
  });
});

describe('the signature of a pod', () => {
  it('is base64 of 64 bytes, and valid for its content and its pod only [A15.2]', () => {
    const signature = signContent(key, uuid, 'hello');
    expect(Buffer.from(signature, 'base64')).toHaveLength(64);
    expect(isSignature(key, uuid, 'hello', signature)).toBe(true);
    expect(isSignature(key, uuid, 'hello!', signature)).toBe(false);
    expect(isSignature(key, uuid.replace('abcd-', 'abce-'), 'hello', signature)).toBe(false);
    expect(isSignature(other, uuid, 'hello', signature)).toBe(false);
    expect(isSignature(key, uuid, 'hello', '')).toBe(false);
  });

  it('reveals no token: the content of a token has another signature', () => {
    const digits = uuid.replaceAll('-', '');
    const token = tokenOf(metadataUrl(key, uuid));
    expect(Buffer.from(signContent(key, uuid, digits), 'base64').toString('hex')).not.toContain(
      token.slice(32),
    );
  });
});
