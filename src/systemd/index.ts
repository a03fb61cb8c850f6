/** systemd as wherry sees it: unit text, the manager over D-Bus, the journal, readiness. */
export type * from './systemd.ts';
