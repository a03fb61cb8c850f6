/**
 * systemd as wherry sees it: unit text, the manager over D-Bus, the journal, readiness. Unit text is pure; the rest talks to
 * the systemd of this machine and to nothing else. No other folder writes a directive or speaks D-Bus.
 */
export type * from '../device/systemd/systemd.ts';
export { escapeUnitName, escapeUnitPath, unitNameMaxBytes } from '../device/systemd/index.ts';
export { openJournal } from '../device/systemd/index.ts';
export { openNotifier, type Notifier } from '../device/systemd/index.ts';
export { connectSystemd, type SystemdConnection, type SystemdOptions } from '../device/systemd/index.ts';
export { unitText, type ResourceLimits, type UnitDescription } from '../device/systemd/index.ts';
