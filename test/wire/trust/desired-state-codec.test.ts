import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import { Refusal } from '../../../src/core/refusal/index.ts';
import {
  decodeDesiredState,
  encodeDesiredState,
  type DesiredState,
  type VerifiedPayload,
} from '../../../src/wire/trust/index.ts';
import { desired, issued, withField } from '../../support/operator.ts';

const url = 'https://images.example.com/web.aci';
const image = desired.images[0];
const pod = desired.pods[0];
const okWindow = { cron: '0 2 * * *', durationSeconds: 3600, timeZone: 'UTC' };
const okSecret = { name: 'db', digest: 'a'.repeat(64) };

function messageOf(value: unknown): string {
  try {
    decodeDesiredState(encodeCbor(value) as VerifiedPayload);
    return 'accepted';
  } catch (error) {
    if (error instanceof Refusal && error.code === 'desired-malformed') return error.message;
    throw error;
  }
}

describe('a desired state [C20]', () => {
  it('is decoded as it was encoded', () => {
    expect(decodeDesiredState(encodeDesiredState(desired))).toEqual(desired);
  });

  it('may contain the size of a tree that the device renders', () => {
    const images = desired.images.map((one) => ({ ...one, renderedBytes: 4096 }));
    const announced: DesiredState = { ...desired, images };
    expect(decodeDesiredState(encodeDesiredState(announced))).toEqual(announced);
  });

  it('may specify the activation, and what to do without a broker [C170]', () => {
    const windows = [{ cron: '0 2 * * 1-5', durationSeconds: 3600, timeZone: 'Europe/Berlin' }];
    for (const activation of [
      { when: 'window', windows },
      { when: 'next-boot' },
      { when: 'approval', force: true },
    ] as const) {
      const policy = { ...desired.policy, activation, brokerLoss: 'roll-back' as const };
      expect(decodeDesiredState(encodeDesiredState({ ...desired, policy }))).toEqual({ ...desired, policy });
    }
  });

  it('without a policy for the activation is decoded without one', () => {
    expect(desired.policy).not.toHaveProperty('activation');
    expect(decodeDesiredState(encodeDesiredState(desired)).policy.activation).toBeUndefined();
  });

  it.each<[string, unknown, RegExp]>([
    ['a window without windows', { when: 'window' }, /windows belong to "window"/],
    ['windows without window', { when: 'now', windows: [okWindow] }, /windows belong to "window"/],
    ['no window', { when: 'window', windows: [] }, /fewer than 1/],
    ['five windows', { when: 'window', windows: Array(5).fill(okWindow) }, /more than 4/],
    ['another time', { when: 'later' }, /when: not one of now, window, next-boot, approval/],
    ['a force that is false', { when: 'now', force: false }, /force/],
    ['seconds', { when: 'window', windows: [{ ...okWindow, cron: '0 0 2 * * *' }] }, /five fields/],
    [
      'a line break in the schedule',
      { when: 'window', windows: [{ ...okWindow, cron: '0 2 * *\n*' }] },
      /five fields/,
    ],
    ['a path', { when: 'window', windows: [{ ...okWindow, timeZone: '../../etc' }] }, /time zone/],
    ['a long window', { when: 'window', windows: [{ ...okWindow, durationSeconds: 86_401 }] }, /86400/],
  ])('with %s in its activation is refused', (_name, activation, expected) => {
    expect(messageOf({ ...desired, policy: { ...desired.policy, activation } })).toMatch(expected);
  });

  it.each<[string, unknown, RegExp]>([
    ['two of one name', [okSecret, okSecret], /secrets: the name db is listed twice/],
    ['an invalid digest', [{ name: 'db', digest: 'x' }], /SHA-256/],
    ['a value', [{ ...okSecret, value: 'x' }], /"value" is not known/],
    ['33', Array.from({ length: 33 }, (_, at) => ({ ...okSecret, name: `s${at}` })), /more than 32/],
  ])('with %s in its secrets is refused [C152]', (_name, secrets, expected) => {
    expect(messageOf({ ...desired, secrets })).toMatch(expected);
  });

  it('has up to 32 pods [C203]', () => {
    const pods = (count: number) => Array.from({ length: count }, (_, n) => ({ ...pod, name: `p${n}` }));
    expect(messageOf(withField(desired, ['pods'], pods(32)))).toBe('accepted');
  });

  it('withdraws a target from all of a group, not from a share of it', () => {
    const taken = { ...desired, pods: [], images: [], withdrawn: true };
    expect(messageOf({ ...taken, target: { group: 'pumps' } })).toBe('accepted');
    const target = { group: 'pumps', share: { from: 0, to: 10 } };
    expect(messageOf({ ...taken, target })).toMatch(/not from a share/);
  });

  it('may stop everything with an empty set', () => {
    const empty: DesiredState = { ...desired, pods: [], images: [] };
    expect(decodeDesiredState(encodeDesiredState(empty))).toEqual(empty);
  });

  it.each<[string, readonly (string | number)[], unknown, RegExp]>([
    ['an unknown key', ['extra'], 1, /"extra" is not known/],
    [
      'an unknown key of a pod',
      ['pods', 0, 'privileged'],
      true,
      /pods\/0: the key "privileged" is not known/,
    ],
    ['another format', ['format'], 2, /format/],
    ['a fleet that is no AC Name', ['fleet'], 'Farm', /fleet/],
    ['a device with a topic wildcard', ['target', 'device'], '+', /target\/device/],
    ['a target of several devices', ['target', 'device'], ['a', 'b'], /target\/device: not text/],
    ['version 0', ['version'], 0, /version: not an integer from 1/],
    ['a version as text', ['version'], '7', /version/],
    ['an issue time in milliseconds', ['issued'], issued * 1000, /issued/],
    ['an expiry at the issue time', ['expires'], issued, /expires before it is issued/],
    ['33 pods', ['pods'], Array.from({ length: 33 }, (_, n) => ({ ...pod, name: `p${n}` })), /more than 32/],
    ['two pods of one name', ['pods'], [pod, pod], /pods: the name web is listed twice/],
    ['a pod name with a slash', ['pods', 0, 'name'], 'a/b', /pods\/0\/name/],
    ['a manifest as text', ['pods', 0, 'manifest'], '{}', /pods\/0\/manifest: not a byte string/],
    ['a manifest of 65 KiB', ['pods', 0, 'manifest'], new Uint8Array(66_560), /longer than 65536 bytes/],
    [
      '65 images',
      ['images'],
      Array.from({ length: 65 }, (_, n) => ({ ...image, id: `sha512-${n.toString(16).padStart(128, '0')}` })),
      /images: more than 64/,
    ],
    ['an image twice', ['images'], [image, image], /images: the id sha512-.* is listed twice/],
    ['a short image ID', ['images', 0, 'id'], 'sha512-0123', /images\/0\/id/],
    ['an image ID in upper case', ['images', 0, 'id'], `sha512-${'A'.repeat(128)}`, /images\/0\/id/],
    ['an image name with ..', ['images', 0, 'name'], 'example.com/../x', /images\/0\/name/],
    [
      'a label twice',
      ['images', 0, 'labels'],
      [0, 1].map(() => ({ name: 'os', value: 'x' })),
      /name os is listed twice/,
    ],
    [
      '33 labels',
      ['images', 0, 'labels'],
      Array.from({ length: 33 }, (_, n) => ({ name: `l${n}`, value: '' })),
      /32/,
    ],
    ['a size of 0', ['images', 0, 'sizeBytes'], 0, /sizeBytes/],
    ['a negative size', ['images', 0, 'tarSizeBytes'], -1, /tarSizeBytes/],
    ['no address', ['images', 0, 'urls'], [], /fewer than 1/],
    ['9 addresses', ['images', 0, 'urls'], Array.from({ length: 9 }, () => url), /more than 8/],
    ['an address of 2 KiB and one', ['images', 0, 'urls'], [url.padEnd(2049, 'x')], /longer than 2048/],
    ['a file address', ['images', 0, 'urls'], ['file:///etc/shadow'], /urls\/0: neither http nor https/],
    ['an address with credentials', ['images', 0, 'urls'], ['https://u:p@example.com/a'], /credentials/],
    ['an address with a password', ['images', 0, 'urls'], ['https://:p@example.com/a'], /credentials/],
    ['an address with a fragment', ['images', 0, 'urls'], [`${url}#x`], /fragment/],
    ['an address with a line break', ['images', 0, 'urls'], ['http://a.example/\r\nX: y'], /not printable/],
    ['no address at all', ['images', 0, 'urls'], ['example'], /not an address/],
    ['a negative probation', ['policy', 'probationSeconds'], -1, /probationSeconds/],
    ['a probation of days', ['policy', 'probationSeconds'], 86_401, /probationSeconds/],
    ['a reconnect window of 0', ['policy', 'reconnectWindowSeconds'], 0, /reconnectWindowSeconds/],
    ['an unknown policy', ['policy', 'limits'], 'ignore', /limits: not one of require, best-effort/],
    ['a prototype key', ['policy'], JSON.parse('{"__proto__": 1}'), /"__proto__" is not known/],
  ])('is refused with %s', (_name, path, value, message) => {
    expect(messageOf(withField(desired, path, value))).toMatch(message);
  });

  it.each(['format', 'fleet', 'target', 'version', 'issued', 'expires', 'pods', 'images', 'policy'])(
    'is refused without %s',
    (key) => {
      expect(messageOf(withField(desired, [key], undefined))).toContain(`the key "${key}" is missing`);
    },
  );

  it('is not signed when a device would refuse it', () => {
    expect(() => encodeDesiredState({ ...desired, expires: 1 })).toThrow(Refusal);
    expect(() => encodeDesiredState({ ...desired, version: 1.5 })).toThrow(Refusal);
  });

  it('with a changed byte is refused, or has just that encoding', () => {
    const payload = encodeDesiredState(desired);
    fc.assert(
      fc.property(fc.nat(payload.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const noise = Uint8Array.from(payload);
        noise[at] = (noise[at] ?? 0) ^ flip;
        let decoded: DesiredState;
        try {
          decoded = decodeDesiredState(noise as VerifiedPayload);
        } catch (error) {
          expect(error).toMatchObject({ code: 'desired-malformed' });
          return;
        }
        expect(Buffer.from(encodeDesiredState(decoded)).equals(noise)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
