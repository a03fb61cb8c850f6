import { createHash } from 'node:crypto';
import { Refusal } from '../../core/refusal/index.ts';
import type { Descriptor } from './documents.ts';

/** Where an image comes from: a directory, an archive, a registry. */
export interface BlobSource {
  /** What the image is called in messages. */
  readonly reference: string;
  /** The name and the tag of the image in the source itself. */
  readonly name?: string;
  readonly tag?: string;
  /**
   * Which of several images the operator wants: a name, the end of one, a tag, or the beginning of
   * a digest.
   */
  readonly wanted?: string;
  /** The document that the reference leads to: a manifest or an index. */
  root(): Promise<{ readonly bytes: Uint8Array; readonly what: string }>;
  /** The bytes of a blob as stored, not verified. */
  open(digest: string): Promise<AsyncIterable<Uint8Array>>;
  /** Releases files and connections. */
  close(): Promise<void>;
}

/**
 * The bytes of a blob, verified while they are read: the size as they arrive, the digest at the
 * end.
 * @throws Refusal `input-invalid` when they do not match the descriptor
 */
export async function* checkedBlob(
  source: BlobSource,
  { digest, sizeBytes }: Pick<Descriptor, 'digest' | 'sizeBytes'>,
): AsyncGenerator<Uint8Array, void> {
  const [algorithm = '', expected = ''] = digest.split(':');
  const hash = createHash(algorithm);
  let seenBytes = 0;
  const wrong = (problem: string) =>
    new Refusal('input-invalid', `${source.reference}: the blob ${digest.slice(0, 19)} ${problem}`);
  for await (const chunk of await source.open(digest)) {
    seenBytes += chunk.length;
    if (seenBytes > sizeBytes) throw wrong(`has more than the ${sizeBytes} bytes that its descriptor says`);
    hash.update(chunk);
    yield chunk;
  }
  if (seenBytes !== sizeBytes) throw wrong(`has ${seenBytes} bytes, its descriptor says ${sizeBytes}`);
  if (hash.digest('hex') !== expected) throw wrong('has other content than its digest says');
}

/** A whole blob in memory. @throws Refusal `input-invalid` also for one larger than `maxBytes` */
export async function wholeBlob(
  source: BlobSource,
  descriptor: Pick<Descriptor, 'digest' | 'sizeBytes'>,
  maxBytes: number,
): Promise<Buffer> {
  if (descriptor.sizeBytes > maxBytes) {
    throw new Refusal(
      'input-invalid',
      `${source.reference}: the document ${descriptor.digest.slice(0, 19)} has ${descriptor.sizeBytes} bytes; the limit is ${maxBytes}`,
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of checkedBlob(source, descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
