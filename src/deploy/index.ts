/** The deployment state machine: desired state and the world in, the next step out. */
export type * from './state.ts';
