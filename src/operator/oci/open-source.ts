import { stat } from 'node:fs/promises';
import type { ArchiveLimits } from '../../image/tar/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import type { BlobSource } from './blobs.ts';
import { openArchive, openLayout } from './layout.ts';
import { parseRegistryReference } from './registry-reference.ts';
import { openRegistry } from './registry.ts';
import type { RegistryOptions } from './registry-options.ts';

/**
 * Opens the source that an operator names: a directory or a file, each with `:NAME` or `@DIGEST` if
 * it has several images, or `docker://…`.
 * @param scratch path of a directory to make for an archive's files
 * @throws Refusal `not-found`, `usage`, `input-invalid`, `archive-too-large`
 */
export async function openSource(
  source: string,
  registry: RegistryOptions,
  scratch: string,
  limits: ArchiveLimits,
): Promise<BlobSource> {
  if (source.startsWith('docker://')) return openRegistry(parseRegistryReference(source), registry);
  const [path, tag] = await pathAndTag(source);
  const status = await stat(path).catch((cause: unknown) => {
    const [, transport = '', rest = ''] = /^([a-z-]+):(?=[^/]|\/[^/])(.+)$/.exec(source) ?? [];
    if (fileTransports.includes(transport)) return rest;
    if (transport in otherTransports) {
      throw new Refusal('usage', `${transport}: is not a source; ${otherTransports[transport]}`);
    }
    throw new Refusal('not-found', `there is no ${path}; a registry is named as docker://HOST/NAME:TAG`, {
      cause,
    });
  });
  if (typeof status === 'string') return await openSource(status, registry, scratch, limits);
  return status.isDirectory() ? await openLayout(path, tag) : await openArchive(path, scratch, tag, limits);
}

/**
 * Prefixes of skopeo and podman for a file or directory, from containers-transports(5). The kind of
 * a source is detected from its bytes.
 */
const fileTransports: readonly string[] = ['oci', 'oci-archive', 'docker-archive'];
/** Transports of the same list that are not read here, and what to do instead. */
const otherTransports: Readonly<Record<string, string>> = {
  dir: 'write an OCI layout, for example with "skopeo copy dir:DIR oci:LAYOUT:NAME"',
  'docker-daemon': 'write the image to a file with "docker save NAME -o FILE"',
  'containers-storage': 'write the image to a file with "podman save NAME -o FILE"',
};

/** `images.tar:app:1.0`, `images.tar@sha256:…` → the existing file, and the rest. */
async function pathAndTag(source: string): Promise<[string, string | undefined]> {
  const [, before, digest] = /^(.+?):?@(sha(?:256|512):[0-9a-f]+)$/.exec(source) ?? [];
  if (before !== undefined && digest !== undefined) {
    const [path, name] = await pathAndTag(before);
    return [path, name === undefined ? digest : `${name}@${digest}`];
  }
  for (let at = source.length; at > 0; at = source.lastIndexOf(':', at - 1)) {
    const path = source.slice(0, at);
    const isThere = await stat(path).then(
      () => true,
      () => false,
    );
    if (isThere) return [path, at === source.length ? undefined : source.slice(at + 1)];
  }
  return [source, undefined];
}
