/**
 * Rollouts as values: which device is in which wave, and the next step. Pure decisions over stored
 * data and reports of devices: no I/O and no clock.
 */
export { waveToApprove } from './approval.ts';
export { planWave, type WavePlan } from './plan-wave.ts';
export {
  type Answer,
  type Member,
  openPhases,
  type Phase,
  type Rollout,
  type Rules,
  type Seen,
  type Stage,
} from './rollout.ts';
export {
  isCommandedOtherwise,
  isTouched,
  type Standing,
  standingOf,
  undoStandingOf,
  withoutFuture,
} from './standing.ts';
export { type Tally, tallyWaves } from './tally.ts';
export { formatStage, parseStage, parseStages, wavesOf } from './waves.ts';
