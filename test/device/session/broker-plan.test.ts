import { assert, array, boolean, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstBroker, nextBroker, triesPerBroker } from '../../../src/device/session/broker-plan.ts';
import {
  afterLoss,
  defaultReconnectPolicy,
  seededFraction,
  type ReconnectState,
} from '../../../src/device/session/reconnect-policy.ts';

/** The dialled addresses, one for each outcome. */
function dialled(count: number, outcomes: readonly boolean[]): number[] {
  let plan = firstBroker;
  return outcomes.map((wasStable) => {
    const { at } = plan;
    plan = nextBroker(plan, count, wasStable);
    return at;
  });
}

describe('the plan of broker addresses', () => {
  it('[C157] begins with the first address and tries all equally often while none works', () => {
    assert(
      property(integer({ min: 1, max: 8 }), integer({ min: 1, max: 4 }), (count, rounds) => {
        const tries = count * triesPerBroker;
        const order = dialled(
          count,
          Array.from({ length: rounds * tries }, () => false),
        );
        const expected = Array.from({ length: rounds * tries }, (_, index) => {
          return Math.floor((index % tries) / triesPerBroker);
        });
        expect(order).toEqual(expected);
      }),
    );
  });

  it('[C157] keeps an address that led to a stable session', () => {
    assert(
      property(integer({ min: 1, max: 8 }), array(boolean()), (count, outcomes) => {
        const order = dialled(count, [...outcomes, false]);
        for (const [index, wasStable] of outcomes.entries()) {
          if (wasStable) expect(order[index + 1]).toBe(order[index]);
        }
      }),
    );
  });

  it('[C157] leaves an address only after as many failures in a row', () => {
    assert(
      property(integer({ min: 2, max: 8 }), array(boolean()), (count, outcomes) => {
        const order = dialled(count, [...outcomes, false]);
        for (let index = 1; index < order.length; index++) {
          if (order[index] === order[index - 1]) continue;
          const before = outcomes.slice(index - triesPerBroker, index);
          expect(before).toEqual(Array.from({ length: triesPerBroker }, () => false));
          expect(order.slice(index - triesPerBroker, index)).toEqual(before.map(() => order[index - 1]));
        }
      }),
    );
  });

  it('[C157] lets a fleet reach the next broker no faster than the lost one', () => {
    const devices = 3000;
    const windowSeconds = defaultReconnectPolicy.windowMs / 1000;
    const perSecond = new Map<number, number>();
    for (let device = 0; device < devices; device++) {
      let state: ReconnectState = { failures: 0, hadSession: true };
      let plan = firstBroker;
      let nowMs = 0;
      // A stable session is lost, and all attempts at the first address fail.
      for (let loss: { sessionMs?: number } = { sessionMs: 3_600_000 }; plan.at === 0; loss = {}) {
        if (nowMs > 0) plan = nextBroker(plan, 2, false);
        const fraction = seededFraction(`crane-${device}`, 0, state.failures + 1);
        const next = afterLoss(defaultReconnectPolicy, state, { reason: 'unreachable', ...loss }, fraction);
        state = next.state;
        nowMs += next.delayMs;
      }
      const second = Math.floor(nowMs / 1000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    const even = devices / windowSeconds;
    expect(Math.max(...perSecond.values())).toBeLessThan(1.3 * even);
  });
});
