/**
 * The deployment state machine: one pending desired state is carried to its one terminal phase. It acts on the device only
 * through the `World` port.
 */
export { maxActivationAttempts, runDeployment, Superseded } from '../device/deploy/index.ts';
export { imageUses, versionOf, type DeploymentUse, type ImageUse } from '../device/deploy/index.ts';
export { mendImages } from '../device/deploy/index.ts';
export { referencedObjects } from '../device/deploy/index.ts';
export { rootsOf } from '../device/deploy/index.ts';
export type { DeploymentPhase, DeploymentReport } from '../wire/report/index.ts';
export { renderingId, type Rendering, type RenderingStep } from '../device/jobs/render/index.ts';
export { decodeState, encodeState } from '../device/deploy/index.ts';
export { emptyState } from '../device/deploy/index.ts';
export type {
  DeployedPod,
  Deployment,
  DeviceState,
  PendingDeployment,
  TrustedMark,
} from '../device/deploy/index.ts';
export {
  isPending,
  nextPhase,
  transitions,
  type DeploymentEventName,
  type PendingPhase,
} from '../device/deploy/index.ts';
export type { DeploymentObserver, StateKeeper, World } from '../device/deploy/index.ts';
