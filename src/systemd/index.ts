/**
 * systemd as wherry sees it: unit text, the manager over D-Bus, the journal, readiness. Unit text is pure; the rest talks to
 * the systemd of this machine and to nothing else. No other folder writes a directive or speaks D-Bus.
 */
export type * from './systemd.ts';
export { escapeUnitName, escapeUnitPath, unitNameMaxBytes } from './escape.ts';
export { openJournal } from './journal.ts';
export { openNotifier, type Notifier } from './notify.ts';
export { connectSystemd, type SystemdConnection, type SystemdOptions } from './manager.ts';
export { unitText, type ResourceLimits, type UnitDescription } from './unit-text.ts';
