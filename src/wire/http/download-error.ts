import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';

export type DownloadCode = Extract<RefusalCode, `download-${string}`>;

/**
 * What a server or the network did. `resumable` says whether the bytes received so far are worth
 * keeping: a cut connection is continued later, a file that is shorter or longer than commanded
 * never becomes the right one. `final` says that asking this server again in a minute will not
 * help.
 */
export class DownloadError extends Refusal {
  override readonly code: DownloadCode;
  readonly resumable: boolean;
  readonly final: boolean;
  /** How long the server wants to be left alone; 0 when it did not say. */
  readonly retryAfterMs: number;

  /** @param options.final when absent: what is not resumable is final */
  constructor(
    code: DownloadCode,
    message: string,
    options: { resumable: boolean; final?: boolean; retryAfterMs?: number; cause?: unknown },
  ) {
    super(code, message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'DownloadError';
    this.code = code;
    this.resumable = options.resumable;
    this.final = options.final ?? !options.resumable;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

/**
 * A server answered the request for a range with another range, or refused it although it has the
 * file. The whole file may still be had from it.
 */
export class RangeRefused extends DownloadError {
  constructor(message: string) {
    super('download-failed', message, { resumable: true });
    this.name = 'RangeRefused';
  }
}

/**
 * The file behind an address is no longer the one that the first bytes came from. The holder of
 * those bytes must drop them and start at 0; this never leaves the pull.
 */
export class SourceChanged extends Error {
  constructor(address: string) {
    super(`the file at ${address} has changed since its first bytes were received`);
    this.name = 'SourceChanged';
  }
}
