/**
 * systemd as wherry uses it: unit text, the manager over D-Bus, the journal, readiness. Unit text
 * is pure; the rest communicates only with the systemd of this machine. No other folder writes
 * directives or uses D-Bus.
 */
export { escapeUnitName, escapeUnitPath, unitNameMaxBytes } from './escape.ts';
export { openJournal } from './journal.ts';
export { connectSystemd, type SystemdOptions } from './manager.ts';
export { openNotifier } from './notify.ts';
export type { JobResult, Systemd, UnitStatus } from './systemd.ts';
export { type ResourceLimits, type UnitDescription, unitText } from './unit-text.ts';
