/**
 * Why wherry says no. The one closed list of codes that travel on the wire, stand in the journal and decide the
 * exit status of the command line; docs/contract.md explains each. This folder knows nothing of where a refusal arose.
 */
export { exitCodeOf, refusalCodes, type RefusalClass, type RefusalCode } from './codes.ts';
export { isRefusal, Refusal } from './refusal.ts';
export { asLocalRefusal, localErrorOf } from './local-error.ts';
export { diskRefusal, isSystemError } from './system-error.ts';
