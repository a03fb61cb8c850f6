/**
 * Where rollouts are kept: a SQLite file, or a PostgreSQL server that several controllers share.
 * Neither driver is loaded before a store is opened, and none is in a program for devices.
 */
export { openRolloutStore } from './open-store.ts';
export type {
  Commands,
  Decision,
  NewAnswer,
  RolloutStore,
  RolloutSummary,
  StoredRollout,
} from './rollout-store.ts';
