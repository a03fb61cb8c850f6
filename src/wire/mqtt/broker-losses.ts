import { ReasonCodes } from 'mqtt/lib/handlers/ack';
import type { LossReason } from './loss-reason.ts';
import { ConnectionLost } from './transport.ts';

/** What codes of the broker and errors of the client mean for the connection. */

/**
 * CONNACK codes of 3.1.1 (§3.2.2.3) and reason codes of MQTT 5 (§2.4) that mean more than a lost
 * connection.
 */
const reasonsByCode: Readonly<Record<number, LossReason>> = {
  0x01: 'protocol',
  0x02: 'credentials',
  0x03: 'busy',
  0x04: 'credentials',
  0x05: 'credentials',
  0x81: 'protocol',
  0x82: 'protocol',
  0x84: 'protocol',
  0x85: 'credentials',
  0x86: 'credentials',
  0x87: 'credentials',
  0x88: 'busy',
  0x89: 'busy',
  0x8a: 'credentials',
  0x8b: 'busy',
  0x8c: 'credentials',
  0x8e: 'taken-over',
  0x95: 'too-large',
  0x97: 'quota',
  0x9a: 'protocol',
  0x9b: 'protocol',
  0x9c: 'busy',
  0x9d: 'protocol',
  0x9f: 'quota',
};

/** The code of a PUBACK in an error of mqtt.js. */
function codeOf(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

/** A reason code by its name in the standard, if mqtt.js has it, and as a number. */
function wordsOf(code: number): string {
  const words = (ReasonCodes as Readonly<Record<number, string>>)[code];
  return words === undefined ? `reason ${hex(code)}` : `${words} (reason ${hex(code)})`;
}

/** What a broker of MQTT 5 adds to a code (§3.2.2.3, §3.14.2.2). */
export interface BrokerRemarks {
  readonly reasonString?: string;
  readonly serverReference?: string;
}

function remarks({ reasonString, serverReference }: BrokerRemarks = {}): string {
  const quoted = (text: string) => JSON.stringify(text.slice(0, 200).replaceAll(/\p{C}/gu, '?'));
  const why = reasonString === undefined ? '' : `; it adds ${quoted(reasonString)}`;
  return serverReference === undefined ? why : `${why}; it names the server ${quoted(serverReference)}`;
}

/**
 * A broker that refuses a message reports it in the PUBACK (MQTT 5 §3.4.2.1); the connection stays
 * usable.
 */
export function publishLoss(error: Error, topic: string): Error {
  const code = codeOf(error);
  if (code === undefined) return error;
  const reason = reasonOf(code) ?? 'protocol';
  const words = `the broker did not take the message for ${topic}: ${wordsOf(code)}`;
  return new ConnectionLost(reason, words, { cause: error });
}

/**
 * The SUBACK has one code for each topic, and mqtt.js attaches it to its error (3.1.1 §3.9.3, MQTT
 * 5 §3.9.3).
 */
export function subscribeLoss(error: Error, topics: readonly string[]): Error {
  // An error of an ended connection also has the property, without codes.
  const { packet } = error as { readonly packet?: { readonly granted?: readonly number[] } };
  const granted = packet?.granted ?? [];
  const at = granted.findIndex((code) => code >= 0x80);
  const code = granted[at];
  if (code === undefined) return error;
  const words = `the broker does not let this client read ${topics[at] ?? ''}: ${wordsOf(code)}`;
  return new ConnectionLost('credentials', words, { cause: error });
}

/** The broker ended an MQTT 5 session with this reason code (DISCONNECT, §3.14.2.1). */
export function lossByBroker(code: number, more?: BrokerRemarks): ConnectionLost {
  return new ConnectionLost(
    reasonOf(code) ?? 'closed',
    `the broker ended the session: ${wordsOf(code)}${remarks(more)}`,
    { code },
  );
}

function reasonOf(code: number): LossReason | undefined {
  return reasonsByCode[code];
}

/** Errors of the operating system that arise before a packet has left this device. */
const noNetwork = new Set(['ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL', 'EAI_AGAIN', 'EHOSTUNREACH']);
/** Errors of a connection that the other side, or an intermediary, has ended. */
const ended = new Set(['ECONNRESET', 'EPIPE']);

/**
 * What an error of the socket, of TLS or of mqtt.js means for the connection.
 * @param more what the CONNACK had beside its code
 */
export function lossOf(error: unknown, more?: BrokerRemarks): ConnectionLost {
  if (error instanceof ConnectionLost) return error;
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  const detail = messageOf(error);
  if (typeof code === 'number') {
    // mqtt.js has no name for a code that is in neither version of the standard.
    const words = !detail.startsWith('Connection refused: ')
      ? detail
      : code in ReasonCodes
        ? `the broker refused the connection: ${wordsOf(code)}${remarks(more)}`
        : `the broker refused the connection with the unknown code ${code}`;
    return new ConnectionLost(reasonOf(code) ?? 'closed', words, { cause: error, code });
  }
  const status = Number(/^Unexpected server response: (\d+)$/.exec(detail)?.[1]);
  if (status > 0) {
    const words = `the broker answered the request for a WebSocket with HTTP status ${status}`;
    return new ConnectionLost(reasonOfStatus(status), words, { cause: error });
  }
  if (typeof code !== 'string') return new ConnectionLost('closed', detail, { cause: error });
  if (noNetwork.has(code)) return new ConnectionLost('no-network', detail, { cause: error });
  // Of ws, and of Node's HTTP parser: the other side does not speak WebSocket, or violates it.
  if (/^(WS_ERR|HPE)_/.test(code)) return new ConnectionLost('protocol', detail, { cause: error });
  if (ended.has(code))
    return new ConnectionLost('closed', `the connection was closed: ${code}`, { cause: error });
  // Happy eyeballs gives an AggregateError with the code of its first member.
  if (/^E[A-Z_]+$/.test(code) && !code.startsWith('ERR_') && code !== 'EPROTO') {
    return new ConnectionLost('unreachable', detail, { cause: error });
  }
  // OpenSSL adds its source files to the message.
  const told = /SSL routines:[^:]*:([^:]+):/.exec(detail)?.[1];
  return new ConnectionLost('tls', told ?? detail, { cause: error });
}

/**
 * The first bytes are not those of a CONNACK, with which every broker begins (MQTT 3.1.1 §3.2, MQTT
 * 5 §3.2).
 */
export function notMqtt(bytes: Buffer): ConnectionLost {
  const text = /^[ -~]{4,40}/.exec(bytes.toString('latin1', 0, 40))?.[0];
  const begins = text === undefined ? `the byte ${hex(bytes[0] ?? 0)}` : JSON.stringify(text);
  return new ConnectionLost(
    'protocol',
    `what answers at the address of the broker does not speak MQTT: its answer begins with ${begins}`,
  );
}

/** Why a WebSocket was refused: the account, the load, or a wrong path. */
function reasonOfStatus(status: number): LossReason {
  if (status === 401 || status === 403) return 'credentials';
  if (status === 429) return 'quota';
  return status >= 500 ? 'busy' : 'protocol';
}

export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}
