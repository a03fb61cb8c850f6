/**
 * What the short-lived unprivileged units share: the format of their job and result files and the building of an object.
 */
export { knownCode } from './known-code.ts';
export { startObjectBuilder } from './object-builder.ts';
export { decodeUnitFile, encodeResult, hexDigits, type RefusedResult, resultOf } from './unit-file.ts';
