import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AnswerReader, encodeRequest, type Answer, type Request } from './channel-framing.ts';

/** The command channel was used in a way or at a time that it cannot serve. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

type Job = { request: Request; timeoutMs: number; signal: AbortSignal | undefined } & {
  resolve: (answer: Answer) => void;
  reject: (error: Error) => void;
};

/**
 * The way to a board's agents: a request goes to the next free agent, and waits while all are busy or the board
 * still boots. Several requests therefore run at the same time, each agent one at a time.
 */
export class GuestChannel {
  readonly #lines: AgentLine[];
  readonly #queue: Job[] = [];

  private constructor(lines: AgentLine[]) {
    this.#lines = lines;
  }

  /** @param paths of the agents' sockets, which QEMU has opened */
  static async connect(paths: readonly string[]): Promise<GuestChannel> {
    return new GuestChannel(await Promise.all(paths.map((path) => AgentLine.connect(path))));
  }

  /**
   * Asks an agent and waits for its answer.
   * @param timeoutMs for everything: the wait for a free agent, the work and the way back
   * @throws ChannelError when there is no answer in time, or the board stops
   */
  request(request: Request, timeoutMs: number, signal?: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      this.#queue.push({ request, timeoutMs, signal, resolve, reject });
      this.#pump();
    });
  }

  close(): void {
    for (const line of this.#lines) line.close();
    for (const job of this.#queue.splice(0)) job.reject(new ChannelError('The board was stopped.'));
  }

  #pump(): void {
    for (const line of this.#lines) {
      if (line.busy) continue;
      const job = this.#queue.shift();
      if (job === undefined) return;
      void line.ask(job).finally(() => this.#pump());
    }
  }
}

/** One agent's port. */
class AgentLine {
  busy = false;
  readonly #socket: Socket;
  #reader = new AnswerReader();
  #settle: ((result: Answer | Error) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#settle?.(new ChannelError('The board stopped before it answered.')));
  }

  static async connect(path: string): Promise<AgentLine> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new AgentLine(socket);
  }

  /** An agent that did not answer in time stays busy until it does: its late answer must not meet another request. */
  async ask(job: Job): Promise<void> {
    this.busy = true;
    const answered = new Promise<Answer | Error>((resolve) => (this.#settle = resolve));
    const { signal } = job;
    const timer = setTimeout(
      () =>
        job.reject(
          new ChannelError(
            `No answer from the board after ${job.timeoutMs / 1000} s to: ${job.request.text.slice(0, 200)}`,
          ),
        ),
      job.timeoutMs,
    );
    const onAbort = (): void => job.reject(signal === undefined ? new Error() : abortReason(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      if (this.#socket.destroyed) throw new ChannelError('The board is not running.');
      this.#socket.write(encodeRequest(job.request));
      const result = await answered;
      if (result instanceof Error) throw result;
      job.resolve(result);
    } catch (error) {
      job.reject(error instanceof Error ? error : new Error(String(error)));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#settle = undefined;
      this.busy = this.#socket.destroyed;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    try {
      for (const answer of this.#reader.push(chunk)) this.#settle?.(answer);
    } catch (error) {
      this.#settle?.(error as Error);
      this.#socket.destroy();
    }
  }
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new ChannelError('The command was given up.');
}

/** Asks again and again, politely, until the answer is true. @throws ChannelError naming `what` after the time */
export async function poll(
  what: string,
  timeoutMs: number,
  ask: () => Promise<boolean>,
  signal?: AbortSignal,
  everyMs = 150,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await ask())) {
    signal?.throwIfAborted();
    if (performance.now() > end) throw new ChannelError(`Waited ${timeoutMs / 1000} s in vain for ${what}.`);
    await sleep(everyMs);
  }
}
