/**
 * A failed build step. `message` is one whole sentence, with a reason that the reader can act on.
 */
export class BuildFailure extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'BuildFailure';
  }
}
