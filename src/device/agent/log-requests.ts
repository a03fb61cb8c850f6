import { createHash } from 'node:crypto';
import type { Clock, Journal } from '../../core/ports/index.ts';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import { encodeLogAnswer } from '../../wire/report/index.ts';
import { decodeEnvelope, type LogRequest } from '../../wire/trust/index.ts';
import { LogStopped, streamLog, type StreamPorts } from './log-stream.ts';
import { refusalBudget } from './message-policy.ts';
import { Rounds } from './rounds.ts';
import { TokenBucket } from './token-bucket.ts';

export interface LogRequestPorts extends StreamPorts {
  readonly clock: Clock;
  readonly journal: Journal;
  /** Pods whose logs may be requested; `*` is every pod. */
  readonly pods: readonly string[];
  /** Judges a message; refuses with the codes of the command class. */
  readonly examine: (message: Uint8Array, signal: AbortSignal) => Promise<LogRequest>;
  /**
   * Remembers a request until the next boot, and returns whether it was new.
   * @param id SHA-256 of its payload
   */
  readonly remember: (id: string, request: LogRequest) => Promise<boolean>;
}

/** The budget of examinations: each costs a process, and nobody reads ten logs in a minute. */
const examinations = { burst: 10, refillMs: 10_000 } as const;

/**
 * Answers signed requests for logs, one at a time: a newer request ends the answer to the one
 * before. A message that comes during an examination replaces the waiting one. Messages over the
 * budget are dropped: requests are not retained, and the operator can send another.
 */
export class LogRequests {
  readonly #ports: LogRequestPorts;
  readonly #examinations = new TokenBucket(examinations);
  readonly #refusals = refusalBudget();
  readonly #stopping = new AbortController();
  #waiting: Uint8Array | undefined;
  readonly #handling = new Rounds(() => this.#handleWaiting());
  #answer: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  constructor(ports: LogRequestPorts) {
    this.#ports = ports;
  }

  /** Whether a request is examined or answered. */
  get busy(): boolean {
    return this.#handling.done !== undefined || this.#answer !== undefined;
  }

  /**
   * Takes a message. An empty one ends the answer under way: it needs no signature, because a
   * broker that drops messages can end it as well.
   */
  receive(message: Uint8Array): void {
    if (this.#stopping.signal.aborted) return;
    if (message.length === 0) {
      this.#answer?.abort.abort(new LogStopped('stopped'));
      return;
    }
    this.#waiting = message;
    this.#handling.begin();
  }

  async close(): Promise<void> {
    this.#waiting = undefined;
    this.#stopping.abort(new LogStopped('stopped'));
    this.#answer?.abort.abort(new LogStopped('stopped'));
    await this.#handling.done;
    await this.#answer?.done;
  }

  async #handleWaiting(): Promise<void> {
    for (let message = this.#waiting; message !== undefined; message = this.#waiting) {
      this.#waiting = undefined;
      let id: string | undefined;
      try {
        id = createHash('sha256').update(decodeEnvelope(message).payload).digest('hex');
        if (this.#examinations.take(this.#ports.clock.monotonicMs()) > 0) {
          this.#ports.journal.log('debug', 'a request for logs was dropped: too many came');
          continue;
        }
        await this.#handle(message, id);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        const refusal = isRefusal(error)
          ? error
          : new Refusal('internal', `the request could not be answered: ${String(error)}`, { cause: error });
        await this.#refuse(id, refusal);
      }
    }
  }

  async #handle(message: Uint8Array, id: string): Promise<void> {
    const { examine, remember, pods, journal } = this.#ports;
    const { signal } = this.#stopping;
    const request = await examine(message, signal);
    signal.throwIfAborted();
    if (!pods.includes('*') && !pods.includes(request.pod))
      throw new Refusal(
        'log-forbidden',
        `logs of the pod ${request.pod} are not sent; the key logs.remote_pods of wherry.toml names the pods whose logs are`,
      );
    if (!(await remember(id, request)))
      throw new Refusal(
        'request-replayed',
        'the request was answered before, or too many were; send a new one',
      );
    this.#answer?.abort.abort(new LogStopped('superseded'));
    await this.#answer?.done;
    journal.log(
      'notice',
      `logs of the pod ${request.pod} are sent to the operator until ${isoTime(request.expires)}`,
    );
    this.#run(request, id);
  }

  #run(request: LogRequest, id: string): void {
    const abort = new AbortController();
    const { journal } = this.#ports;
    const done = streamLog(request, id, this.#ports, abort.signal)
      .then(
        (end) => journal.log('info', `the answer with logs of the pod ${request.pod} has ended: ${end}`),
        (error: unknown) =>
          journal.log('error', `logs could not be sent: ${String(error)}`, { WHERRY_CODE: 'internal' }),
      )
      .finally(() => {
        if (this.#answer?.abort === abort) this.#answer = undefined;
      });
    this.#answer = { abort, done };
  }

  /** Refusals over the budget are neither logged nor answered. */
  async #refuse(id: string | undefined, { code, message }: Refusal): Promise<void> {
    if (this.#refusals.take(this.#ports.clock.monotonicMs()) > 0) return;
    this.#ports.journal.log('warning', `request for logs refused: ${message}`, { WHERRY_CODE: code });
    if (id === undefined) return;
    const counts = { sentBytes: 0, leftOutBytes: 0 };
    const end = { format: 1, request: id, seq: 0, end: 'refused', ...counts, code, message } as const;
    await this.#ports.publish(encodeLogAnswer(end));
  }
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
