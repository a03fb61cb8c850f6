import { connect, type Socket } from 'node:net';
import codec from '@homebridge/dbus-native/lib/message.js';
import readLine from '@homebridge/dbus-native/lib/readline.js';

import { limitMessages } from './message-limit.ts';

/** One method to call. `signature` describes `args` (D-Bus specification, "Type system"). */
export interface BusCall {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly args?: readonly unknown[];
  /** For a call that takes longer than others. */
  readonly timeoutMs?: number;
}

export interface BusSignal {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly args: readonly unknown[];
}

/** The other side answered a call with an error; `name` is its D-Bus name. */
export class BusError extends Error {
  constructor(name: string, message: string) {
    super(message === '' ? name : message);
    this.name = name;
  }
}

/** A connection ended or failed: the outcome of a call that was under way is unknown. */
export class BusLost extends Error {
  override readonly name = 'BusLost';
}

export interface BusOptions {
  /** Path of a UNIX socket that speaks D-Bus. */
  readonly socketPath: string;
  /** A longer message ends the connection. */
  readonly maxMessageBytes: number;
  /** A call that is not answered within this time ends the connection. */
  readonly callTimeoutMs: number;
  /** The socket must be connected and authenticated within this time. */
  readonly handshakeTimeoutMs: number;
  /** Ends the attempt to connect. */
  readonly signal?: AbortSignal;
  readonly onSignal: (signal: BusSignal) => void;
}

export interface BusConnection {
  /**
   * Calls a method and returns its results.
   * @throws BusError when the other side refuses
   * @throws BusLost when the connection ends first
   */
  call(call: BusCall): Promise<readonly unknown[]>;
  /** Settles when the connection has ended, by either side. */
  readonly closed: Promise<void>;
  close(): void;
}

interface Pending {
  readonly resolve: (args: readonly unknown[]) => void;
  readonly reject: (error: Error) => void;
}

const methodReturn = 2;
const errorReply = 3;
const signalMessage = 4;

/**
 * Connects and authenticates as the user of this process (EXTERNAL: the kernel confirms the user).
 * @throws BusLost when the socket cannot be reached, refuses or does not answer in time
 */
export async function connectBus(options: BusOptions): Promise<BusConnection> {
  const socket = connect(options.socketPath);
  const pending = new Map<number, Pending>();
  let lost: BusLost | undefined;
  let serial = 0;

  const end = (cause: unknown) => {
    if (lost !== undefined) return;
    const why = cause instanceof Error ? cause.message : String(cause);
    lost = new BusLost(`the D-Bus connection to ${options.socketPath} ended: ${why}`, { cause });
    socket.destroy();
    for (const { reject } of pending.values()) reject(lost);
    pending.clear();
  };
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      end('closed by the other side');
      resolve();
    });
  });
  socket.on('error', end);

  const late = setTimeout(() => end('no answer to the handshake'), options.handshakeTimeoutMs);
  const aborted = () => end('the attempt was given up');
  options.signal?.addEventListener('abort', aborted, { once: true });
  try {
    if (options.signal?.aborted === true) aborted();
    await authenticate(socket, closed);
  } catch (error) {
    end(error);
    throw lost ?? error;
  } finally {
    clearTimeout(late);
    options.signal?.removeEventListener('abort', aborted);
  }

  const messages = limitMessages(options.maxMessageBytes);
  messages.on('error', end);
  codec.unmarshalMessages(
    messages,
    (message) => {
      if (message.type === signalMessage) {
        const { path = '', interface: from = '', member = '', body = [] } = message;
        options.onSignal({ path, interface: from, member, args: body });
        return;
      }
      const waiting = pending.get(message.replySerial ?? 0);
      if (waiting === undefined) return;
      if (message.type === methodReturn) waiting.resolve(message.body ?? []);
      if (message.type === errorReply) {
        const [text] = message.body ?? [];
        waiting.reject(new BusError(message.errorName ?? 'error', typeof text === 'string' ? text : ''));
      }
    },
    {},
  );
  socket.pipe(messages);

  const call = (what: BusCall) =>
    new Promise<readonly unknown[]>((resolve, reject) => {
      if (lost !== undefined) {
        reject(lost);
        return;
      }
      const id = ++serial;
      const timer = setTimeout(
        () => end(`no answer to ${what.member}`),
        what.timeoutMs ?? options.callTimeoutMs,
      );
      const settle = () => {
        clearTimeout(timer);
        pending.delete(id);
      };
      pending.set(id, {
        resolve: (args) => {
          settle();
          resolve(args);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      socket.write(
        codec.marshall({
          serial: id,
          type: 1,
          path: what.path,
          interface: what.interface,
          member: what.member,
          ...(what.signature === undefined
            ? {}
            : { signature: what.signature, body: [...(what.args ?? [])] }),
        }),
      );
    });

  return { call, closed, close: () => end('closed') };
}

/**
 * Sends AUTH and BEGIN in one write, before the answer to AUTH, as sd-bus clients do. The library's
 * own handshake sends BEGIN after OK, and the first call follows at once. If systemd reads both
 * together, it leaves the call in its buffer until more bytes come (sd-bus,
 * bus_socket_auth_verify_server), and the call is never answered.
 */
function authenticate(socket: Socket, closed: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    void closed.then(() => reject(new Error('closed during the handshake')));
    socket.once('error', reject);
    const user = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex');
    socket.write(`\0AUTH EXTERNAL ${user}\r\nBEGIN\r\n`);
    readLine(socket, (bytes) => {
      const line = bytes.toString('latin1').trim();
      if (line.startsWith('OK ')) resolve();
      else reject(new Error(`authentication refused: ${line}`));
    });
  });
}
