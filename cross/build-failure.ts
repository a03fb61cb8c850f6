/**
 * A build step that could not be done, for a reason the reader can act on. `message` is one whole
 * sentence.
 */
export class BuildFailure extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'BuildFailure';
  }
}
