import type { Socket } from 'node:net';

/** A line of QMP from QEMU: a greeting, an answer or an event (QEMU docs, interop/qmp-spec). */
export type QmpMessage = Readonly<Record<string, unknown>>;

/**
 * Splits the stream into its JSON lines; a rest without an end of line waits for the next bytes.
 */
export class QmpLines {
  #rest = '';

  /** @returns the messages that are complete now @throws SyntaxError for a line that is not JSON */
  push(chunk: string): QmpMessage[] {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as QmpMessage);
  }
}

/** QEMU's refusal of a command. */
export class QmpError extends Error {
  override readonly name = 'QmpError';
}

type Waiter = { resolve: (value: unknown) => void; reject: (error: Error) => void };

/** A connection to the control socket of one QEMU process. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiter>();
  readonly #listeners = new Set<(event: string, data: QmpMessage) => void>();
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new QmpLines();
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      for (const message of lines.push(chunk)) this.#take(message);
    });
    const end = (): void => {
      for (const { reject } of this.#waiting.values())
        reject(new QmpError('QEMU ended the control connection.'));
      this.#waiting.clear();
    };
    socket.on('close', end).on('error', end);
  }

  /** Leaves the negotiation phase. @param socket connected to QEMU's control socket */
  static async connect(socket: Socket): Promise<Qmp> {
    const qmp = new Qmp(socket);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** @returns QEMU's result @throws QmpError with QEMU's message */
  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new QmpError('QEMU is not running.'));
        return;
      }
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  /** Runs a command of the human monitor, for the few that QMP lacks. */
  async human(commandLine: string): Promise<string> {
    return String(await this.execute('human-monitor-command', { 'command-line': commandLine }));
  }

  /** Calls back for each event until the returned function is called. */
  onEvent(listener: (event: string, data: QmpMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(message: QmpMessage): void {
    if (typeof message['event'] === 'string') {
      for (const listener of this.#listeners)
        listener(message['event'], (message['data'] ?? {}) as QmpMessage);
      return;
    }
    const id = message['id'];
    const waiter = typeof id === 'number' ? this.#waiting.get(id) : undefined;
    if (waiter === undefined) return; // the greeting
    this.#waiting.delete(id as number);
    const error = message['error'] as { desc?: string } | undefined;
    if (error !== undefined) waiter.reject(new QmpError(`QEMU refused: ${error.desc ?? 'no reason given'}`));
    else waiter.resolve(message['return']);
  }
}
