/**
 * The closed list of refusal codes. They are used on the wire, in the journal and for the exit
 * status of the command line; docs/contract.md explains each. This folder does not know where a
 * refusal comes from.
 */
export { exitCodeOf, type RefusalCode, refusalCodes } from './codes.ts';
export {
  asLocalRefusal,
  diskRefusal,
  fromFile,
  localErrorOf,
  reasonOf,
  unreadableFile,
} from './local-error.ts';
export { isRefusal, notYetValid, Refusal, refusalAt } from './refusal.ts';
