import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';

export type DownloadCode = Extract<RefusalCode, `download-${string}`>;

/**
 * A failure of a server or the network. `resumable`: the bytes received so far are worth keeping. A
 * cut connection is continued later, but a file of another size than commanded never becomes the
 * right one. `final`: a retry at this server in a minute will not help.
 */
export class DownloadError extends Refusal {
  override readonly code: DownloadCode;
  readonly resumable: boolean;
  readonly final: boolean;
  /** The wait that the server requests; 0 when it requests none. */
  readonly retryAfterMs: number;

  /** @param options.final when absent: true if not resumable */
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
 * file. It may still send the whole file.
 */
export class RangeRefused extends DownloadError {
  constructor(message: string) {
    super('download-failed', message, { resumable: true });
    this.name = 'RangeRefused';
  }
}

/**
 * The file at an address has changed since its first bytes were received. The caller must drop
 * those bytes and start at 0; this error never leaves the pull.
 */
export class SourceChanged extends Error {
  constructor(address: string) {
    super(`the file at ${address} has changed since its first bytes were received`);
    this.name = 'SourceChanged';
  }
}
