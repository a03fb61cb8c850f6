import type { ProbeRules } from '../pod/index.ts';
import type { ProbeOutcome } from './probe.ts';

/** The result of the probes of one run of an app. */
export interface ProbeState {
  /** `starting` until the probes have passed or failed often enough. */
  readonly state: 'starting' | 'passing' | 'failing';
  /** Outcomes of one kind in a row. */
  readonly successes: number;
  readonly failures: number;
  /** What the last probe showed. */
  readonly detail: string;
}

/** An app that has just started. */
export const notAsked: ProbeState = {
  state: 'starting',
  successes: 0,
  failures: 0,
  detail: 'was not probed yet',
};

/** A starting app is probed more often, so that a deployment need not wait for the interval. */
const startingIntervalSeconds = 1;

/**
 * The state after one more probe.
 * @param ageSeconds how long the app has run
 */
export function judgeProbe(
  before: ProbeState,
  outcome: ProbeOutcome,
  rules: ProbeRules,
  ageSeconds: number,
): ProbeState {
  const { detail } = outcome;
  if (outcome.ok) {
    const successes = before.successes + 1;
    const state = successes >= rules.successes ? 'passing' : before.state;
    return { state, successes, failures: 0, detail };
  }
  // Once it has passed, the app has started, and its failures count.
  const counts = before.state !== 'starting' || ageSeconds >= (rules.startPeriodSeconds ?? 0);
  const failures = counts ? before.failures + 1 : 0;
  const state = failures >= rules.failures ? 'failing' : before.state;
  return { state, successes: 0, failures, detail };
}

/** Seconds until the next probe. */
export function nextProbeSeconds({ state }: ProbeState, { intervalSeconds }: ProbeRules): number {
  return state === 'starting' ? Math.min(intervalSeconds, startingIntervalSeconds) : intervalSeconds;
}
