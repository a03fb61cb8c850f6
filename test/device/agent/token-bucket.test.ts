import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../../src/device/agent/token-bucket.ts';

describe('a budget', () => {
  it('allows a burst, then one per refill, and returns the wait', () => {
    const budget = new TokenBucket({ burst: 2, refillMs: 1000 });
    expect([0, 0, 0, 400, 999, 1000, 1001].map((nowMs) => budget.take(nowMs))).toEqual([
      ...[0, 0, 1000, 600, 1, 0, 999],
    ]);
  });

  it('allows no more than its burst after a long rest', () => {
    const budget = new TokenBucket({ burst: 2, refillMs: 1000 });
    expect([0, 1e9, 1e9, 1e9].map((nowMs) => budget.take(nowMs))).toEqual([0, 0, 0, 1000]);
  });

  it('refills as before after the clock was set back', () => {
    const budget = new TokenBucket({ burst: 1, refillMs: 1000 });
    expect([1e9, 1e9, 500, 1000, 1500].map((nowMs) => budget.take(nowMs))).toEqual([0, 1000, 1000, 500, 0]);
  });

  it('is refunded for valid messages', () => {
    const budget = new TokenBucket({ burst: 1, refillMs: 1000 });
    budget.take(0);
    budget.refund();
    expect([budget.take(0), budget.take(0)]).toEqual([0, 1000]);
  });
});
