import type { IncomingMessage } from 'node:http';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import type { RegistryHttp } from './registry-options.ts';

/** An answer from `url`. */
export interface Answer {
  readonly url: URL;
  readonly status: number;
  /** To be read to its end or destroyed. */
  readonly body: IncomingMessage;
}

/** A person waits for the command, so this bounds the wait for a head or more of a body. */
const patienceMs = 120_000;

/**
 * One GET.
 * @param what names the image in messages
 * @throws Refusal `download-failed` without an answer
 */
export async function askOnce(
  http: RegistryHttp,
  url: URL,
  headers: Readonly<Record<string, string>>,
  what: string,
): Promise<Answer> {
  try {
    return { url, ...(await http.getOnce(url.href, { 'user-agent': 'wherry', ...headers }, patienceMs)) };
  } catch (cause) {
    if (!isRefusal(cause)) throw cause;
    throw new Refusal('download-failed', `${what}: ${cause.message}`, { cause });
  }
}

export function isSuccess({ status }: Answer): boolean {
  return status >= 200 && status < 300;
}

/**
 * The bytes of an answer as they arrive.
 * @param what the image, in messages
 * @throws Refusal `download-failed` when the connection breaks
 */
export async function* bodyOf({ url, body }: Answer, what: string): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw new Refusal('download-failed', `${what}: the connection to ${url.host} broke`, { cause });
  }
}

/**
 * A whole answer in memory.
 * @throws Refusal `download-failed`, and `download-too-large` for more than `maxBytes`
 */
export async function wholeBody(answer: Answer, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of bodyOf(answer, what)) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes)
      throw new Refusal('download-too-large', `${what}: it has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
