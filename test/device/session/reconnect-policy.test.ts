import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterLoss,
  bootDelayMs,
  defaultReconnectPolicy as policy,
  initialReconnectState,
  keepaliveSeconds,
  seededFraction,
  type Loss,
  type ReconnectState,
} from '../../../src/device/session/reconnect-policy.ts';
import type { LossReason } from '../../../src/wire/mqtt/index.ts';

const almostOne = 1 - 2 ** -48;
const reasons: LossReason[] = [
  'closed',
  'unreachable',
  'no-network',
  'tls',
  'credentials',
  'busy',
  'quota',
  'too-large',
  'taken-over',
  'protocol',
];

/** The longest wait after `failures` losses in a row. */
function ceiling(failures: number, loss: Loss): number {
  return Math.round(afterLoss(policy, { failures, hadSession: false }, loss, almostOne).delayMs / 1000);
}

describe('[C7] reconnect policy', () => {
  it.each<[string, number, Loss, number]>([
    [
      'spreads the first reconnect after a session over the window',
      0,
      { reason: 'closed', sessionMs: 1e6 },
      60,
    ],
    ['backs off from 2 s when the broker does not answer', 0, { reason: 'unreachable' }, 2],
    ['doubles with each failure', 4, { reason: 'unreachable' }, 32],
    ['never waits more than 10 minutes for an absent broker', 40, { reason: 'unreachable' }, 600],
    ['counts any number of failures', 5000, { reason: 'unreachable' }, 600],
    ['forgets earlier failures after a stable session', 9, { reason: 'closed', sessionMs: 60_000 }, 60],
    ['remembers them when the session was shorter', 8, { reason: 'closed', sessionMs: 59_999 }, 512],
    ['waits up to an hour where its credentials are refused', 40, { reason: 'credentials' }, 3600],
    ['waits up to an hour for a broker of another protocol', 40, { reason: 'protocol' }, 3600],
    ['waits up to 10 minutes for a certificate that it can trust', 40, { reason: 'tls' }, 600],
    ['waits four times as long for a busy server', 3, { reason: 'busy' }, 64],
    ['waits the window when a quota is exceeded', 0, { reason: 'quota' }, 60],
    ['grows quieter while a message is too large', 9, { reason: 'too-large', sessionMs: 1e6 }, 600],
    ['stays within the window while the device has no network', 40, { reason: 'no-network' }, 60],
    ['grows quieter when its identity is used twice', 9, { reason: 'taken-over', sessionMs: 1e6 }, 600],
  ])('%s', (_name, failures, loss, seconds) => {
    expect(ceiling(failures, loss)).toBe(seconds);
  });

  it('keeps to the window when the broker stays away after a session was lost', () => {
    const lost = afterLoss(policy, initialReconnectState, { reason: 'closed', sessionMs: 1e6 }, 0);
    const again = afterLoss(policy, lost.state, { reason: 'unreachable' }, 0.5);
    expect(again.delayMs).toBe(30_000);
  });

  it('uses the window of the desired state', () => {
    const wide = { ...policy, windowMs: 300_000 };
    const { delayMs } = afterLoss(wide, initialReconnectState, { reason: 'closed', sessionMs: 1e6 }, 0.5);
    expect(delayMs).toBe(150_000);
  });

  it('spreads the first connection after boot, unless configured otherwise', () => {
    expect(bootDelayMs(policy, 0.5)).toBe(15_000);
    expect(bootDelayMs({ ...policy, bootSpreadMs: 0 }, almostOne)).toBe(0);
  });

  it('always waits a finite time within the cap of the reason, without end', () => {
    const loss = fc.record(
      {
        reason: fc.constantFrom(...reasons),
        sessionMs: fc.integer({ min: 0, max: 1e9 }),
      },
      { requiredKeys: ['reason'] },
    );
    fc.assert(
      fc.property(
        fc.array(loss, { maxLength: 60 }),
        fc.double({ min: 0, max: almostOne, noNaN: true }),
        (losses, f) => {
          let state = initialReconnectState;
          for (const next of losses) {
            const step = afterLoss(policy, state, next, f);
            const cap =
              next.reason === 'credentials' || next.reason === 'protocol' ? policy.deniedCapMs : policy.capMs;
            expect(step.delayMs).toBeGreaterThanOrEqual(0);
            expect(step.delayMs).toBeLessThanOrEqual(Math.max(cap, policy.windowMs));
            expect(step.state.failures).toBeGreaterThan(0);
            state = step.state;
          }
        },
      ),
    );
  });

  it('gives one device the same wait within an hour and another one in the next', () => {
    const at = Date.UTC(2026, 0, 1, 12);
    expect(seededFraction('gate-1', at, 1)).toBe(seededFraction('gate-1', at + 60_000, 1));
    expect(seededFraction('gate-1', at, 1)).not.toBe(seededFraction('gate-1', at + 3_600_000, 1));
    expect(seededFraction('gate-1', at, 1)).not.toBe(seededFraction('gate-2', at, 1));
    expect(seededFraction('gate-1', at, 1)).not.toBe(seededFraction('gate-1', at, 2));
  });

  it('keeps the keepalive within 300 s ± 10 %', () => {
    expect(keepaliveSeconds(0)).toBe(270);
    expect(keepaliveSeconds(0.5)).toBe(300);
    expect(keepaliveSeconds(almostOne)).toBe(330);
  });
});

describe('a broker restart with 100 000 devices', () => {
  const count = 100_000;
  const windowMs = 300_000;
  const at = Date.UTC(2026, 0, 1);

  /**
   * Attempts per second, and the second in which the last device connected, if `capacity`
   * connections a second succeed.
   */
  function storm(capacity: number): { attempts: number[]; connectedAfter99: number } {
    const fleet = { ...policy, windowMs };
    const attempts: number[] = [];
    const due: { id: number; state: ReconnectState }[][] = [];
    const schedule = (second: number, entry: { id: number; state: ReconnectState }) =>
      (due[second] ??= []).push(entry);
    for (let id = 0; id < count; id++) {
      const f = seededFraction(`device-${id}`, at, 0);
      const step = afterLoss(fleet, initialReconnectState, { reason: 'closed', sessionMs: 1e7 }, f);
      schedule(Math.floor(step.delayMs / 1000), { id, state: step.state });
    }
    let connected = 0;
    for (let second = 0; ; second++) {
      const now = due[second] ?? [];
      attempts.push(now.length);
      connected += Math.min(capacity, now.length);
      if (connected >= 0.99 * count) return { attempts, connectedAfter99: second };
      for (const { id, state } of now.slice(capacity)) {
        const f = seededFraction(`device-${id}`, at + second * 1000, state.failures);
        const step = afterLoss(fleet, state, { reason: 'unreachable' }, f);
        schedule(second + 1 + Math.floor(step.delayMs / 1000), { id, state: step.state });
      }
      due[second] = [];
    }
  }

  it('gets about N / window attempts a second and all devices within the window', () => {
    const { attempts, connectedAfter99 } = storm(Infinity);
    expect(Math.max(...attempts)).toBeLessThan(1.3 * (count / 300));
    expect(connectedAfter99).toBeLessThan(300);
  });

  it('recovers if it accepts only half of the attempts', () => {
    const capacity = 167;
    const { attempts, connectedAfter99 } = storm(capacity);
    expect(Math.max(...attempts)).toBeLessThan(4 * capacity);
    // The least time possible at this capacity is 593 s.
    expect(connectedAfter99).toBeLessThan(800);
  });
});
