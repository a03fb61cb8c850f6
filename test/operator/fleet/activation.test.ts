import { describe, expect, it } from 'vitest';
import { readActivation } from '../../../src/operator/fleet/index.ts';

describe('the time of an activation [C170]', () => {
  it('is now by default', () => {
    expect(readActivation({})).toBeUndefined();
    expect(readActivation({ activate: 'now' })).toBeUndefined();
    expect(readActivation({ force: true })).toEqual({ when: 'now', force: true });
    expect(readActivation({ activate: 'next-boot' })).toEqual({ when: 'next-boot' });
  });

  it('is in windows with a duration and a time zone', () => {
    expect(readActivation({ window: ['0 2 * * 1-5; 4h; Europe/Berlin', '30  3 1 * *;90m'] })).toEqual({
      when: 'window',
      windows: [
        { cron: '0 2 * * 1-5', durationSeconds: 14_400, timeZone: 'Europe/Berlin' },
        { cron: '30 3 1 * *', durationSeconds: 5400, timeZone: 'UTC' },
      ],
    });
  });

  it.each([
    [{ activate: 'later' }, 'usage', /takes one of now, window, next-boot, approval/],
    [{ activate: 'window' }, 'usage', /go together/],
    [{ activate: 'now', window: ['0 2 * * *;1h'] }, 'usage', /go together/],
    [{ window: Array<string>(5).fill('0 2 * * *;1h') }, 'usage', /at most four/],
    [{ window: ['0 2 * * *'] }, 'input-invalid', /no duration/],
    [{ window: ['0 2 * * *;25h'] }, 'input-invalid', /no duration from 60s to 24h/],
    [{ window: ['0 0 2 * * *;1h'] }, 'input-invalid', /five fields/],
    [{ window: ['61 2 * * *;1h'] }, 'input-invalid', /cron expression/],
    [{ window: ['0 2 * * *;1h;Europe/Atlantis'] }, 'input-invalid', /no time zone/],
  ])('is refused for %j', (flags, code, message) => {
    const read = (): unknown => readActivation(flags);
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ code }) as Error);
  });
});
