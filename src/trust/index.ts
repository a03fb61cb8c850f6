/** Who may command what. Pure decisions over bytes, keys and marks; no I/O, no clock of its own. */
export type * from './desired-state.ts';
