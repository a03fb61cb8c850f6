import type { Clock, Random } from '../../core/ports/index.ts';
import { type BandwidthCap, cappedPieceBytes } from './bandwidth-cap.ts';
import { BodyPieces } from './body-pieces.ts';
import { DownloadError, RangeRefused, SourceChanged } from './download-error.ts';
import { reasonOf, type HttpClient, type HttpResponse } from './http-client.ts';
import { JobBudget } from './job-budget.ts';
import { judgeResponse, strongValidator, withCoding } from './response-range.ts';
import { TransferRate } from './transfer-rate.ts';

/** The source of bytes that were received, with what is needed to continue safely. */
export interface Source {
  readonly url: string;
  /** Strong ETag or Last-Modified, when the server gave one. */
  readonly validator?: string;
}

export interface DownloadRequest {
  /** Mirrors, tried in order. */
  readonly urls: readonly string[];
  /** How many bytes were received already; the first delivered byte is the one at this offset. */
  readonly startAt: number;
  /** The source of those bytes. */
  readonly source?: Source;
  /** The size of the whole file. Not one byte more is delivered. */
  readonly expectedBytes: number;
  readonly minBytesPerSecond: number;
  /**
   * How answers are joined. `same-validator` (the default): only while the server's validator shows
   * the same file. `any`: regardless of it. `whole-answers`: no ranges are requested; bytes
   * received before are skipped. The last two are for a caller that verifies all bytes at the end.
   */
  readonly continues?: 'same-validator' | 'any' | 'whole-answers';
  /** Shared by all downloads of a job; by default one for this download alone. */
  readonly budget?: JobBudget;
  /** Called before the first byte of an answer with what a later request needs to continue. */
  readonly onSource?: (source: Source) => void;
}

/**
 * How often and how patiently a job tries. Bounded, so that a broken server ends the job before it
 * drains the battery.
 */
export interface DownloadPatience {
  /** The time over which the rate of a sender is measured, and how long an answer may take. */
  readonly windowMs: number;
  /** Consecutive tries without a byte, per mirror. */
  readonly idleTries: number;
  /** Tries of a job altogether: bounds a server that sends one byte per connection. */
  readonly maxTries: number;
  /** The longest first wait between tries; doubles up to `maxDelayMs`, with full jitter. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

export const defaultPatience: DownloadPatience = {
  windowMs: 30_000,
  idleTries: 5,
  maxTries: 60,
  firstDelayMs: 1_000,
  maxDelayMs: 30_000,
};

/**
 * How long to wait before the next round of tries. With full jitter, so that the devices of a fleet
 * do not retry in step after a server failure; at least the time that the server requested, but
 * never longer than `maxDelayMs`.
 * @param round how many rounds have failed, from 1
 */
export function delayMs(patience: DownloadPatience, random: Random, round: number, askedMs: number): number {
  const { firstDelayMs, maxDelayMs } = patience;
  const longestMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.max(0, round - 1));
  return Math.min(maxDelayMs, askedMs + longestMs * random.fraction());
}

export interface DownloadPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly http: HttpClient;
  readonly patience?: DownloadPatience;
  /** Shared by all downloads of a pull. */
  readonly cap?: BandwidthCap;
}

/**
 * One file, from whichever mirror has it: an iterable of the bytes from `startAt` to the end. It
 * continues where it stopped over cut connections, with other mirrors, and with servers that know
 * no ranges.
 *
 * Iterating throws `DownloadError`: `download-failed`, `download-truncated`, `download-too-large`,
 * `download-too-slow`, the last one when no mirror is left; and `SourceChanged` when the received
 * bytes are of another file.
 */
export class Download implements AsyncIterable<Buffer> {
  readonly #ports: DownloadPorts;
  readonly #request: DownloadRequest;
  readonly #patience: DownloadPatience;
  readonly #budget: JobBudget;
  /** Mirrors that answered a range with something else. */
  readonly #withoutRanges = new Set<string>();
  #offset: number;
  #receivedBytes = 0;
  #bodies = 0;

  constructor(ports: DownloadPorts, request: DownloadRequest) {
    this.#ports = ports;
    this.#request = request;
    this.#patience = ports.patience ?? defaultPatience;
    this.#budget = request.budget ?? new JobBudget(request.expectedBytes, this.#patience.maxTries);
    this.#offset = request.startAt;
  }

