import type { DeployedPod, ProbationTerms } from '../deploy/index.ts';
import { Probation, probationRules } from '../health/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { LastOutput } from './last-output.ts';
import { appOfPod, type PodWatch } from './pod-watch.ts';

const lookEveryMs = 1000;

/** How long an attempt to connect may take, once the session has waited for its turn. */
const attemptMs = 60_000;

/** The device's session with its broker. */
export interface ProbationBroker {
  readonly connected: () => boolean;
  /** Sends a message that changes nothing; resolves with whether it was acknowledged. */
  readonly reach: () => Promise<boolean>;
  /** After a boot the session waits up to this long before its first attempt. */
  readonly bootSpreadMs: number;
}

export interface ProbationPorts {
  readonly clock: Clock;
  readonly watch: PodWatch;
  readonly broker: ProbationBroker;
  /** Absent: no output is quoted. */
  readonly lastOutput?: LastOutput;
}

/**
 * Waits until `pods` have been healthy for `seconds`, with a broker if that is judged.
 * @throws Refusal `probation-failed`, `probe-failed`; the reason of `signal`
 */
export async function watchProbation(
  pods: readonly DeployedPod[],
  { seconds, reconnectWindowMs, unchanged = [] }: ProbationTerms,
  { clock, watch, broker, lastOutput = () => Promise.resolve('') }: ProbationPorts,
  signal: AbortSignal,
): Promise<void> {
  const judged = pods.filter(({ timer }) => timer === undefined || !unchanged.includes(timer));
  const look = async () =>
    (await Promise.all(judged.map((pod) => watch.observe(pod)))).flat().map(({ sample }) => sample);
  let samples = await look();
  let answeredMs: number | undefined;
  let isAsking = false;
  const askBroker = async (onAnswer: () => void) => {
    if (isAsking) return;
    isAsking = true;
    const sentMs = clock.monotonicMs();
    if (await broker.reach()) {
      answeredMs = sentMs;
      onAnswer();
    }
    isAsking = false;
  };
  const brokerLossMs =
    reconnectWindowMs === undefined
      ? undefined
      : Math.max(reconnectWindowMs, broker.bootSpreadMs) + attemptMs;
  const probation = new Probation(probationRules(seconds, brokerLossMs), clock.monotonicMs(), samples);
  for (; ; samples = await look()) {
    signal.throwIfAborted();
    const view = { connected: broker.connected(), ...(answeredMs === undefined ? {} : { answeredMs }) };
    const verdict = probation.judge(clock.monotonicMs(), samples, view);
    if (verdict.outcome === 'healthy') return;
    if (verdict.outcome === 'unhealthy') {
      const { app, reason, byProbe } = verdict;
      const code = byProbe ? 'probe-failed' : 'probation-failed';
      const culprit = judged.flatMap((pod) =>
        pod.services.filter((one) => appOfPod(one.app, pod) === app).map((one) => ({ pod, app: one.app })),
      )[0];
      if (culprit === undefined) throw new Refusal(code, reason);
      const output = await lastOutput(culprit.pod, culprit.app);
      throw new Refusal(code, `app ${app} ${reason}${output}`);
    }
    if (verdict.askBroker !== true) {
      await clock.sleep(lookEveryMs, signal);
      continue;
    }
    // An answer of the broker ends the pause.
    const over = new AbortController();
    void askBroker(() => over.abort());
    await clock
      .sleep(lookEveryMs, AbortSignal.any([signal, over.signal]))
      .catch(() => signal.throwIfAborted());
  }
}
