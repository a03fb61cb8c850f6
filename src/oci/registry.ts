import { createHash } from 'node:crypto';
import { Refusal } from '../refusal/index.ts';
import type { BlobSource } from './blobs.ts';
import { isDigest, maxDocumentBytes } from './documents.ts';

/** A reference to an image on a registry: `host[:port]/repository[:tag][@digest]`. */
export interface RegistryReference {
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest?: string;
}

export interface RegistryOptions {
  /** `http` in place of `https`, for registries on this machine and in a closed network. */
  readonly plainHttp: boolean;
  /** For registries that ask who one is; sent to the registry, or to its token server if that is on the same host or https. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/** What is asked for, the manifests of OCI and of Docker (image-spec, media-types.md). */
const accepted = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

const maxTokenBytes = 64 * 1024;

/**
 * Reads `docker://` references as Docker does: no host means Docker's own registry, no tag means `latest`.
 * @throws Refusal `usage`
 */
export function parseRegistryReference(text: string): RegistryReference {
  const wrong = () =>
    new Refusal(
      'usage',
      `${JSON.stringify(text)} is no reference to an image such as docker://registry.example/app:1.0`,
    );
  const match =
    /^docker:\/\/(?:([a-zA-Z0-9.-]+(?::\d{1,5})?)\/)?([^:@]+?)(?::([\w][\w.-]{0,127}))?(?:@(.+))?$/.exec(
      text,
    );
  if (match === null) throw wrong();
  const [, first, rest = '', tag = 'latest', digest] = match;
  // Docker's rule: the first part is a host only if it could not be the name of an organisation.
  const isHost = first !== undefined && (/[.:]/.test(first) || first === 'localhost');
  const path = first === undefined || isHost ? rest : `${first}/${rest}`;
  const host = isHost ? first : 'registry-1.docker.io';
  const repository = !isHost && !path.includes('/') ? `library/${path}` : path;
  if (!/^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/.test(repository))
    throw wrong();
  if (digest !== undefined && !isDigest(digest)) throw wrong();
  return { host, repository, tag, ...(digest === undefined ? {} : { digest }) };
}

/** An image on a registry (distribution-spec 1.1: pull). */
export function openRegistry(reference: RegistryReference, options: RegistryOptions): BlobSource {
  const { host, repository, tag, digest } = reference;
  const base = `${options.plainHttp ? 'http' : 'https'}://${host}/v2/${repository}`;
  const shown = `docker://${host}/${repository}:${tag}`;
  let authorization: string | undefined;

  const ask = async (path: string, accept: string): Promise<Response> => {
    const send = async () =>
      await fetch(`${base}${path}`, {
        headers: { accept, ...(authorization === undefined ? {} : { authorization }) },
      }).catch((cause: unknown) => {
        throw new Refusal('download-failed', `${shown}: ${host} cannot be reached`, { cause });
      });
    let response = await send();
    if (response.status === 401 && authorization === undefined) {
      await response.body?.cancel();
      authorization = await authorize(
        response.headers.get('www-authenticate') ?? '',
        shown,
        reference,
        options,
      );
      response = await send();
    }
    if (response.ok && response.body !== null) return response;
    await response.body?.cancel();
    const code = response.status === 404 ? 'not-found' : 'download-failed';
    const advice = response.status === 401 || response.status === 403 ? '; it wants other credentials' : '';
    throw new Refusal(code, `${shown}: ${host} answered ${response.status} to ${path}${advice}`);
  };

  return {
    reference: shown,
    name: `${host === 'registry-1.docker.io' ? 'docker.io' : host.replace(/:\d+$/, '')}/${repository}`,
    ...(digest === undefined ? { tag } : {}),
    root: async () => {
      const response = await ask(`/manifests/${digest ?? tag}`, accepted);
      const bytes = await limited(response, maxDocumentBytes, `${shown}, manifest`);
      if (digest !== undefined) checkDigest(bytes, digest, shown);
      return { bytes, what: `${shown}, manifest` };
    },
    open: async (blob) => {
      // Manifests of an index are not blobs to every registry.
      const response = await ask(`/blobs/${blob}`, '*/*').catch(async (error: unknown) => {
        if (!(error instanceof Refusal) || error.code !== 'not-found') throw error;
        return await ask(`/manifests/${blob}`, accepted);
      });
      return response.body as unknown as AsyncIterable<Uint8Array>;
    },
    close: () => Promise.resolve(),
  };
}

/** Answers a challenge (RFC 9110 §11.6.1): Basic with the credentials, Bearer with a token of the server that it names. */
async function authorize(
  challenge: string,
  shown: string,
  { repository, host }: RegistryReference,
  { credentials, plainHttp }: RegistryOptions,
): Promise<string> {
  const basic =
    credentials && `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
  const [, scheme = '', rest = ''] = /^\s*([A-Za-z]+)\s*(.*)$/s.exec(challenge) ?? [];
  if (scheme.toLowerCase() === 'basic') {
    if (basic === undefined)
      throw new Refusal(
        'download-failed',
        `${shown}: ${host} wants a user and a password; give them with --credentials`,
      );
    return basic;
  }
  if (scheme.toLowerCase() !== 'bearer') {
    throw new Refusal(
      'download-failed',
      `${shown}: ${host} asks for an authentication that is not supported (${scheme || 'none named'})`,
    );
  }
  const parameters = new Map(
    [...rest.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  );
  const realm = parameters.get('realm') ?? '';
  if (!URL.canParse(realm)) throw new Refusal('download-failed', `${shown}: ${host} names no token server`);
  const url = new URL(realm);
  const isSafe = url.protocol === 'https:' || (plainHttp && url.protocol === 'http:');
  if (!isSafe)
    throw new Refusal('download-failed', `${shown}: its token server is not asked over ${url.protocol}`);
  const service = parameters.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${repository}:pull`);
  const response = await fetch(url, { headers: basic === undefined ? {} : { authorization: basic } }).catch(
    (cause: unknown) => {
      throw new Refusal('download-failed', `${shown}: its token server ${url.host} cannot be reached`, {
        cause,
      });
    },
  );
  if (!response.ok)
    throw new Refusal(
      'download-failed',
      `${shown}: its token server ${url.host} answered ${response.status}`,
    );
  const bytes = await limited(response, maxTokenBytes, `${shown}, token`);
  let token: unknown;
  try {
    const answer = JSON.parse(bytes.toString()) as Record<string, unknown>;
    token = answer['token'] ?? answer['access_token'];
  } catch {
    token = undefined;
  }
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new Refusal('download-failed', `${shown}: its token server ${url.host} gave no token`);
  }
  return `Bearer ${token}`;
}

async function limited(response: Response, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes)
      throw new Refusal('download-too-large', `${what}: it has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function checkDigest(bytes: Buffer, digest: string, shown: string): void {
  const [algorithm = '', expected = ''] = digest.split(':');
  if (createHash(algorithm).update(bytes).digest('hex') !== expected) {
    throw new Refusal('input-invalid', `${shown}: its manifest is not ${digest.slice(0, 19)}`);
  }
}
