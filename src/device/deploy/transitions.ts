import type { DeploymentPhase, DeploymentUnderWay } from '../../wire/report/index.ts';

/** The phases that a deployment leaves. */
export type PendingPhase = DeploymentUnderWay['phase'];

/** What can happen to a deployment that is under way. */
export type DeploymentEventName =
  | 'fetched' // every image is a verified object on the disk
  | 'staged' // units and bundles are written, images are mounted
  | 'open' // nothing holds the activation, and nothing has held it since the set was staged
  | 'waited' // nothing holds it any more: what was staged meanwhile may have been collected
  | 'started' // every unit of the set has started
  | 'healthy' // the probation is over and every check held
  | 'failed' // something that the deployment needs was refused, and no pod has been touched
  | 'failed-late' // something was refused, did not start or did not stay healthy after pods had been touched
  | 'newer'; // a newer desired state was accepted

/** Where every run of a deployment begins, also one that takes it up again. */
export const firstPhase: PendingPhase = 'fetch';

/**
 * The whole life of a deployment; `runDeployment` goes by it. What fails before a pod was touched
 * ends as `refused`. After that the previous set was stopped and comes back, so it ends as
 * `rolled-back`. A deployment that is taken up again after its activation had begun goes through
 * `fetch` and `stage` once more, with pods touched. The phases on the right that are not keys are
 * terminal: each command reaches exactly one of them.
 */
export const transitions: Readonly<
  Record<PendingPhase, Readonly<Partial<Record<DeploymentEventName, DeploymentPhase>>>>
> = {
  fetch: { fetched: 'stage', failed: 'refused', 'failed-late': 'rolled-back', newer: 'superseded' },
  stage: { staged: 'wait', failed: 'refused', 'failed-late': 'rolled-back', newer: 'superseded' },
  wait: {
    open: 'activate',
    waited: 'stage',
    // What has begun is not held, so nothing fails late here.
    failed: 'refused',
    newer: 'superseded',
  },
  activate: { started: 'probation', failed: 'refused', 'failed-late': 'rolled-back', newer: 'superseded' },
  probation: { healthy: 'committed', 'failed-late': 'rolled-back', newer: 'superseded' },
};

/** The phase after `event`; a pair that the table does not have is a bug. */
export function nextPhase(phase: PendingPhase, event: DeploymentEventName): DeploymentPhase {
  const next = transitions[phase][event];
  if (next === undefined) throw new Error(`the deployment table has no ${event} in ${phase}`);
  return next;
}

/** Whether a phase is one that a deployment still leaves. */
export function isPending(phase: DeploymentPhase): phase is PendingPhase {
  return phase in transitions;
}
