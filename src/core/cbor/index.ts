/**
 * CBOR as wherry writes and reads it: one value, one encoding. Everything that is signed, sent or
 * stored is encoded here. This folder knows none of wherry's messages: it has the codec, and
 * readers that turn a decoded map into a typed value with explicit limits. No I/O.
 */
export { decodeCbor } from './decode.ts';
export { encodeCbor } from './encode.ts';
export {
  boolean,
  bytes,
  integer,
  list,
  map,
  oneOf,
  optional,
  parsed,
  type Reader,
  readFields,
  record,
  shownKey,
  tagged,
  text,
} from './fields.ts';
export { inPlace } from './in-place.ts';
export { readCbor } from './read.ts';
export { CborError, type CborValue } from './value.ts';