  /** Bytes received over the network, including skipped ones. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** How many answers the bytes come from. */
  get bodies(): number {
    return this.#bodies;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const { urls, expectedBytes } = this.#request;
    const mirrors = [...urls];
    let at = 0;
    let idle = 0;
    let askedMs = 0;
    let source = this.#request.source;
    while (this.#offset < expectedBytes) {
      const url = mirrors[at % mirrors.length];
      if (url === undefined) throw new Error('a download needs at least one address');
      const before = this.#offset;
      this.#budget.beginTry();
      let failure: DownloadError;
      try {
        const known = source?.url === url ? source : { url };
        const response = await this.#open(known);
        source = this.#sourceOf(url, response, known);
        yield* this.#body(response);
        return;
      } catch (error) {
        if (!(error instanceof DownloadError)) throw error;
        failure = error;
      }
      if (failure instanceof RangeRefused && !this.#withoutRanges.has(url) && !this.#budget.isOutOfTries) {
        this.#withoutRanges.add(url);
        continue;
      }
      idle = this.#offset > before ? 1 : idle + 1;
      askedMs = Math.max(askedMs, failure.retryAfterMs);
      if (failure.final)
        mirrors.splice(at % mirrors.length, 1); // this server does not have the file, or refuses it
      else at += 1;
      // Also when no mirror is left.
      if (this.#budget.isOutOfTries || idle >= this.#patience.idleTries * mirrors.length) throw failure;
      if (at === 0 || at % mirrors.length > 0) continue;
      const { clock, random } = this.#ports;
      await clock.sleep(delayMs(this.#patience, random, Math.floor(idle / mirrors.length), askedMs));
      askedMs = 0;
    }
  }

  async #open(source: Source): Promise<HttpResponse> {
    const headers: Record<string, string> = {};
    const { continues, expectedBytes } = this.#request;
    const asksRange =
      this.#offset > 0 && continues !== 'whole-answers' && !this.#withoutRanges.has(source.url);
    if (asksRange) {
      headers['range'] = `bytes=${this.#offset}-`;
      if (source.validator !== undefined && continues !== 'any') headers['if-range'] = source.validator;
    }
    this.#budget.require(expectedBytes - (asksRange ? this.#offset : 0), serverOf(source.url));
    return this.#ports.http.get(source.url, headers, this.#patience.windowMs);
  }

  /**
   * Checks whether the answer continues the received bytes, and reports what the next request
   * needs.
   */
  #sourceOf(url: string, response: HttpResponse, known: Source): Source {
    const validator = strongValidator(response.body.headers);
    const restarts = this.#offset > 0 && response.status === 200;
    const isJudged = (this.#request.continues ?? 'same-validator') === 'same-validator';
    if (isJudged && restarts && known.validator !== undefined && validator !== known.validator) {
      this.#budget.spend(response.body.readableLength);
      response.body.destroy();
      throw new SourceChanged(response.from);
    }
    if (response.status !== 200 && response.status !== 206) return known;
    const source = validator === undefined ? { url } : { url, validator };
    if (source.validator !== known.validator || this.#offset === 0) this.#request.onSource?.(source);
    return source;
  }

  async *#body(response: HttpResponse): AsyncGenerator<Buffer, void, undefined> {
    const { expectedBytes, minBytesPerSecond } = this.#request;
    const { clock, cap } = this.#ports;
    const { body, from, status } = response;
    const pieces = new BodyPieces(body, cap?.pieceBytes ?? cappedPieceBytes(0));
    const rate = new TransferRate(minBytesPerSecond, this.#patience.windowMs);
    const tooSlow = (): DownloadError =>
      new DownloadError('download-too-slow', `${from} sent less than ${minBytesPerSecond} bytes per second`, {
        resumable: true,
      });
    let countedBytes = 0;
    let waitingSince: number | undefined;
    /**
     * Counts the bytes since the last count and the time spent waiting; returns whether that is too
     * slow.
     */
    const arrivalsTooSlow = (): boolean => {
      if (waitingSince === undefined) return false;
      const nowMs = clock.monotonicMs();
      const [bytes, waitedMs] = [pieces.arrivedBytes - countedBytes, nowMs - waitingSince];
      countedBytes += bytes;
      waitingSince = nowMs;
      this.#receivedBytes += bytes;
      this.#budget.spend(bytes);
      return rate.arrived(bytes, waitedMs);
    };
    const watch = new AbortController();
    const watchdog = (async () => {
      for (;;) {
        await clock.sleep(this.#patience.windowMs / 10, watch.signal);
        if (arrivalsTooSlow()) body.destroy(tooSlow());
      }
    })().catch(() => undefined); // ends by the abort below
    try {
      const wanted = { offset: this.#offset, expectedBytes };
      let skip = judgeResponse(from, status, body.headers, wanted).skipBytes;
      this.#budget.require(expectedBytes - this.#offset + skip, from);
      this.#bodies += 1;
      for (;;) {
        waitingSince = clock.monotonicMs();
        const chunk = await pieces.next();
        if (arrivalsTooSlow()) throw tooSlow();
        waitingSince = undefined; // from here on the sender waits
        if (chunk === undefined) break;
        await cap?.take(chunk.length);
        if (skip >= chunk.length) {
          skip -= chunk.length;
          continue;
        }
        const fresh = skip === 0 ? chunk : chunk.subarray(skip);
        skip = 0;
        if (this.#offset + fresh.length > expectedBytes) {
          throw new DownloadError(
            'download-too-large',
            `${withCoding(from, body.headers)} sends more than the ${expectedBytes} bytes`,
            {
              resumable: false,
            },
          );
        }
        this.#offset += fresh.length;
        yield fresh;
      }
      if (this.#offset < expectedBytes) {
        // After 206 the server may send less than requested; the next request covers the rest.
        throw new DownloadError(
          status === 206 ? 'download-failed' : 'download-truncated',
          `${withCoding(from, body.headers)} ended after ${this.#offset} of ${expectedBytes} bytes`,
          { resumable: status === 206 },
        );
      }
    } catch (error) {
      if (error instanceof DownloadError) throw error;
      // An abort by the caller passes unchanged.
      if (error instanceof Error && error.name === 'AbortError') throw error;
      throw new DownloadError(
        'download-failed',
        `${from} was cut off after ${this.#offset} of ${expectedBytes} bytes: ${reasonOf(error)}`,
        { resumable: true, cause: error },
      );
    } finally {
      watch.abort();
      this.#budget.spend(pieces.arrivedBytes - countedBytes); // read ahead, and not used
      body.destroy();
      await watchdog;
    }
  }
}

/** The address without what may be secret. */
function serverOf(address: string): string {
  const { origin, pathname } = new URL(address);
  return `${origin}${pathname}`;
}
