import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { Refusal } from '../../core/refusal/index.ts';
import { maxChunkBytes } from '../../wire/report/index.ts';
import type { LogRequest } from '../../wire/trust/index.ts';
import { journalCommand } from '../local-api/index.ts';

/** Output of a journal, in small pieces, read only as fast as they are taken. */
export interface LogSource {
  /**
   * The next piece, at most `maxChunkBytes` long; undefined at the end.
   * @throws Refusal `device-unsupported` when the journal cannot be read
   */
  next(): Promise<Uint8Array | undefined>;
  /** Stops reading; `next` then returns what was already read, and then the end. */
  close(): void;
}

/** How much of an error message of journalctl is kept. */
const maxErrorBytes = 400;

/** Starts a journalctl for the request; it blocks while nobody reads. */
export function readJournal(request: LogRequest): LogSource {
  const { pod, app, follow, lines, since } = request;
  const [program = '', ...args] = journalCommand({
    pod,
    ...(app === undefined ? {} : { app }),
    ...(follow === undefined ? {} : { follow }),
    ...(lines === undefined ? {} : { lines }),
    ...(since === undefined ? {} : { since: `@${since}` }),
  });
  // Without --all, journalctl leaves out a line with bytes that are not text.
  return sourceOf([program, '--quiet', '--all', '--no-hostname', '--utc', ...args]);
}

/** The output of a program as a source. */
export function sourceOf([program = '', ...args]: readonly string[]): LogSource {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  // Without a listener, Node discards unread output when the program ends.
  child.stdout.on('readable', () => undefined);
  let said = '';
  child.stderr
    .setEncoding('utf8')
    .on('data', (text: string) => (said = (said + text).slice(0, maxErrorBytes)));
  let closed = false;
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (status) =>
      resolve(status === 0 ? undefined : said.trim() || `status ${status ?? 'none'}`),
    );
  });
  return {
    next: async () => {
      const piece = await nextPiece(child.stdout);
      if (piece !== undefined) return piece;
      const problem = await ended;
      if (problem === undefined || closed) return undefined;
      throw new Refusal('device-unsupported', `the journal cannot be read: ${problem}`);
    },
    close: () => {
      closed = true;
      child.kill('SIGKILL');
    },
  };
}

/** In paused mode, so that the stream holds no more than its buffer. */
async function nextPiece(stream: Readable): Promise<Uint8Array | undefined> {
  for (;;) {
    const size = Math.min(stream.readableLength, maxChunkBytes);
    const piece = size === 0 ? null : (stream.read(size) as Buffer | null);
    if (piece !== null) return piece;
    if (stream.readableEnded || stream.destroyed) return undefined;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        for (const event of ['readable', 'end', 'close']) stream.off(event, go);
        resolve();
      };
      for (const event of ['readable', 'end', 'close']) stream.once(event, go);
      stream.read(0);
    });
  }
}
