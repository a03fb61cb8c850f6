import type { DeployedPod } from '../deploy/index.ts';
import { Probation, probationRules } from '../health/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { PodWatch } from './pod-watch.ts';

const lookEveryMs = 1000;

/**
 * Waits until `pods` were healthy for `seconds`.
 * @throws Refusal `probation-failed`, `probe-failed`; the reason of `signal`
 */
export async function watchProbation(
  pods: readonly DeployedPod[],
  seconds: number,
  { clock, watch }: { readonly clock: Clock; readonly watch: PodWatch },
  signal: AbortSignal,
): Promise<void> {
  const look = async () =>
    (await Promise.all(pods.map((pod) => watch.observe(pod)))).flat().map(({ sample }) => sample);
  const probation = new Probation(probationRules(seconds), clock.monotonicMs(), await look());
  for (;;) {
    signal.throwIfAborted();
    const verdict = probation.judge(clock.monotonicMs(), await look());
    if (verdict.outcome === 'healthy') return;
    if (verdict.outcome === 'unhealthy') {
      throw new Refusal(
        verdict.byProbe ? 'probe-failed' : 'probation-failed',
        `app ${verdict.app} ${verdict.reason}`,
      );
    }
    await clock.sleep(lookEveryMs, signal);
  }
}
