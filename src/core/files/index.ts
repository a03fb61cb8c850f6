/** Files of the machine: what a device and an operator's machine do alike. It decides nothing. */
export { inDirectory, makeDirectory } from './make-directory.ts';
export { readRegular } from './read-regular.ts';
