/**
 * What wherry's CBOR can carry: RFC 8949 without floats, tags, `undefined` and keys that are not
 * text.
 */
export type CborValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly CborValue[]
  | { readonly [key: string]: CborValue };

/** Bounds on a message, checked before anything is allocated for it. */
export interface CborLimits {
  /** The longest message that is decoded, in bytes. */
  readonly maxBytes: number;
  /** How deep arrays and maps may nest; a lone integer has depth 0. At most 256. */
  readonly maxDepth: number;
}

/**
 * Bytes that are not one value in deterministic encoding, or a value that CBOR cannot encode or the
 * reader of a field refuses.
 */
export class CborError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'CborError';
  }
}
