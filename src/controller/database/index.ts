/**
 * Stores rollouts in a SQLite file, or on a PostgreSQL server that several controllers share. A
 * driver is loaded when a store is opened; programs for devices contain none.
 */
export { openRolloutStore } from './open-store.ts';
export type {
  Commands,
  Decision,
  NewAnswer,
  RolloutStore,
  RolloutSummary,
  StoredCommand,
  StoredRollout,
} from './rollout-store.ts';
export { DatabaseLost } from './sql.ts';
