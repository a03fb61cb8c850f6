import type { ProbeState } from './probe-state.ts';

/** One observation of one app. */
export interface AppSample {
  /** The app with its pod: apps of several pods often have the same name. */
  readonly app: string;
  readonly activeState: string;
  readonly subState: string;
  readonly restarts: number;
  readonly lastResult: string;
  /** Of an app of a scheduled pod: the ActiveState of the pod's timer. */
  readonly timer?: string;
  /** The state of its probe; undefined when it has none. */
  readonly probe?: ProbeState;
  /**
   * Whether the app specifies how long its start may take (wherry/probe-start-period). Then a
   * failing probe ends the probation.
   */
  readonly hasStartPeriod?: boolean;
}

/** What is known of the broker at a moment. */
export interface BrokerView {
  readonly connected: boolean;
  /** When the newest message that the broker acknowledged was sent, in monotonic milliseconds. */
  readonly answeredMs?: number;
}

export type Verdict =
  /** `askBroker`: only an answer of the broker to a message sent now or later is missing. */
  | { readonly outcome: 'waiting'; readonly askBroker?: true }
  | { readonly outcome: 'healthy' }
  /** `app` is empty when no app is the cause. */
  | {
      readonly outcome: 'unhealthy';
      readonly app: string;
      readonly reason: string;
      /** Whether the app ran, and only its probe did not pass. */
      readonly byProbe: boolean;
    };

export interface ProbationRules {
  /** How long every app must have been healthy without a break. */
  readonly quietMs: number;
  /** After this the probation ends in any case. */
  readonly deadlineMs: number;
  /** How long the broker may be away or silent; absent when that is not judged. */
  readonly brokerLossMs?: number;
  /** An app that was restarted more often than this is unhealthy. */
  readonly maxRestarts: number;
}

/**
 * The rules for a policy's probation: every app must be healthy for its length, within three times
 * its length plus a minute, or within more if a loss of the broker is allowed.
 */
export function probationRules(probationSeconds: number, brokerLossMs?: number): ProbationRules {
  const quietMs = probationSeconds * 1000;
  return {
    quietMs,
    // Leaves time to be healthy after the broker has come back at the last moment.
    deadlineMs: Math.max(probationSeconds * 3000 + 60_000, 2 * quietMs + (brokerLossMs ?? 0)),
    ...(brokerLossMs === undefined ? {} : { brokerLossMs }),
    maxRestarts: 2,
  };
}

/**
 * Judges a deployment from repeated samples. A unit's state alone proves little: `Restart=always`
 * never shows `failed`, so a restart begins the quiet time again, too many of them end the
 * probation, and the probe must pass, too.
 */
export class Probation {
  private readonly rules: ProbationRules;
  private readonly startMs: number;
  private readonly restartsBefore: ReadonlyMap<string, number>;
  private restartsSeen = 0;
  private healthySinceMs: number | undefined;
  private brokerLostAtMs: number | undefined;
  /** Since when an answer of the broker is all that is missing. */
  private askedAtMs: number | undefined;

  constructor(rules: ProbationRules, nowMs: number, first: readonly AppSample[]) {
    this.rules = rules;
    this.startMs = nowMs;
    this.restartsBefore = new Map(first.map((sample) => [sample.app, sample.restarts]));
  }

