import { createHash } from 'node:crypto';
import { isRefusal, Refusal } from '../../core/refusal/index.ts';
import type { BlobSource } from './blobs.ts';
import { maxDocumentBytes } from './documents.ts';
import { type Answer, bodyOf, wholeBody } from './http-body.ts';
import { RegistryClient } from './registry-client.ts';
import type { RegistryOptions } from './registry-options.ts';
import { formatReference, type RegistryReference } from './registry-reference.ts';

/** The accepted types, manifests of OCI and of Docker (image-spec, media-types.md). */
const accepted = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** An image on a registry (distribution-spec 1.1: pull). */
export function openRegistry(reference: RegistryReference, options: RegistryOptions): BlobSource {
  const { host, repository, tag, digest } = reference;
  const shown = formatReference(reference);
  const client = new RegistryClient(reference, options);
  return {
    reference: shown,
    name: `${host === 'registry-1.docker.io' ? 'docker.io' : host.replace(/:\d+$/, '')}/${repository}`,
    ...(digest === undefined ? { tag } : {}),
    root: async () => {
      const answer = await client.ask(`/manifests/${digest ?? tag}`, accepted);
      const bytes = await wholeBody(answer, maxDocumentBytes, `${shown}, manifest`);
      if (digest !== undefined) checkDigest(bytes, digest, shown);
      return { bytes, what: `${shown}, manifest` };
    },
    open: async (blob) => {
      // Manifests of an index are not blobs to every registry.
      const ask = (from: number) =>
        client.ask(`/blobs/${blob}`, '*/*', from).catch(async (error: unknown) => {
          if (!isRefusal(error, 'not-found')) throw error;
          return await client.ask(`/manifests/${blob}`, accepted).catch(() => {
            throw error;
          });
        });
      return continued(await ask(0), ask, shown);
    },
    close: () => Promise.resolve(),
  };
}

/** How many answers may make up one blob. */
const maxAnswers = 5;

/**
 * The bytes of a blob across broken connections. The reader checks the digest, so the bytes may
 * come from several answers.
 */
async function* continued(
  first: Answer,
  ask: (from: number) => Promise<Answer>,
  shown: string,
): AsyncGenerator<Uint8Array, void> {
  let deliveredBytes = 0;
  let answer = first;
  for (let answers = 1; ; answers += 1) {
    const begin = firstByte(answer);
    if (begin > deliveredBytes)
      throw new Refusal('download-failed', `${shown}: ${answer.url.host} left out bytes`);
    let skipBytes = deliveredBytes - begin;
    try {
      for await (const chunk of bodyOf(answer, shown)) {
        const fresh = chunk.subarray(Math.min(skipBytes, chunk.length));
        skipBytes -= chunk.length - fresh.length;
        deliveredBytes += fresh.length;
        if (fresh.length > 0) yield fresh;
      }
      return;
    } catch (error) {
      if (!isRefusal(error, 'download-failed') || answers === maxAnswers) throw error;
    }
    answer = await ask(deliveredBytes);
  }
}

function firstByte({ status, body }: Answer): number {
  if (status !== 206) return 0;
  return Number(/^bytes (\d{1,15})-/.exec(body.headers['content-range'] ?? '')?.[1] ?? 0);
}

function checkDigest(bytes: Buffer, digest: string, shown: string): void {
  const [algorithm = '', expected = ''] = digest.split(':');
  if (createHash(algorithm).update(bytes).digest('hex') !== expected) {
    throw new Refusal('input-invalid', `${shown}: its manifest is not ${digest.slice(0, 19)}`);
  }
}
