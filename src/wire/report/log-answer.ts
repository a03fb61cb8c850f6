import {
  bytes,
  encodeCbor,
  integer,
  map,
  oneOf,
  optional,
  type Reader,
  text,
} from '../../core/cbor/index.ts';
import { decode, line } from './read-message.ts';
import { sendable } from './sendable.ts';
import { wireBytes } from './wire-text.ts';

/** A part of what a pod wrote, or the end of the answer to a request for logs. */
export type LogAnswer = LogChunk | LogEnd;

export interface LogChunk {
  readonly format: 1;
  /** SHA-256 of the payload of the request, lower-case hex. */
  readonly request: string;
  /** Counts the messages of the answer from 0. */
  readonly seq: number;
  /** Text as journalctl prints it. A character may be cut between two chunks. */
  readonly text: Uint8Array;
}

/** The last message of an answer. */
export interface LogEnd {
  readonly format: 1;
  readonly request: string;
  readonly seq: number;
  readonly end: LogEndReason;
  /** Bytes of text. */
  readonly sentBytes: number;
  /** Bytes that were read and not sent. The journal may contain more. */
  readonly leftOutBytes: number;
  /** Present for `refused` and `failed`. */
  readonly code?: string;
  readonly message?: string;
}

/**
 * `complete`: there is no more. `stopped`: the operator requested it. `superseded`: a newer request
 * is answered.
 */
export type LogEndReason =
  'complete' | 'deadline' | 'limit' | 'stopped' | 'superseded' | 'refused' | 'failed';

/** The most text of one message, in bytes. */
export const maxChunkBytes = 8192;

/** The answer as bytes that `decodeLogAnswer` accepts. */
export function encodeLogAnswer(answer: LogAnswer): Uint8Array {
  return encodeCbor('end' in answer ? sendable(answer) : answer);
}

/** @throws Refusal `input-invalid` */
export function decodeLogAnswer(message: Uint8Array): LogAnswer {
  return decode(message, 2 * maxChunkBytes, answer, 'part of a log');
}

const common = { format: oneOf(1), request: text(64), seq: integer(0) };
const chunk: Reader<LogChunk> = map({ ...common, text: bytes(maxChunkBytes) });
const end: Reader<LogEnd> = map({
  ...common,
  end: oneOf('complete', 'deadline', 'limit', 'stopped', 'superseded', 'refused', 'failed'),
  sentBytes: integer(0),
  leftOutBytes: integer(0),
  code: optional(line(wireBytes.name)),
  message: optional(line(wireBytes.sentence)),
});
const answer: Reader<LogAnswer> = (value, path) => {
  const isEnd = typeof value === 'object' && value !== null && 'end' in value;
  return isEnd ? end(value, path) : chunk(value, path);
};
