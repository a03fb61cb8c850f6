/**
 * Rollouts as values: who is in which wave, and what comes next. Pure decisions over what is stored
 * and what devices report: no I/O, no clock of its own.
 */
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
export { isCommandedOtherwise, isTouched, type Standing, standingOf, undoStandingOf } from './standing.ts';
export { type Tally, tallyWaves } from './tally.ts';
export { formatStage, parseStage, wavesOf } from './waves.ts';
