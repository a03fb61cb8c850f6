import { createServer, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { once } from 'node:events';
import codec from '@homebridge/dbus-native/lib/message.js';

/** A call that reached the fake, and how to answer it. */
export interface Call {
  readonly member: string;
  readonly path: string;
  readonly args: readonly unknown[];
  answer(signature?: string, ...args: unknown[]): void;
  fail(name: string, message: string): void;
  signal(member: string, signature: string, args: unknown[], path?: string, from?: string): void;
  /** Ends the connection without an answer. */
  hangUp(): void;
  raw(bytes: Uint8Array): void;
}

export interface FakeSystemdOptions {
  /** Accepts connections and never answers the handshake. */
  readonly deaf?: boolean;
  /** Refuses the handshake. */
  readonly refuses?: boolean;
  /** Answers AUTH only after this long. */
  readonly lateMs?: number;
  /** Reads nothing for this long after it has answered AUTH. */
  readonly busyMs?: number;
}

/** systemd's end of its private socket: the D-Bus handshake, then the answers of `onCall`. */
export async function fakeSystemd(onCall: (call: Call) => void, options: FakeSystemdOptions = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'fake-systemd-'));
  const socketPath = join(directory, 'private');
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined); // the client may close first
    const messages = new PassThrough();
    const hello = `AUTH EXTERNAL ${Buffer.from(String(process.getuid?.())).toString('hex')}\r\n`;
    let greeting = '';
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      if (greeting.endsWith('BEGIN\r\n')) {
        messages.write(Buffer.concat([held, chunk]));
        held = Buffer.alloc(0);
        return;
      }
      const begin = chunk.indexOf('BEGIN\r\n');
      const end = begin < 0 ? chunk.length : begin + 7;
      const wasGreeted = greeting.startsWith(`\0${hello}`);
      greeting += chunk.toString('latin1', 0, end);
      if (options.deaf === true) return;
      if (!wasGreeted && greeting.startsWith(`\0${hello}`)) {
        const answer =
          options.refuses === true ? 'REJECTED EXTERNAL\r\n' : 'OK 0123456789abcdef0123456789abcdef\r\n';
        setTimeout(() => {
          socket.write(answer);
          // PID 1 is busy: it reads everything that arrives meanwhile together.
          socket.pause();
          setTimeout(() => socket.resume(), options.busyMs ?? 0);
        }, options.lateMs ?? 0);
      }
      // Like sd-bus: bytes behind BEGIN in the same read stay in its buffer until more arrive.
      if (begin >= 0) held = chunk.subarray(end);
    });
    serve(socket, messages, onCall);
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    connections: () => connections,
    hangUpAll: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      rmSync(directory, { recursive: true });
    },
  };
}

function serve(socket: Socket, messages: PassThrough, onCall: (call: Call) => void): void {
  let serial = 0;
  const send = (message: object) => socket.write(codec.marshall({ serial: ++serial, ...message }));
  codec.unmarshalMessages(
    messages,
    (message) => {
      const replySerial = message.serial ?? 0;
      onCall({
        member: message.member ?? '',
        path: message.path ?? '',
        args: message.body ?? [],
        answer: (signature, ...body) =>
          send({ type: 2, replySerial, ...(signature === undefined ? {} : { signature, body }) }),
        fail: (errorName, text) => send({ type: 3, replySerial, errorName, signature: 's', body: [text] }),
        signal: (
          member,
          signature,
          body,
          path = '/org/freedesktop/systemd1',
          from = 'org.freedesktop.systemd1.Manager',
        ) => send({ type: 4, path, interface: from, member, signature, body }),
        hangUp: () => socket.destroy(),
        raw: (bytes) => socket.write(bytes),
      });
    },
    {},
  );
}
