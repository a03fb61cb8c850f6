import { Refusal } from '../refusal/index.ts';

/**
 * The bytes of an answer as they come.
 * @param what the image, in messages
 * @throws Refusal `download-failed` when the connection breaks
 */
export async function* bodyOf(response: Response, what: string): AsyncGenerator<Uint8Array, void> {
  try {
    // The types of the body do not say that it is iterable.
    if (response.body !== null) yield* response.body as unknown as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw new Refusal('download-failed', `${what}: the connection to ${new URL(response.url).host} broke`, {
      cause,
    });
  }
}

/** A whole answer in memory. @throws Refusal `download-failed`, and `download-too-large` for more than `maxBytes` */
export async function wholeBody(response: Response, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of bodyOf(response, what)) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes)
      throw new Refusal('download-too-large', `${what}: it has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
