import { DownloadError } from './download-error.ts';

/**
 * The cost limit for all attempts of one job together. Each attempt has its own bounds, but a
 * server that makes each attempt start over would never exceed them: the budget ends such a job.
 *
 * A file that is continued costs its size. One that must be fetched again from its first byte costs
 * at most twice that.
 */
export class JobBudget {
  readonly maxBytes: number;
  readonly maxTries: number;
  #spentBytes = 0;
  #tries = 0;

  /** @param fileBytes the size of the file that the job is for */
  constructor(fileBytes: number, maxTries: number) {
    this.maxBytes = 2 * fileBytes;
    this.maxTries = maxTries;
  }

  get spentBytes(): number {
    return this.#spentBytes;
  }

  get isOutOfTries(): boolean {
    return this.#tries >= this.maxTries;
  }

  beginTry(): void {
    this.#tries += 1;
  }

  spend(bytes: number): void {
    this.#spentBytes += bytes;
  }

  /**
   * Refuses an answer that could not be read completely within the budget, before it is read.
   * @param bytes how many bytes the answer has
   * @throws DownloadError `download-failed`, not resumable: the received bytes cannot be continued
   *   with this server
   */
  require(bytes: number, from: string): void {
    if (this.#spentBytes + bytes <= this.maxBytes) return;
    throw new DownloadError(
      'download-failed',
      `${from} makes the download begin again: ${this.#spentBytes} bytes came of a file of ${this.maxBytes / 2}, and ${bytes} more were needed; check the server, or what cuts its connections`,
      { resumable: false },
    );
  }
}
