import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../core/ports/index.ts';
import { isRefusal, Refusal, type RefusalCode, refusalCodes } from '../../core/refusal/index.ts';
import type { Connection, Message, Transport } from '../../wire/mqtt/index.ts';
import { clientIdentifier, decodeLogAnswer, deviceTopics, type LogEnd } from '../../wire/report/index.ts';
import { encodeEnvelope, encodeLogRequest, type LogRequest } from '../../wire/trust/index.ts';
import { orRefusal, refusalOf } from './broker-refusal.ts';
import { noReportOf } from './broker-words.ts';
import type { DeviceView } from './device-view.ts';
import type { Sign } from './sign-content.ts';

/** What is requested of one device. */
export type LogQuestion = Omit<LogRequest, 'format' | 'ask' | 'boot' | 'issued' | 'expires'> & {
  /** How long the device answers. */
  readonly seconds: number;
};

/**
 * How long the first message of an answer may take: the device starts a process that verifies the
 * request.
 */
const firstAnswerMs = 60_000;
/** How long after its deadline the end of an answer may arrive. */
const graceMs = 30_000;

/**
 * The signed request, for the device's present boot.
 * @throws Refusal `log-forbidden` for a device that accepts no requests, `not-confirmed` for one
 *   that is not connected, `not-found` for one without a report, `request-malformed`
 */
export async function signLogRequest(
  { seconds, ...question }: LogQuestion,
  { report, presence }: Pick<DeviceView, 'report' | 'presence'>,
  nowSeconds: number,
  sign: Sign,
): Promise<Uint8Array> {
  const { device } = question;
  if (report === undefined) throw new Refusal('not-found', noReportOf(device));
  if (!report.capabilities.some(({ name }) => name === 'log-requests'))
    throw new Refusal(
      'log-forbidden',
      `${device} answers no request for logs; name the pods in the key logs.remote_pods of its wherry.toml, or use "wherry logs --ssh"`,
    );
  if (presence?.up !== true)
    throw new Refusal(
      'not-confirmed',
      `${device} is not connected, and a request is not kept for it; try again later`,
    );
  const time = { issued: nowSeconds, expires: nowSeconds + seconds };
  const payload = encodeLogRequest({ format: 1, ask: 'logs', boot: presence.bootId, ...question, ...time });
  return encodeEnvelope({ payload, signatures: [await sign(payload, nowSeconds)] });
}

/**
 * Publishes a request and receives its answer to the end. When `signal` aborts, it publishes an
 * empty message, which ends the answer.
 * @param payload of the request, which identifies its answers
 * @param onText called with each piece of text in order, and the number of messages missing before
 *   it
 * @throws Refusal `not-confirmed` when the device is silent, its own code when it refuses, and
 *   those of a connection
 */
export async function hearLogs(
  means: { readonly transport: Transport; readonly clock: Clock; readonly fleet: string },
  request: { readonly device: string; readonly payload: Uint8Array; readonly message: Uint8Array },
  seconds: number,
  onText: (text: Uint8Array, missing: number) => void,
  signal: AbortSignal,
): Promise<LogEnd> {
  const topics = deviceTopics(means.fleet, request.device);
  const id = createHash('sha256').update(request.payload).digest('hex');
  const over = new AbortController();
  let [next, isHeard, isEnded] = [0, false, false];
  let finish: (end: LogEnd) => void = () => undefined;
  const ended = new Promise<LogEnd>((resolve) => (finish = resolve));
  const onMessage = ({ topic, payload }: Message): void => {
    if (topic !== topics.log) return;
    const answer = readAnswer(payload);
    // A broker may deliver a message twice.
    if (answer?.request !== id || answer.seq < next) return;
    const missing = answer.seq - next;
    [next, isHeard] = [answer.seq + 1, true];
    if ('end' in answer) {
      isEnded = true;
      finish(answer);
    } else onText(answer.text, missing);
  };
  const clientId = clientIdentifier(means.fleet, `operator-${randomBytes(4).toString('hex')}`);
  const connection = await orRefusal(
    means.transport.connect({ clientId, keepaliveSeconds: 60, onMessage }),
    'opening',
  );
  const late = async (ms: number, isLate: () => boolean): Promise<never> => {
    await means.clock.sleep(ms, over.signal);
    if (!isLate()) return await new Promise(() => undefined);
    const what = isHeard ? 'did not end its answer to' : 'did not answer';
    throw new Refusal('not-confirmed', `${request.device} ${what} the request for logs in time`);
  };
  const stop = (): void => void publish(connection, topics.ask, new Uint8Array()).catch(() => undefined);
  signal.addEventListener('abort', stop, { once: true });
  try {
    await orRefusal(connection.subscribe([topics.log]));
    await orRefusal(publish(connection, topics.ask, request.message));
    const end = await Promise.race([
      ended,
      late(firstAnswerMs, () => !isHeard),
      late(seconds * 1000 + graceMs, () => true),
      connection.ended.then((loss) => {
        const { code, message } = refusalOf(loss);
        const open = `the answer of ${request.device} has not ended, and a device does not continue one: send the request again`;
        throw new Refusal(code, `${message}; ${open}`, { cause: loss });
      }),
    ]);
    if (end.end === 'refused' || end.end === 'failed')
      throw new Refusal(codeOf(end), `${request.device}: ${end.message ?? end.end}`);
    return end;
  } catch (error) {
    // What nobody reads any more need not be sent. Before the first part, the topic may carry the
    // answer to another request, which an empty message would end.
    if (isHeard && !isEnded) stop();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    over.abort();
    await connection.close();
  }
}

function publish(connection: Connection, topic: string, payload: Uint8Array): Promise<void> {
  return connection.publish({ topic, payload }, { retain: false });
}

/** Undefined for a message that is not an answer: other clients may publish anything. */
function readAnswer(payload: Uint8Array) {
  try {
    return decodeLogAnswer(payload);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return undefined;
  }
}

/** A code that this wherry does not know comes from a newer one. */
function codeOf({ code = 'internal' }: LogEnd): RefusalCode {
  return Object.hasOwn(refusalCodes, code) ? (code as RefusalCode) : 'internal';
}
