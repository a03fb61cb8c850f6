import type { DeploymentPhase, DeploymentUnderWay } from '../../wire/report/index.ts';

/** The phases that are not terminal. */
export type PendingPhase = DeploymentUnderWay['phase'];

/** What can happen to a deployment that is under way. */
export type DeploymentEventName =
  | 'fetched' // every image is a verified object on the disk
  | 'staged' // units and bundles are written, images are mounted
  | 'open' // nothing holds the activation, and nothing has held it since the set was staged
  | 'waited' // nothing holds it any more: objects may have been collected since it was staged
  | 'started' // every unit of the set has started
  | 'healthy' // the probation is over and every check held
  | 'failed' // something that the deployment needs was refused, and no pod has been touched
  | 'failed-late' // something was refused, did not start or did not stay healthy after pods had been touched
  | 'newer'; // a newer desired state was accepted

/** The phase in which every run of a deployment begins, also one that resumes it. */
export const firstPhase: PendingPhase = 'fetch';

/**
 * The transition table of deployments; `runDeployment` follows it. A failure before pods were
 * touched ends as `refused`. A later one restores the previous set and ends as `rolled-back`. A
 * deployment that is resumed after its activation had begun passes through `fetch` and `stage`
 * again, with pods touched. The phases on the right that are not keys are terminal: each deployment
 * reaches exactly one of them.
 */
export const transitions: Readonly<
  Record<PendingPhase, Readonly<Partial<Record<DeploymentEventName, DeploymentPhase>>>>
> = {
  fetch: { fetched: 'stage', failed: 'refused', 'failed-late': 'rolled-back', newer: 'superseded' },
  stage: { staged: 'wait', failed: 'refused', 'failed-late': 'rolled-back', newer: 'superseded' },
  wait: {
    open: 'activate',
    waited: 'stage',
    // An activation that has begun is not held, so nothing fails late here.
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

/** Whether a phase is not terminal. */
export function isPending(phase: DeploymentPhase): phase is PendingPhase {
  return phase in transitions;
}