  /**
   * Judges the next samples, taken at monotonic time `nowMs`.
   *
   * A connection whose packets no longer arrive looks open until its keepalive ends, minutes later.
   * So the broker must answer a message that is sent when everything else is well.
   */
  judge(nowMs: number, samples: readonly AppSample[], broker: BrokerView = { connected: true }): Verdict {
    const lost = this.brokerLost(nowMs, broker);
    if (lost === 'too long') return withoutBroker;
    for (const sample of samples) {
      const end = this.fatal(sample);
      if (end !== undefined) return { outcome: 'unhealthy', app: sample.app, ...end };
    }
    const restarts = samples.reduce((sum, sample) => sum + sample.restarts, 0);
    const unhealthy = samples.find((sample) => whyUnhealthy(sample) !== undefined);
    if (unhealthy !== undefined || lost === 'disconnected') this.healthySinceMs = undefined;
    else if (this.healthySinceMs === undefined || restarts !== this.restartsSeen) this.healthySinceMs = nowMs;
    this.restartsSeen = restarts;

    if (this.healthySinceMs !== undefined && nowMs - this.healthySinceMs >= this.rules.quietMs) {
      if (this.rules.brokerLossMs === undefined) return { outcome: 'healthy' };
      this.askedAtMs ??= nowMs;
      if (answersSince(this.askedAtMs, broker)) return { outcome: 'healthy' };
      return { outcome: 'waiting', askBroker: true };
    }
    this.askedAtMs = undefined;
    if (nowMs - this.startMs < this.rules.deadlineMs) return { outcome: 'waiting' };
    if (unhealthy === undefined && lost !== 'no') return withoutBroker;
    const app = unhealthy ?? samples[0];
    return {
      outcome: 'unhealthy',
      app: app?.app ?? '',
      reason: (app && whyUnhealthy(app)) ?? 'was not healthy for long enough without a break',
      byProbe: app?.activeState === 'active' && whyUnhealthy(app) !== undefined,
    };
  }

  private brokerLost(nowMs: number, broker: BrokerView): 'no' | 'disconnected' | 'silent' | 'too long' {
    const { brokerLossMs } = this.rules;
    const isAnswered = this.askedAtMs === undefined || answersSince(this.askedAtMs, broker);
    if (brokerLossMs === undefined || (broker.connected && isAnswered)) {
      this.brokerLostAtMs = undefined;
      return 'no';
    }
    this.brokerLostAtMs ??= this.askedAtMs ?? nowMs;
    if (nowMs - this.brokerLostAtMs >= brokerLossMs) return 'too long';
    return broker.connected ? 'silent' : 'disconnected';
  }

  private fatal(sample: AppSample): { readonly reason: string; readonly byProbe: boolean } | undefined {
    const ended = (reason: string) => ({ reason, byProbe: false });
    if (sample.activeState === 'failed') return ended(`ended with ${sample.lastResult}`);
    const restarts = sample.restarts - (this.restartsBefore.get(sample.app) ?? 0);
    if (restarts > this.rules.maxRestarts)
      return ended(`was restarted ${restarts} times, last for ${sample.lastResult}`);
    const reason = whyUnhealthy(sample);
    if (reason !== undefined && sample.probe?.state === 'failing' && sample.hasStartPeriod === true)
      return { reason, byProbe: true };
    return undefined;
  }
}

const withoutBroker: Verdict = {
  outcome: 'unhealthy',
  app: '',
  byProbe: false,
  reason: 'the device lost its broker under this version and did not get it back',
};

function answersSince(timeMs: number, { connected, answeredMs }: BrokerView): boolean {
  return connected && answeredMs !== undefined && answeredMs >= timeMs;
}

/** Why an app is not healthy at this moment; undefined when it is. */
export function whyUnhealthy(sample: AppSample): string | undefined {
  if (sample.timer !== undefined) {
    if (sample.timer !== 'active') return `is not scheduled: its timer is ${sample.timer}`;
    const failed = sample.activeState === 'failed' || sample.subState.startsWith('auto-restart');
    return failed ? `ended with ${sample.lastResult}` : undefined;
  }
  if (sample.activeState !== 'active')
    return `is ${sample.activeState}/${sample.subState} (${sample.lastResult})`;
  const { probe } = sample;
  if (probe === undefined || probe.state === 'passing') return undefined;
  const { successes, detail } = probe;
  return successes > 0
    ? `has too few successes of its probe in a row, ${successes}: ${detail}`
    : `does not pass its probe: ${detail}`;
}
