import type { Clock } from '../../core/ports/index.ts';
import { isRefusal } from '../../core/refusal/index.ts';
import { encodeLogAnswer, type LogEnd, type LogEndReason, maxChunkBytes } from '../../wire/report/index.ts';
import { logLimits, type LogRequest } from '../../wire/trust/index.ts';
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
  /** Whether the broker has taken the message. */
  readonly publish: (payload: Uint8Array) => Promise<boolean>;
}

/** After a piece that does not fill a chunk, more is awaited: each chunk is a message. */
const gatherMs = 500;

/** What is left out is counted up to here. */
const countedBytes = 16 << 20;

/**
 * Sends what a request asks for, a chunk at a time and the next when the broker has taken the one
 * before, and the end. It ends at the deadline, at the limit, or when `signal` says so. What it
 * holds in memory is one chunk and the buffer of a pipe, however much the journal has.
 *
 * @param id of the request in the messages of the answer
 * @returns how it ended; `lost` without a broker, which nobody can be told
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
  const leftMs = Math.min(request.expires * 1000 - clock.nowMs(), logLimits.seconds * 1000);
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
        // Without an end to wait for, the rest is counted; the deadline ends that, too.
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
