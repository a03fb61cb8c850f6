import { boolean, encodeCbor, integer, map, oneOf, type Reader } from '../../core/cbor/index.ts';
import { decode, line, maxSmallBytes } from './read-message.ts';
import type { Presence } from './report.ts';
import { sendable } from './sendable.ts';
import { wireBytes } from './wire-text.ts';

export function encodePresence(presence: Presence): Uint8Array {
  return encodeCbor(sendable(presence));
}

/** @throws Refusal `input-invalid` */
export function decodePresence(bytes: Uint8Array): Presence {
  return decode(bytes, maxSmallBytes, presence, 'presence');
}

export const presence: Reader<Presence> = map({
  format: oneOf(1),
  bootId: line(wireBytes.name),
  connection: integer(1),
  up: boolean,
});
