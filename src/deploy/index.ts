/**
 * The deployment state machine: one pending desired state is carried to its one terminal phase. It acts on the device only
 * through the `World` port.
 */
export { acceptDesired } from './accepted.ts';
export { maxActivationAttempts, runDeployment, Superseded } from './deployment.ts';
export { imageUses, versionOf, type DeploymentUse, type ImageUse } from './image-use.ts';
export { activatePods, restorePods, type StepObserver } from './activate.ts';
export { describeStep, planActivation, type LoadedUnit, type ReplacedObject, type Step } from './plan.ts';
export { mendImages } from './mend.ts';
export { referencedObjects } from './remembered-images.ts';
export { rootsOf } from './roots.ts';
export type { DeploymentEnd, DeploymentPhase, DeploymentReport, DeploymentUnderWay } from './report.ts';
export { renderingId, type Rendering, type RenderingStep } from './rendering.ts';
export { decodeState, encodeState } from './state-codec.ts';
export { emptyState } from './state.ts';
export type { DeployedPod, Deployment, DeviceState, PendingDeployment } from './state.ts';
export {
  isPending,
  nextPhase,
  transitions,
  type DeploymentEventName,
  type PendingPhase,
} from './transitions.ts';
export type { DeploymentObserver, StateKeeper, World } from './world.ts';
