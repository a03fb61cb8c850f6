/** The App Container specification's types. Bytes in, value or refusal out; no I/O. */
export type * from './types.ts';
