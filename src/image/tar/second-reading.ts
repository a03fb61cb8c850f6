import { type Extract, extract, type Header } from 'tar-stream';

import { drained } from './drained.ts';
import { malformed, quoted } from './limits.ts';
import type { Doubtful, FramedEntry } from './tar-framing.ts';

/** The actual headers of the library. */
type LibraryHeader = Omit<Header, 'linkname'> & { linkname: string | null; byteOffset?: number };

/**
 * Reads the doubtful entries of a tar with `tar-stream` and compares them with those of TarFraming:
 * if they differ, one of two readers was deceived. Bodies are discarded; positions and sizes show
 * that the library skips the same bytes.
 *
 * Plain entries (TarFraming) are not read again: their headers equal those of TarWriter, which the
 * library reads correctly. docs/decisions/tar-walk.md has the argument, test/fuzz/ the property.
 */
export class SecondReading {
  /** Never buffers more than one write. */
  readonly #library: Extract = extract({ highWaterMark: 0 });
  #headers: LibraryHeader[] = [];
  #failure: unknown;

  constructor() {
    this.#library.on('entry', (header, body, next) => {
      this.#headers.push(header);
      body.on('error', () => undefined); // the library emits its own as well
      body.resume();
      queueMicrotask(next); // a synchronous call would recurse once for each entry without a body
    });
    this.#library.on('error', (error: unknown) => (this.#failure = error));
  }

  /**
   * Reads on.
   * @throws Refusal `archive-malformed`
   */
  async agree({ bytes, entries }: Doubtful): Promise<void> {
    for (const part of bytes) if (!this.#library.write(part)) await drained(this.#library);
    this.#refuseFailure();
    const headers = this.#headers;
    this.#headers = [];
    for (const [at, { entry, bodyOffset }] of entries.entries()) compare(entry, bodyOffset, headers[at]);
    if (headers.length > entries.length) compare(undefined, undefined, headers[entries.length]);
  }

  /** Call when the tar has ended. @throws Refusal `archive-malformed` */
  async end(): Promise<void> {
    this.#library.end(undefined);
    await drained(this.#library);
    this.#refuseFailure();
  }

  /** Releases the library's stream. */
  close(): void {
    this.#library.destroy();
  }

  #refuseFailure(): void {
    if (this.#failure !== undefined)
      throw malformed('the tar library cannot read the archive', this.#failure);
  }
}

function compare(
  framed: FramedEntry | undefined,
  bodyOffset: number | undefined,
  header: LibraryHeader | undefined,
): void {
  if (
    bodyOffset === header?.byteOffset &&
    framed?.type === (header?.type === 'contiguous-file' ? 'file' : header?.type) &&
    framed?.name === header?.name &&
    framed?.sizeBytes === header?.size &&
    (framed?.linkname === (header?.linkname ?? '') || (framed?.type !== 'link' && framed?.type !== 'symlink'))
  )
    return;
  throw malformed(`the entry ${quoted((header ?? framed)?.name ?? '')} can be read in two ways`);
}
