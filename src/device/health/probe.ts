import { request } from 'node:http';
import { connect } from 'node:net';

/** The outcome of one probe. */
export interface ProbeOutcome {
  readonly ok: boolean;
  /** What was seen, in words. */
  readonly detail: string;
}

interface Asked {
  /** An address. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/**
 * Requests `path` once. The probe passes with a status from 200 to 399 within `timeoutMs`; the body
 * is not read.
 */
export async function askHttp({
  timeoutMs,
  ...to
}: Asked & { readonly path: string }): Promise<ProbeOutcome> {
  return await new Promise((resolve) => {
    // Not the option `timeout`: a server that sends its headers byte by byte would outlast it.
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request({ ...to, agent: false, signal }, (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve({ ok: status >= 200 && status < 400, detail: `HTTP ${status}` });
    });
    asked.on('error', (error) => resolve(failure(error, signal, timeoutMs)));
    asked.end();
  });
}

/** Connects once. The probe passes with a connection within `timeoutMs`; nothing is sent. */
export async function askTcp({ timeoutMs, ...to }: Asked): Promise<ProbeOutcome> {
  return await new Promise((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const socket = connect({ ...to, signal });
    socket.on('connect', () => {
      socket.destroy();
      resolve({ ok: true, detail: `port ${to.port} is open` });
    });
    socket.on('error', (error) => resolve(failure(error, signal, timeoutMs)));
  });
}

function failure(error: Error, signal: AbortSignal, timeoutMs: number): ProbeOutcome {
  return { ok: false, detail: signal.aborted ? noAnswer(timeoutMs) : error.message };
}

export function noAnswer(timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1000} s`;
}
