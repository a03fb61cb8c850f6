import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAcName } from '../../../src/image/appc/identifiers.ts';
import { isRefusal } from '../../../src/core/refusal/refusal.ts';
import {
  deviceTime,
  judgeDesiredState,
  markOf,
  timeFloor,
  type Judgement,
} from '../../../src/wire/trust/judge.ts';
import { day, desired, issued } from '../../support/operator.ts';

const digest = 'aa';
const nothing = { version: 0, payloadSha256: '', issued: 0 };
const now = { nowSeconds: issued + day, clockTrusted: true };
const at = (nowSeconds: number) => ({ nowSeconds, clockTrusted: true });
const here = { desired, payloadSha256: digest, trusted: nothing, fleet: 'farm', device: 'pump-1', time: now };

function outcomeOf(change: Partial<Judgement>): string {
  try {
    const verdict = judgeDesiredState({ ...here, ...change });
    return verdict.outcome === 'same' && verdict.expired ? 'same, expired' : verdict.outcome;
  } catch (error) {
    if (isRefusal(error)) return error.code;
    throw error;
  }
}

describe('a verified desired state [C22] [C23] [C24] [C25]', () => {
  it.each<[string, Partial<Judgement>, string]>([
    ['the first ever', {}, 'new'],
    ['newer than the trusted one', { trusted: { version: 6, payloadSha256: 'bb', issued } }, 'new'],
    ['the trusted one again', { trusted: { version: 7, payloadSha256: digest, issued } }, 'same'],
    ['older than the trusted one', { trusted: { version: 8, payloadSha256: 'bb', issued } }, 'version-older'],
    [
      'other content of one version',
      { trusted: { version: 7, payloadSha256: 'bb', issued } },
      'version-conflict',
    ],
    ['for another fleet', { fleet: 'barn' }, 'wrong-fleet'],
    ['for another device', { device: 'pump-2' }, 'wrong-device'],
    ['one second before its expiry', { time: at(desired.expires - 1) }, 'new'],
    ['at its expiry', { time: at(desired.expires) }, 'expired'],
    [
      'past its expiry by a clock that is not trusted',
      { time: { nowSeconds: 4e9, clockTrusted: false } },
      'new',
    ],
    [
      'known and past its expiry: reported, the pods go on',
      { time: at(desired.expires), trusted: { version: 7, payloadSha256: digest, issued } },
      'same, expired',
    ],
    [
      'older and past its expiry',
      { time: at(desired.expires), trusted: { version: 8, payloadSha256: 'bb', issued } },
      'version-older',
    ],
    ['issued before the newest issue time, with a higher version', { trusted: { version: 6, payloadSha256: 'bb', issued: issued + 1 } }, 'new'], // prettier-ignore
    ['issued ten minutes ahead [C307]', { time: at(issued - 600) }, 'new'],
    ['issued further ahead [C307]', { time: at(issued - 601) }, 'key-unusable'],
    [
      'issued ahead of a clock that is not trusted [C307]',
      { time: { nowSeconds: issued - 601, clockTrusted: false } },
      'new',
    ],
    [
      'known and issued ahead of a clock that was set back',
      { time: at(issued - 601), trusted: { version: 7, payloadSha256: digest, issued } },
      'same',
    ],
    ['one second before its root expires', { root: { version: 2, expires: issued + day + 1 } }, 'new'],
    ['when its root expires', { root: { version: 2, expires: issued + day } }, 'root-expired'],
    [
      'issued in the second of the root that removed a deploy key',
      { root: { version: 2, expires: issued + 9 * day, notBefore: issued } },
      'new',
    ],
    [
      'issued one second before such a root',
      { root: { version: 2, expires: issued + 9 * day, notBefore: issued + 1 } },
      'version-older',
    ],
  ])('%s', (_name, change, outcome) => {
    expect(outcomeOf(change)).toBe(outcome);
  });

  it('for another device does not change the trusted version', () => {
    const trusted = { version: 9, payloadSha256: 'bb', issued };
    expect(outcomeOf({ trusted, desired: { ...desired, target: { device: parseAcName('x') } } })).toBe(
      'wrong-device',
    );
  });

  it('never lowers the trusted version, in any order of delivery', () => {
    const delivery = fc.record({
      version: fc.integer({ min: 1, max: 5 }),
      issued: fc.nat(5),
      content: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.array(delivery), (deliveries) => {
        let trusted = nothing;
        for (const { version, issued: at, content } of deliveries) {
          const document = { ...desired, version, issued: at };
          const payloadSha256 = `${version}-${content}`;
          if (outcomeOf({ desired: document, payloadSha256, trusted }) !== 'new') continue;
          const next = markOf(document, payloadSha256, trusted);
          expect(next.version).toBeGreaterThan(trusted.version);
          expect(next.issued).toBeGreaterThanOrEqual(trusted.issued);
          trusted = next;
        }
      }),
    );
  });
});

describe('[A9.12] the time of a device', () => {
  const floor = timeFloor({ buildTime: 100, newestIssued: 300, savedTime: 200 });

  it('is never before the newest thing that it knows to be past', () => {
    expect(floor).toBe(300);
  });

  it.each([
    ['the clock was set from a time source', 400, true, 400, true],
    ['the clock runs but nobody set it', 400, false, 400, false],
    ['the clock starts in 1970', 5, false, 300, false],
    ['the clock was set to exactly the floor', 300, true, 300, true],
    ['the clock was set to before the floor, so it is wrong', 299, true, 300, false],
  ])('when %s', (_name, wall, synchronized, nowSeconds, clockTrusted) => {
    expect(deviceTime(wall, synchronized, floor)).toEqual({ nowSeconds, clockTrusted });
  });
});
