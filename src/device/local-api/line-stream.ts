import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** Sends one line of an answer, and resolves when the client has room for the next one. */
export type WriteLine = (line: object) => Promise<void>;

/**
 * An answer that is sent while it is made. It starts when it is called, and ends when the client is
 * gone.
 */
export type LineStream = (write: WriteLine) => Promise<void>;

/**
 * Sends `stream` as lines of JSON. A failure becomes the last line, because the status of the
 * answer has been sent by then.
 *
 * @param signal aborted when the client is gone
 * @param lastLine the line for a failure
 */
export async function sendLines(
  response: ServerResponse,
  stream: LineStream,
  signal: AbortSignal,
  lastLine: (error: unknown) => object,
): Promise<void> {
  response.writeHead(200, {
    'Content-Type': 'application/x-ndjson',
    'Cache-Control': 'no-store',
    Connection: 'close',
  });
  response.flushHeaders();
  const put = (line: object) => response.write(`${JSON.stringify(line)}\n`);
  try {
    await stream(async (line) => {
      if (!put(line)) await once(response, 'drain', { signal });
    });
  } catch (error) {
    if (!signal.aborted) put(lastLine(error));
  }
  response.end();
}
