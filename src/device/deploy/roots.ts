import { jobName } from '../jobs/index.ts';
import { podUuid } from '../../wire/trust/index.ts';
import type { Roots } from '../store/index.ts';
import { referencedObjects } from './remembered-images.ts';
import type { DeployedPod, DeviceState } from './state.ts';

/**
 * The roots of garbage collection: everything that the current, the previous and the pending
 * deployment need.
 *
 * @param running pods that run, which during a rollback may belong to none of these
 */
export function rootsOf(state: DeviceState, running: readonly DeployedPod[]): Roots {
  const deployments = [state.current, state.previous].filter((deployment) => deployment !== undefined);
  const desired = state.pending?.desired;
  return {
    objectIds: referencedObjects(state),
    jobs: desired?.images.map(({ id }) => jobName(id)) ?? [],
    secretDigests: [
      ...[...deployments.flatMap(({ pods }) => pods), ...running].flatMap(({ services }) =>
        services.flatMap(({ secrets = [] }) => secrets),
      ),
      ...(desired?.secrets?.map(({ digest }) => digest) ?? []),
    ],
    podUuids: [
      ...deployments.flatMap((deployment) => deployment.pods.map((pod) => pod.uuid)),
      ...running.map((pod) => pod.uuid),
      ...(desired?.pods.map((pod) => podUuid(pod.name, pod.manifest)) ?? []),
    ],
  };
}
