import type { Clock } from '../../core/ports/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import { encodeLogAnswer, type LogEnd, type LogEndReason, maxChunkBytes } from '../../wire/report/index.ts';
import type { LogRequest } from '../../wire/trust/index.ts';
import type { LogSource } from './log-source.ts';

/** Why an answer ends before its source does: the reason of the signal. */
export class LogStopped extends Error {
  readonly end: LogEndReason;

  constructor(end: LogEndReason) {
    super(`the answer ends: ${end}`);
    this.end = end;
  }
}

export interface StreamPorts {
  readonly clock: Clock;
  readonly open: (request: LogRequest) => LogSource;
  /** Resolves with whether the broker has acknowledged the message. */
  readonly publish: (payload: Uint8Array) => Promise<boolean>;
}

/** How long to wait for more after a piece that does not fill a chunk: each chunk is a message. */
const gatherMs = 500;

/** Left-out bytes are counted up to this number. */
const countedBytes = 16 << 20;

/**
 * Sends the logs of a request chunk by chunk, each after the broker has acknowledged the one
 * before, and then an end. It ends at the end of the logs, at the deadline, at the limit, or when
 * `signal` is aborted. It holds one chunk and the buffer of a pipe in memory, however large the
 * journal is.
 *
 * @param id of the request in the messages of the answer
 * @returns how it ended; `lost` when the broker did not take a message
 */
export async function streamLog(
  request: LogRequest,
  id: string,
  { clock, open, publish }: StreamPorts,
  signal: AbortSignal,
): Promise<LogEndReason | 'lost'> {
  const source = open(request);
  const stopping = new AbortController();
  const stop = (end: LogEndReason): void => {
    stopping.abort(new LogStopped(end));
    source.close();
  };
  signal.addEventListener('abort', () => stop(endOf(signal)), { once: true });
  if (signal.aborted) stop(endOf(signal));
  // By a clock that is behind, the deadline is later than what was requested.
  const { issued, expires } = request;
  const leftMs = Math.min(expires * 1000 - clock.nowMs(), (expires - issued) * 1000);
  const isOver = new AbortController();
  clock.sleep(leftMs, isOver.signal).then(
    () => stop('deadline'),
    () => undefined,
  );
  let [seq, sentBytes, leftOutBytes] = [0, 0, 0];
  const say = async (part: { readonly text: Uint8Array } | Pick<LogEnd, 'end' | 'code' | 'message'>) => {
    const counts = 'text' in part ? {} : { sentBytes, leftOutBytes };
    const message = { format: 1, request: id, seq: seq++, ...part, ...counts } as const;
    return await publish(encodeLogAnswer(message as Parameters<typeof encodeLogAnswer>[0]));
  };
  try {
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      if (stopping.signal.aborted) {
        leftOutBytes += piece.length;
        continue;
      }
      const text = piece.subarray(0, request.limitBytes - sentBytes);
      leftOutBytes += piece.length - text.length;
      if (text.length > 0 && !(await say({ text }))) return 'lost';
      sentBytes += text.length;
      if (sentBytes >= request.limitBytes) {
        // The rest is read only to be counted, unless it has no end. The deadline ends that, too.
        if (request.follow === true || leftOutBytes >= countedBytes) stop('limit');
      } else if (piece.length < maxChunkBytes) {
        await clock.sleep(gatherMs, stopping.signal).catch(() => undefined);
      }
    }
    const isFull = sentBytes >= request.limitBytes && leftOutBytes > 0;
    const end = isFull ? 'limit' : stopping.signal.aborted ? endOf(stopping.signal) : 'complete';
    return (await say({ end })) ? end : 'lost';
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return (await say({ end: 'failed', code: error.code, message: error.message })) ? 'failed' : 'lost';
  } finally {
    isOver.abort();
    source.close();
  }
}

function endOf({ reason }: AbortSignal): LogEndReason {
  return reason instanceof LogStopped ? reason.end : 'stopped';
}
