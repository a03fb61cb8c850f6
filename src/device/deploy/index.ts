/**
 * The deployment state machine: it runs the pending desired state to a terminal phase. It acts on
 * the device only through the `World` port.
 */
export { acceptDesired, acceptRoot, keepNewerTrust, standAside, trustDesired } from './accepted.ts';
export { activatePods, restorePods } from './activate.ts';
export { type GateFacts, type Lock, whyWait } from './gate.ts';
export { runDeployment, Superseded } from './deployment.ts';
export { type ImageUse, imageUses, versionOf } from './image-use.ts';
export { repairVersion } from './repair.ts';
export {
  describeStep,
  type LoadedUnit,
  planActivation,
  type ReplacedObject,
  type Step,
  unitsOfService,
} from './plan.ts';
export { referencedObjects } from './remembered-images.ts';
export { rootsOf } from './roots.ts';
export { decodeState, encodeState } from './state-codec.ts';
export {
  type DeployedPod,
  type Deployment,
  type DeviceState,
  emptyState,
  type PendingDeployment,
  type TrustedRoot,
} from './state.ts';
export {
  commands,
  isUntried,
  markOfTarget,
  newestIssued,
  targetBefore,
  type TargetGroup,
  targetInWords,
} from './targets.ts';
export { isPending, transitions } from './transitions.ts';
export type { ProbationTerms, StateKeeper, World } from './world.ts';
