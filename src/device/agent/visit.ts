import type { Clock } from '../../core/ports/index.ts';

/**
 * With `broker.connection = "timer"`, each run of wherryd is a visit to the broker: it connects,
 * carries out the commands, reports, and ends. This file decides when it has ended.
 */
export interface VisitFacts {
  readonly sinceStartMs: number;
  /** How long the session has been established; undefined without one. */
  readonly connectedForMs?: number;
  /** How long there has been no session: since the start, or since the last one was lost. */
  readonly aloneForMs: number;
  /** How long nothing has been under way or waiting to be sent. */
  readonly quietForMs: number;
  /** Whether a command came on this connection. */
  readonly hasCommand: boolean;
  /** The probation of the pending deployment; 0 without one. */
  readonly probationSeconds: number;
}

/** Without a broker for so long, the visit ends. */
const connectWithinMs = 10 * 60_000;
/** A report follows a change within a second. */
const quietMs = 3_000;
/** When no command came, the session subscribes once more 5 to 15 s after it was established. */
const answerWithinMs = 20_000;
/**
 * Longer than any reasonable download. The deployment stays pending, and the next visit resumes it.
 */
const workWithinMs = 2 * 3_600_000;

/** Whether there is nothing more to wait for, or the visit has waited long enough. */
export function visitIsOver(facts: VisitFacts): boolean {
  const { sinceStartMs, connectedForMs, aloneForMs, quietForMs, hasCommand, probationSeconds } = facts;
  if (sinceStartMs >= workWithinMs + probationSeconds * 1000) return true;
  if (quietForMs < quietMs) return false;
  if (connectedForMs === undefined) return aloneForMs >= connectWithinMs;
  return hasCommand || connectedForMs >= answerWithinMs;
}

/** The ports that a visit checks each second. */
export interface VisitPorts {
  readonly clock: Clock;
  /** Whether a deployment, a repair or an examination is under way. */
  readonly isBusy: () => boolean;
  /** The state of the session; undefined while there is no connection. */
  readonly traffic: () => { readonly hasCommand: boolean; readonly hasUnsent: boolean } | undefined;
  readonly probationSeconds: () => number;
  /** Resolves when no root of trust is awaited or examined. */
  readonly settled: () => Promise<void>;
}

const sampleMs = 1_000;

/** Resolves when the visit is over, or when `signal` is aborted. */
export async function endOfVisit(ports: VisitPorts, signal: AbortSignal): Promise<void> {
  const { clock } = ports;
  const startedAtMs = clock.monotonicMs();
  let connectedAtMs: number | undefined;
  let quietSinceMs = startedAtMs;
  let aloneSinceMs = startedAtMs;
  while (!signal.aborted) {
    await clock.sleep(sampleMs, signal).catch(() => undefined);
    await ports.settled();
    const nowMs = clock.monotonicMs();
    const traffic = ports.traffic();
    connectedAtMs = traffic === undefined ? undefined : (connectedAtMs ?? nowMs);
    if (traffic !== undefined) aloneSinceMs = nowMs;
    if (ports.isBusy() || traffic?.hasUnsent === true) quietSinceMs = nowMs;
    const facts = {
      sinceStartMs: nowMs - startedAtMs,
      ...(connectedAtMs === undefined ? {} : { connectedForMs: nowMs - connectedAtMs }),
      aloneForMs: nowMs - aloneSinceMs,
      quietForMs: nowMs - quietSinceMs,
      hasCommand: traffic?.hasCommand === true,
      probationSeconds: ports.probationSeconds(),
    };
    if (visitIsOver(facts)) return;
  }
}
