import {
  CborError,
  decodeCbor,
  encodeCbor,
  map,
  oneOf,
  parsed,
  type Reader,
  readFields,
  text,
} from '../../core/cbor/index.ts';
import { Refusal, type RefusalCode, refusalCodes } from '../../core/refusal/index.ts';

/** The result of a unit that refused its job. */
export interface RefusedResult {
  readonly ok: false;
  readonly code: RefusalCode;
  readonly message: string;
}

interface DoneResult {
  readonly ok: true;
}

/** The two CBOR files that wherryd and one kind of unit exchange in the directory of a job. */
export interface JobFiles<Job, Done extends DoneResult> {
  readonly names: { readonly job: string; readonly result: string };
  /** The limit for either file. */
  readonly maxBytes: number;
  readonly encodeJob: (job: Job) => Uint8Array;
  /** @throws Refusal `internal`: a job that cannot be read is a bug in wherry */
  readonly decodeJob: (file: Uint8Array) => Job;
  /** Cuts a message that is too long for a report. */
  readonly encodeResult: (result: Done | RefusedResult) => Uint8Array;
  /**
   * A code that is not in the closed list becomes `internal`.
   *
   * @throws Refusal `internal`; the unit is not trusted, so nothing of a damaged result is used
   */
  readonly decodeResult: (file: Uint8Array) => Done | RefusedResult;
}

export interface JobFormat<Job, Done extends DoneResult> {
  /** Names the files in refusals: `pull` gives `pull job` and `pull result`. */
  readonly what: string;
  readonly job: Reader<Job>;
  readonly done: Reader<Done>;
  readonly maxBytes: number;
  readonly names?: { readonly job: string; readonly result: string };
}

const maxDepth = 5;
const maxMessageCharacters = 1000;
const refused: Reader<RefusedResult> = map({
  ok: oneOf(false),
  code: parsed(text(64), knownCode),
  message: text(4096),
});

export function jobFiles<Job, Done extends DoneResult>(format: JobFormat<Job, Done>): JobFiles<Job, Done> {
  const { what, job, done, maxBytes, names = { job: 'job.cbor', result: 'result.cbor' } } = format;
  const result: Reader<Done | RefusedResult> = (value, path) => {
    const isRefused = value !== null && typeof value === 'object' && 'ok' in value && value.ok === false;
    return isRefused ? refused(value, path) : done(value, path);
  };
  return {
    names,
    maxBytes,
    encodeJob: encodeCbor,
    decodeJob: (file) => decodeFile(file, job, `${what} job`, maxBytes),
    encodeResult: (value) =>
      encodeCbor(value.ok ? value : { ...value, message: value.message.slice(0, maxMessageCharacters) }),
    decodeResult: (file) => decodeFile(file, result, `${what} result`, maxBytes),
  };
}

/**
 * Reads one file of CBOR.
 *
 * @param what - names it in the refusal
 * @throws Refusal `internal`
 */
export function decodeFile<T>(file: Uint8Array, reader: Reader<T>, what: string, maxBytes: number): T {
  try {
    return readFields(decodeCbor(file, { maxBytes, maxDepth }), reader, what);
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new Refusal('internal', `the ${what} cannot be read: ${cause.message}`, { cause });
  }
}

/** Text of exactly `digits` lower-case hex digits. */
export function hexDigits(digits: number): Reader<string> {
  return parsed(text(digits), (value) => {
    if (value.length !== digits || !/^[0-9a-f]*$/.test(value))
      throw new CborError(`not ${digits} hex digits`);
    return value;
  });
}

function knownCode(code: string): RefusalCode {
  return Object.hasOwn(refusalCodes, code) ? (code as RefusalCode) : 'internal';
}
