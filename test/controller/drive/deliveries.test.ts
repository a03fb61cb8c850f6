import { describe, expect, it } from 'vitest';
import { Deliveries } from '../../../src/controller/drive/deliveries.ts';

const on = (connection: number, up = true) => ({
  device: 'crane-7',
  presence: { format: 1 as const, bootId: 'boot', connection, up },
  events: [],
  eventCount: 0,
});
const behind = [{ device: 'crane-7', isBehind: true }];
const unanswered = [{ device: 'crane-7', isBehind: false }];
const named = (deliveries: Deliveries, silent: typeof behind, nowMs: number) => [
  ...deliveries.due(silent, nowMs),
];

describe('a missed command of a device [C251]', () => {
  /** Connected for a long time, and commanded at 10 s. */
  function commanded(): Deliveries {
    const deliveries = new Deliveries();
    deliveries.saw(on(1), 0);
    deliveries.published('crane-7', 10_000);
    return deliveries;
  }

  it('is not assumed while its connection lasts', () => {
    expect(named(commanded(), behind, 1e9)).toEqual([]);
  });

  it('is sent again once when the device reconnects and does not report it', () => {
    const deliveries = commanded();
    deliveries.saw(on(1, false), 11_000);
    expect(named(deliveries, behind, 30_000)).toEqual([]);
    deliveries.saw(on(2), 31_000);
    expect(named(deliveries, behind, 35_000)).toEqual([]);
    expect(named(deliveries, behind, 36_000)).toEqual(['crane-7']);
    expect(named(deliveries, behind, 99_000)).toEqual([]);
  });

  it('is not assumed when the device reconnects and is working', () => {
    const deliveries = commanded();
    deliveries.saw(on(2), 31_000);
    expect(named(deliveries, unanswered, 99_000)).toEqual([]);
  });

  it('may be a command that was published before it had subscribed', () => {
    const deliveries = commanded();
    deliveries.saw(on(2), 31_000);
    deliveries.published('crane-7', 31_010);
    expect(named(deliveries, behind, 36_000)).toEqual(['crane-7']);
  });

  it('shows that the controller receives nothing if a queried device stays silent', () => {
    const deliveries = commanded();
    deliveries.saw(on(2), 31_000);
    expect(named(deliveries, behind, 36_000)).toEqual(['crane-7']);
    expect(deliveries.isDeaf(45_999)).toBe(false);
    expect(deliveries.isDeaf(46_000)).toBe(true);
    expect(deliveries.isDeaf(99_000)).toBe(false);
    deliveries.returned(100_000);
    expect(named(deliveries, behind, 105_000)).toEqual(['crane-7']);
    deliveries.saw(on(2), 106_000);
    expect(deliveries.isDeaf(199_000)).toBe(false);
  });

  it('may be asked for its answer when the controller was away, or is new', () => {
    const deliveries = commanded();
    deliveries.returned(20_000);
    expect(named(deliveries, unanswered, 24_999)).toEqual([]);
    expect(named(deliveries, unanswered, 25_000)).toEqual(['crane-7']);
    const next = new Deliveries();
    expect(named(next, unanswered, 0)).toEqual([]);
    expect(named(next, unanswered, 5_000)).toEqual(['crane-7']);
    expect(named(next, unanswered, 10_000)).toEqual([]);
  });
});
