import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AnswerReader, encodeRequest, type Answer, type Request } from './channel-framing.ts';
import { connectSocket } from './connect-socket.ts';

/** The command channel cannot serve a request in this form or at this time. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

type Job = {
  readonly request: Request;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
};

/**
 * The connection to a board's agents, each of which serves one request at a time. A request waits
 * until an agent is free and the board has booted.
 */
export class GuestChannel {
  readonly #lines: AgentLine[];
  readonly #queue: Job[] = [];
  #closed = false;

  private constructor(lines: AgentLine[]) {
    this.#lines = lines;
  }

  /**
   * @param paths of the agents' sockets, which QEMU is about to open
   * @param stillComing throws when QEMU has ended instead
   */
  static async connect(paths: readonly string[], stillComing: () => void): Promise<GuestChannel> {
    const lines = paths.map(async (path) => new AgentLine(path, await connectSocket(path, stillComing)));
    return new GuestChannel(await Promise.all(lines));
  }

  /**
   * Sends a request to an agent and waits for its answer.
   * @param timeoutMs for everything: the wait for a free agent, the work and the way back
   * @throws ChannelError when there is no answer in time, or the board stops or restarts
   */
  async request(request: Request, timeoutMs: number, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted();
    if (this.#closed) throw new ChannelError('The board is not running.');
    let job: Job | undefined;
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        timer = setTimeout(() => {
          const what = request.text.slice(0, 200);
          reject(new ChannelError(`No answer from the board after ${timeoutMs / 1000} s to: ${what}`));
        }, timeoutMs);
        onAbort = () => reject(abortReason(signal));
        signal?.addEventListener('abort', onAbort, { once: true });
        job = { request, resolve, reject };
        this.#queue.push(job);
        this.#pump();
      });
    } finally {
      clearTimeout(timer);
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
      // Timed out before an agent was free: the request must not be sent any more.
      const waiting = job === undefined ? -1 : this.#queue.indexOf(job);
      if (waiting >= 0) this.#queue.splice(waiting, 1);
    }
  }

  /**
   * Called when the board restarted: pending requests fail, and agents discard unread bytes.
   */
  reset(): void {
    for (const line of this.#lines) line.reset();
  }

  close(): void {
    this.#closed = true;
    for (const line of this.#lines) line.close();
    for (const job of this.#queue.splice(0)) job.reject(new ChannelError('The board stopped.'));
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

/**
 * One agent's port. An agent that did not answer in time stays busy until it does, because its late
 * answer could be mistaken for the answer to another request.
 */
class AgentLine {
  busy = false;
  readonly #path: string;
  #socket: Socket;
  #reader = new AnswerReader();
  #settle: ((result: Answer | Error) => void) | undefined;

  constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = this.#listenTo(socket);
  }

  async ask({ request, resolve, reject }: Job): Promise<void> {
    this.busy = true;
    try {
      const bytes = encodeRequest(request);
      const answered = new Promise<Answer | Error>((settle) => (this.#settle = settle));
      this.#socket.write(bytes);
      const result = await answered;
      if (result instanceof Error) reject(result);
      else resolve(result);
    } catch (error) {
      reject(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#settle = undefined;
      this.busy = false;
    }
  }

  reset(): void {
    this.close();
    this.#reader = new AnswerReader();
    this.#socket = this.#listenTo(connect(this.#path));
    this.#settle?.(new ChannelError('The board restarted before it answered.'));
  }

  close(): void {
    this.#socket.removeAllListeners('data').destroy();
    this.#settle?.(new ChannelError('The board stopped before it answered.'));
  }

  #listenTo(socket: Socket): Socket {
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const answer of this.#reader.push(chunk)) this.#settle?.(answer);
      } catch (error) {
        this.#settle?.(error as Error);
      }
    });
    // The machine closes this channel when it ends.
    socket.on('error', () => socket.destroy());
    return socket;
  }
}

function abortReason(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new ChannelError('The command was given up.');
}

/**
 * Repeats a check, with waits, until it is true.
 * @throws ChannelError naming `what` after the time
 */
export async function poll(
  what: string,
  timeoutMs: number,
  ask: () => Promise<boolean>,
  everyMs = 150,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await ask())) {
    if (performance.now() > end) throw new ChannelError(`Waited ${timeoutMs / 1000} s in vain for ${what}.`);
    await sleep(everyMs);
  }
}
