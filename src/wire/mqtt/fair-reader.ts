/** Some hundred of the smallest messages: a few milliseconds of work. */
const sliceBytes = 4096;

interface Source {
  pause(): unknown;
  resume(): unknown;
}

/**
 * Passes the bytes of a socket on in slices, and lets the event loop run between two of them: a
 * broker that sends as fast as it can must not block systemd's signals, timers and other messages
 * of wherryd. The socket is paused meanwhile, so the flood waits in the network.
 */
export class FairReader {
  readonly #source: Source;
  readonly #pass: (bytes: Buffer) => void;
  /** Settles when everything that was read has been passed on. */
  idle: Promise<void> = Promise.resolve();
  busy = false;

  constructor(source: Source, pass: (bytes: Buffer) => void) {
    this.#source = source;
    this.#pass = pass;
  }

  /** Rejects with what `pass` throws; nothing is passed on after that. */
  read(chunk: Buffer): Promise<void> {
    const read = this.busy ? this.idle.then(() => this.#slices(chunk)) : this.#slices(chunk);
    this.idle = read.catch(() => undefined);
    return read;
  }

  async #slices(chunk: Buffer): Promise<void> {
    this.busy = true;
    this.#source.pause();
    // The first slice at once: a small packet is never delayed.
    for (let at = 0; at < chunk.length; at += sliceBytes) {
      if (at > 0) await new Promise((resolve) => setImmediate(resolve));
      this.#pass(chunk.subarray(at, at + sliceBytes));
    }
    this.busy = false;
    this.#source.resume();
  }
}
