import { type Extract, extract, type Header } from 'tar-stream';

import { drained } from './drained.ts';
import { malformed, quoted } from './limits.ts';
import type { FramedEntry, TarPiece } from './tar-framing.ts';

/** What the library really hands over. */
type LibraryHeader = Omit<Header, 'linkname'> & { linkname: string | null; byteOffset?: number };

/**
 * The same tar as `tar-stream` reads it, to be compared with ours: where both see different entries, one of two readers was
 * deceived. Bodies are let go; positions and sizes tell that the library passes over the same bytes.
 */
export class SecondReading {
  /** Never takes more than what it is given at once. */
  readonly #library: Extract = extract({ highWaterMark: 0 });
  #headers: LibraryHeader[] = [];
  #failure: unknown;

  constructor() {
    this.#library.on('entry', (header, body, next) => {
      this.#headers.push(header);
      body.on('error', () => undefined); // the library tells its own as well
      body.resume();
      queueMicrotask(next); // at once, it would go one call deeper for each entry without a body
    });
    this.#library.on('error', (error: unknown) => (this.#failure = error));
  }

  /**
   * Reads on.
   * @param pieces - what the first reading made of `chunk`
   * @throws Refusal `archive-malformed`
   */
  async agree(chunk: Buffer, pieces: readonly TarPiece[]): Promise<void> {
    if (chunk.length > 0 && !this.#library.write(chunk)) await drained(this.#library);
    this.#refuseFailure();
    const headers = this.#headers;
    this.#headers = [];
    let at = 0;
    for (const piece of pieces) if (!Buffer.isBuffer(piece)) compare(piece, headers[at++]);
    if (at < headers.length) compare(undefined, headers[at]);
  }

  /** Call when the tar has ended. @throws Refusal `archive-malformed` */
  async end(): Promise<void> {
    this.#library.end(undefined);
    await drained(this.#library);
    this.#refuseFailure();
  }

  /** Lets go of everything. */
  close(): void {
    this.#library.destroy();
  }

  #refuseFailure(): void {
    if (this.#failure !== undefined)
      throw malformed('The tar library cannot read the archive.', this.#failure);
  }
}

function compare(framed: FramedEntry | undefined, header: LibraryHeader | undefined): void {
  if (
    framed?.bodyOffset === header?.byteOffset &&
    framed?.type === (header?.type === 'contiguous-file' ? 'file' : header?.type) &&
    framed?.name === header?.name &&
    framed?.sizeBytes === header?.size &&
    (framed?.linkname === (header?.linkname ?? '') || (framed?.type !== 'link' && framed?.type !== 'symlink'))
  )
    return;
  throw malformed(`The entry ${quoted((header ?? framed)?.name ?? '')} can be read in two ways.`);
}
