/**
 * Examining one message from the broker in `wherry-examine.service`: the files that it exchanges
 * with wherryd, and starting it. The program itself is wherry-examine.ts.
 */
export type { Examined } from './examined.ts';
export { examineInUnit, examineLogsInUnit, examineRootInUnit } from './examine-unit.ts';
export { type ReceivedSecret, valueFile } from './examine-files.ts';
export { examineUnit } from './wherry-examine.ts';
