import { assert, boolean, integer, option, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endOfVisit, type VisitFacts, visitIsOver } from '../../../src/device/agent/visit.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const second = 1000;
const hour = 3600 * second;
const facts = (changes: Partial<VisitFacts>): VisitFacts => ({
  ...{ sinceStartMs: 30 * second, aloneForMs: 30 * second, quietForMs: 30 * second },
  ...{ hasCommand: true, probationSeconds: 0 },
  ...changes,
});

describe('a visit to the broker', () => {
  it.each<[string, boolean, Partial<VisitFacts>]>([
    ['a command came and nothing is under way', true, { connectedForMs: 4 * second }],
    ['something was under way a moment ago', false, { connectedForMs: 60 * second, quietForMs: second }],
    ['no command came yet', false, { connectedForMs: 10 * second, hasCommand: false }],
    ['no command comes', true, { connectedForMs: 20 * second, hasCommand: false }],
    ['there is no broker yet', false, {}],
    ['there is no broker', true, { sinceStartMs: 601 * second, aloneForMs: 601 * second }],
    ['the broker was lost a moment ago', false, { sinceStartMs: hour, aloneForMs: 30 * second }],
    ['a deployment takes long', false, { sinceStartMs: hour, quietForMs: 0 }],
    [
      'a probation is longer than the bound',
      false,
      { sinceStartMs: 3 * hour, quietForMs: 0, probationSeconds: 7200 },
    ],
    ['a deployment takes too long', true, { sinceStartMs: 2 * hour, quietForMs: 0 }],
  ])('[C159] when %s: over is %s', (_words, over, changes) => {
    expect(visitIsOver(facts(changes))).toBe(over);
  });

  it('[C159] always ends, and never during work that is within its bound', () => {
    const some = record({
      sinceStartMs: integer({ min: 0, max: 24 * hour }),
      aloneForMs: integer({ min: 0, max: 24 * hour }),
      connectedForMs: option(integer({ min: 0, max: 24 * hour }), { nil: undefined }),
      quietForMs: integer({ min: 0, max: hour }),
      hasCommand: boolean(),
      probationSeconds: integer({ min: 0, max: 7200 }),
    });
    assert(
      property(some, ({ connectedForMs, ...others }) => {
        const seen = { ...others, ...(connectedForMs === undefined ? {} : { connectedForMs }) };
        const boundMs = 2 * hour + seen.probationSeconds * second;
        if (seen.sinceStartMs >= boundMs) expect(visitIsOver(seen)).toBe(true);
        else if (seen.quietForMs === 0) expect(visitIsOver(seen)).toBe(false);
      }),
    );
  });

  it('[C159] waits for the deployment and its report, then ends', async () => {
    const clock = new FakeClock();
    const now = {
      busy: false,
      traffic: undefined as { hasCommand: boolean; hasUnsent: boolean } | undefined,
    };
    let isOver = false;
    void endOfVisit(
      {
        ...{ clock, isBusy: () => now.busy, traffic: () => now.traffic, probationSeconds: () => 60 },
        settled: () => Promise.resolve(),
      },
      new AbortController().signal,
    ).then(() => (isOver = true));
    await clock.pass(5 * second);
    now.traffic = { hasCommand: true, hasUnsent: true };
    now.busy = true;
    await clock.pass(600 * second);
    now.busy = false;
    // A version that cuts its device off is rolled back, and its answer waits for the broker.
    now.traffic = undefined;
    await clock.pass(60 * second);
    expect(isOver).toBe(false);
    now.traffic = { hasCommand: true, hasUnsent: true };
    await clock.pass(10 * second);
    expect(isOver).toBe(false);
    now.traffic = { hasCommand: true, hasUnsent: false };
    await clock.pass(2 * second);
    expect(isOver).toBe(false);
    await clock.pass(2 * second);
    expect(isOver).toBe(true);
  });
});
