import { DownloadError } from './download-error.ts';
import { defaultPatience, delayMs, type DownloadPorts } from './download.ts';
import { reasonOf } from './http-client.ts';
import { refusedStatus } from './response-range.ts';

/**
 * A file of at most `maxBytes`, whole in memory; the mirrors are tried in order.
 *
 * @returns undefined when every mirror answers that there is none (404, 410)
 * @throws DownloadError `download-too-large`, or `download-failed` when a mirror could not be
 *   reached
 */
export async function fetchSmall(
  ports: DownloadPorts,
  urls: readonly string[],
  maxBytes: number,
): Promise<Buffer | undefined> {
  const patience = ports.patience ?? defaultPatience;
  let failure: DownloadError | undefined;
  for (let round = 0; round < patience.idleTries; round += 1) {
    failure = undefined;
    let transient = false;
    let askedMs = 0;
    for (const url of urls) {
      try {
        const body = await smallBody(ports, url, maxBytes, patience.windowMs);
        if (body !== undefined) return body;
      } catch (error) {
        if (!(error instanceof DownloadError)) throw error;
        failure = error;
        askedMs = Math.max(askedMs, error.retryAfterMs);
        transient ||= !error.final;
      }
    }
    if (failure === undefined || !transient) break;
    if (round + 1 < patience.idleTries)
      await ports.clock.sleep(delayMs(patience, ports.random, round + 1, askedMs));
  }
  if (failure !== undefined) throw failure;
  return undefined;
}

async function smallBody(
  ports: DownloadPorts,
  url: string,
  maxBytes: number,
  patienceMs: number,
): Promise<Buffer | undefined> {
  const { status, body, from } = await ports.http.get(url, {}, patienceMs);
  if (status === 404 || status === 410) {
    body.destroy();
    return undefined;
  }
  if (status !== 200) {
    body.destroy();
    throw refusedStatus(from, status, body.headers);
  }
  const timer = new AbortController();
  const late = ports.clock.sleep(patienceMs, timer.signal).then(
    () => void body.destroy(new Error('the server is too slow')),
    () => undefined, // the body was first
  );
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) {
        throw new DownloadError('download-too-large', `${from} is larger than ${maxBytes} bytes`, {
          resumable: false,
        });
      }
      chunks.push(chunk);
    }
    // The cap does not delay a small file: the wait would count as slowness of the sender.
    await ports.cap?.take(size, 'later');
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof DownloadError) throw error;
    if (error instanceof Error && error.name === 'AbortError') throw error;
    throw new DownloadError('download-failed', `${from} was cut off: ${reasonOf(error)}`, {
      resumable: true,
      cause: error,
    });
  } finally {
    timer.abort();
    await late;
  }
}
