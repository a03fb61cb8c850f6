/** Files of the machine: what a device and an operator's machine do alike. It decides nothing. */
export { makeDirectory } from './make-directory.ts';
