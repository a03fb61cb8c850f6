import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAcName } from '../../../src/image/appc/identifiers.ts';
import {
  isInShare,
  judgeDesiredState,
  markOf,
  placeOnRing,
  ringPlaces,
  type Share,
} from '../../../src/wire/trust/index.ts';
import { day, desired, issued } from '../../support/operator.ts';

const names = Array.from({ length: 10_000 }, (_, index) => `crane-${index}`);
const inside = (share: Share): readonly string[] => names.filter((name) => isInShare(share, 'harbour', name));
const salt = parseAcName('spring');

const bounds = fc
  .uniqueArray(fc.integer({ min: 0, max: ringPlaces }), { minLength: 2, maxLength: 2 })
  .map(([one = 0, other = 0]) => ({ from: Math.min(one, other), to: Math.max(one, other) }));

describe('places on the ring [C227]', () => {
  // printf 'wherry share\0harbour\0\0crane-7' | sha256sum
  it.each([
    ['crane-7', undefined, 0xf9ce],
    ['crane-7', 'spring', 0xc218],
    ['crane-8', undefined, 0x8498],
  ])('of %s with the salt %s never change', (device, text, place) => {
    expect(placeOnRing('harbour', device, text)).toBe(place);
  });

  it.each([undefined, salt])('are spread evenly with the salt %s', (text) => {
    const tenths = Array<number>(10).fill(0);
    for (const name of names) {
      const tenth = Math.floor((placeOnRing('harbour', name, text) * 10) / ringPlaces);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    // 1000 expected; the standard deviation is 30.
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('differ with another salt or another fleet', () => {
    const share = { from: 0, to: ringPlaces / 10 };
    const first = inside(share);
    const both = inside({ ...share, salt }).filter((name) => first.includes(name));
    expect(both.length).toBeLessThan(200); // 100 expected
    const elsewhere = first.filter((name) => isInShare(share, 'quay', name));
    expect(elsewhere.length).toBeLessThan(200);
  });

  it('in a share are in every share that contains it', () => {
    fc.assert(
      fc.property(bounds, bounds, fc.constantFrom(...names), (one, other, name) => {
        const wide = { from: Math.min(one.from, other.from), to: Math.max(one.to, other.to) };
        if (isInShare(one, 'harbour', name)) expect(isInShare(wide, 'harbour', name)).toBe(true);
      }),
    );
  });

  it('are each in exactly one of two shares that make up the ring', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: ringPlaces - 1 }), fc.constantFrom(...names), (cut, name) => {
        const lower = isInShare({ from: 0, to: cut, salt }, 'harbour', name);
        expect(isInShare({ from: cut, to: ringPlaces, salt }, 'harbour', name)).toBe(!lower);
      }),
    );
  });
});

/** What a broker publishes: versions of a group with shares, in any order, also repeatedly. */
const shown = fc.array(
  fc.record({
    version: fc.integer({ min: 1, max: 6 }),
    share: fc.option(
      bounds.filter(({ from, to }) => to - from < ringPlaces),
      { nil: undefined },
    ),
    untried: fc.boolean(),
  }),
  { maxLength: 20 },
);

describe('a device that receives shares [C228]', () => {
  it('never obeys an older version, nor a share that it is not in', () => {
    fc.assert(
      fc.property(shown, fc.constantFrom(...names), (messages, device) => {
        let trusted = { version: 0, payloadSha256: '', issued: 0 };
        let runs = 0;
        for (const { version, share, untried } of messages) {
          const target = { group: parseAcName('kitchen'), ...(share === undefined ? {} : { share }) };
          const state = { ...desired, version, target };
          const payloadSha256 = JSON.stringify([version, share]);
          const judge = () =>
            judgeDesiredState({
              ...{ desired: state, payloadSha256, trusted, device, fleet: 'farm', group: 'kitchen' },
              ...(untried ? { untried } : {}),
              time: { nowSeconds: issued + day, clockTrusted: true },
            }).outcome;
          if (version < trusted.version) {
            expect(judge).toThrow(expect.objectContaining({ code: 'version-older' }) as Error);
            continue;
          }
          if (version === trusted.version && payloadSha256 !== trusted.payloadSha256) {
            expect(judge).toThrow(expect.objectContaining({ code: 'version-conflict' }) as Error);
            continue;
          }
          const outcome = judge();
          expect(outcome === 'outside').toBe(!isInShare(share, 'farm', device));
          if (outcome !== 'same') trusted = markOf(state, payloadSha256, trusted);
          if (outcome !== 'new') continue;
          expect(version).toBeGreaterThanOrEqual(runs);
          runs = version;
        }
      }),
    );
  });

  it('refuses an expired command or one of a removed key before it stores the version', () => {
    const target = { group: parseAcName('kitchen'), share: { from: 0, to: 1 } };
    const judgement = {
      ...{ desired: { ...desired, target }, payloadSha256: 'a', device: 'pump-1', fleet: 'farm' },
      ...{ group: 'kitchen', trusted: { version: 0, payloadSha256: '', issued: 0 } },
      time: { nowSeconds: issued + day, clockTrusted: true },
    };
    expect(judgeDesiredState(judgement).outcome).toBe('outside');
    const late = { nowSeconds: desired.expires, clockTrusted: true };
    expect(() => judgeDesiredState({ ...judgement, time: late })).toThrow(
      expect.objectContaining({ code: 'expired' }) as Error,
    );
    const root = { version: 2, expires: desired.expires, notBefore: issued + 1 };
    expect(() => judgeDesiredState({ ...judgement, root })).toThrow(
      expect.objectContaining({ code: 'version-older' }) as Error,
    );
    // A known command outside the share is not judged again: the device has nothing to obey.
    const trusted = { version: desired.version, payloadSha256: 'a', issued };
    const known = { ...judgement, trusted, time: late, untried: true as const };
    expect(judgeDesiredState(known).outcome).toBe('outside');
  });
});
