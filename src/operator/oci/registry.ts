import { createHash } from 'node:crypto';
import { Refusal } from '../../core/refusal/index.ts';
import type { BlobSource } from './blobs.ts';
import { maxDocumentBytes } from './documents.ts';
import { bodyOf, wholeBody } from './http-body.ts';
import { RegistryClient } from './registry-client.ts';
import type { RegistryOptions } from './registry-options.ts';
import { formatReference, type RegistryReference } from './registry-reference.ts';

/** What is asked for, the manifests of OCI and of Docker (image-spec, media-types.md). */
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
      const answer = await client.ask(`/blobs/${blob}`, '*/*').catch(async (error: unknown) => {
        if (!(error instanceof Refusal) || error.code !== 'not-found') throw error;
        return await client.ask(`/manifests/${blob}`, accepted).catch(() => {
          throw error;
        });
      });
      return bodyOf(answer, shown);
    },
    close: () => Promise.resolve(),
  };
}

function checkDigest(bytes: Buffer, digest: string, shown: string): void {
  const [algorithm = '', expected = ''] = digest.split(':');
  if (createHash(algorithm).update(bytes).digest('hex') !== expected) {
    throw new Refusal('input-invalid', `${shown}: its manifest is not ${digest.slice(0, 19)}`);
  }
}
