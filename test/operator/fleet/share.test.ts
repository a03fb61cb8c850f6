import { describe, expect, it } from 'vitest';
import {
  type DeviceView,
  forecastShare,
  readShare,
  shareInWords,
} from '../../../src/operator/fleet/index.ts';
import { sampleReport } from '../../support/sample-messages.ts';

const read = (share: string, salt?: string) =>
  readShare({ group: 'kitchen', share, ...(salt === undefined ? {} : { salt }) });

const member = (device: string, trustedVersion: number): DeviceView => ({
  ...{ device, events: [], eventCount: 0 },
  report: sampleReport({ device, groups: [{ name: 'kitchen', trustedVersion }] }),
});

describe('--share [C227]', () => {
  it.each([
    ['10%', { from: 0, to: 6554 }],
    ['0.5%', { from: 0, to: 328 }],
    ['0-10%', { from: 0, to: 6554 }],
    ['10-50%', { from: 6554, to: 32_768 }],
    ['10%-50%', { from: 6554, to: 32_768 }],
    ['99.999%', { from: 0, to: 65_535 }],
    ['100%', undefined],
    ['0-100%', undefined],
  ])('%s', (text, share) => {
    expect(read(text)).toEqual(share);
  });

  it('10% is the lower part of 10-50%, without a gap', () => {
    for (let percent = 1; percent < 100; percent++)
      expect(read(`${percent}%`)?.to).toBe(read(`${percent}-100%`)?.from);
  });

  it('is shown to the signer as it was given', () => {
    for (const text of ['0-10%', '10-50%', '0.5-99.99%', '25-100%']) {
      const share = read(text, 'spring');
      expect(share && shareInWords(share)).toBe(`the share ${text} (salt spring)`);
    }
    expect(shareInWords({ from: 0, to: 65_535 })).toBe('the share 0-99.99%');
  });

  it('has a salt', () => {
    expect(read('10%', 'spring-2')).toEqual({ from: 0, to: 6554, salt: 'spring-2' });
  });

  it.each(['10', '', '%', '0%', '101%', '50-10%', '10-10%', '-5%', '1e1%', '10.0001%', '10 %', '0.0001%'])(
    '%j is refused',
    (text) => {
      expect(() => read(text)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
    },
  );

  it.each([
    [{ share: '10%' }, 'give it with --group NAME'],
    [{ group: 'kitchen', salt: 'a' }, 'give it with --share'],
    [{ group: 'kitchen', share: '10%', salt: 'a b' }, '--salt takes a word'],
    [{ group: 'kitchen', share: '10%', salt: 'a'.repeat(65) }, '--salt takes a word'],
    [{ group: 'kitchen', share: '10%', withdraw: true as const }, 'taken back from all of a group'],
  ])('%j is refused', (flags, message) => {
    expect(() => readShare(flags)).toThrow(message);
  });
});

describe('the effect of a share on the known devices [C229]', () => {
  // Their places in per cent: crane-1 72.9, crane-2 53.6, crane-4 41.3, crane-5 48.3.
  const to = { fleet: 'harbour', group: 'kitchen', share: { from: 0, to: 32_768 }, whole: 4 };

  it('counts devices that report or are listed, once each', () => {
    const elsewhere = { ...member('crane-5', 4), report: sampleReport() };
    const views = [member('crane-1', 4), member('crane-4', 4), elsewhere];
    expect(forecastShare(views, ['crane-4', 'crane-2'], to)).toEqual({ known: 3, inside: 1, behind: [] });
  });

  it('names those outside that did not get the previous version', () => {
    const views = [member('crane-1', 3), member('crane-2', 4), member('crane-4', 3)];
    expect(forecastShare(views, ['crane-9'], to).behind).toEqual(['crane-1']);
    expect(forecastShare(views, [], { ...to, whole: 0 }).behind).toEqual([]);
    // Devices that have trusted an earlier share meanwhile: one never followed it, one runs an
    // older version.
    const never = member('crane-1', 5);
    const groups = [{ name: 'kitchen', trustedVersion: 5 }];
    const older = sampleReport({ device: 'crane-2', groups, group: 'kitchen', currentVersion: 3 });
    const current = sampleReport({ device: 'crane-3', groups, group: 'kitchen', currentVersion: 4 });
    const withdrawn = { name: 'kitchen', trustedVersion: 5, withdrawn: true as const };
    const shown = [
      { ...never, report: sampleReport({ device: 'crane-1', groups: [withdrawn] }) },
      { ...member('crane-2', 5), report: older },
      { ...member('crane-3', 5), report: current },
    ];
    expect(forecastShare(shown, [], to).behind).toEqual(['crane-1', 'crane-2']);
  });
});
