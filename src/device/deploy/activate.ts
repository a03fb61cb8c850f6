import { isRefusal, type Refusal } from '../../core/refusal/index.ts';
import { describeStep, planActivation, type Step } from './plan.ts';
import type { DeployedPod } from './state.ts';
import type { World } from './world.ts';

/** Called with each step in words before it is done. */
export type StepObserver = (step: string) => void;

/**
 * Makes exactly `pods` run.
 *
 * @throws Refusal `activation-failed` at the first app that does not start; the reason of `signal`
 *   between two steps
 */
export async function activatePods(
  world: World,
  pods: readonly DeployedPod[],
  signal: AbortSignal,
  onStep: StepObserver,
): Promise<void> {
  for await (const step of stepsTo(pods, world, onStep, signal)) await world.perform(step, signal);
}

/**
 * Starts `pods`, the last good set, as far as possible. It is not judged again: there is no better
 * set, and so no loop. An app that does not start does not prevent the others from starting.
 *
 * @returns the refusals of the steps that failed
 * @throws the reason of `signal`
 */
export async function restorePods(
  world: World,
  pods: readonly DeployedPod[],
  onStep: StepObserver,
  signal?: AbortSignal,
): Promise<readonly Refusal[]> {
  const refusals: Refusal[] = [];
  const attempt = attempts(world);
  for await (const step of stepsTo(pods, world, onStep, signal)) {
    refusals.push(...(await attempt(step, signal)));
  }
  return refusals;
}

/**
 * Starts `pods`, the last good set, after pods were stopped. Like `restorePods`, but an abort of
 * `signal` only ends the waits for apps: systemd is requested to start all of them, and does that
 * in their order, as at boot.
 */
export async function bringBackPods(
  world: World,
  pods: readonly DeployedPod[],
  signal: AbortSignal,
  onStep: StepObserver,
): Promise<void> {
  const attempt = attempts(world);
  for await (const step of stepsTo(pods, world, onStep)) {
    try {
      await attempt(step, signal);
    } catch (error) {
      if (error !== signal.reason) throw error;
    }
  }
}

/**
 * Performs steps one after the other, and returns the refusal of one that fails. An app that runs
 * once and fails is retried for ever, and the apps that wait for it with it. So after a failure the
 * other apps of the pod are only requested to start.
 */
function attempts(world: World): (step: Step, signal?: AbortSignal) => Promise<readonly Refusal[]> {
  const failed = new Set<string>();
  return async (step, signal) => {
    const isRequest = step.do === 'start' && failed.has(step.pod);
    const wait = isRequest ? AbortSignal.abort() : signal;
    try {
      await world.perform(step, wait);
    } catch (error) {
      if (isRequest && error === wait?.reason) return [];
      if (!isRefusal(error)) throw error;
      if (step.do === 'start') failed.add(step.pod);
      return [error];
    }
    return [];
  };
}

/**
 * The steps after which exactly `pods` run, each told before it is done.
 * @throws the reason of `signal` between two steps
 */
async function* stepsTo(
  pods: readonly DeployedPod[],
  world: World,
  onStep: StepObserver,
  signal?: AbortSignal,
): AsyncGenerator<Step, void> {
  for (const step of planActivation(await world.loaded(), pods, world.replaced())) {
    signal?.throwIfAborted();
    const words = describeStep(step);
    if (words !== undefined) onStep(words);
    yield step;
  }
}
