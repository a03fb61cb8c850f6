/**
 * Why wherry refuses. The one closed list of codes that travel on the wire, stand in the journal
 * and decide the exit status of the command line; docs/contract.md explains each. This folder does
 * not know where a refusal arose.
 */
export { exitCodeOf, type RefusalCode, refusalCodes } from './codes.ts';
export { asLocalRefusal, diskRefusal, localErrorOf, unreadableFile } from './local-error.ts';
export { isRefusal, Refusal } from './refusal.ts';
