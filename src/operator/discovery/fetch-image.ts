import { createReadStream } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { writeOutput } from '../build/index.ts';
import { defaultArchiveLimits } from '../../image/tar/index.ts';
import { readArchive, type ArchiveSummary } from '../../image/aci/index.ts';
import { labelValue, type ImageName } from '../../image/appc/index.ts';
import type { Clock } from '../../core/ports/index.ts';
import { isRefusal, localErrorOf, Refusal, refusalAt } from '../../core/refusal/index.ts';
import { type DownloadPorts, fetchSmall } from '../../wire/http/index.ts';
import type { Endpoint } from './discovery.ts';

export interface FetchImageOptions {
  readonly ports: DownloadPorts & { readonly clock: Clock };
  /** The requested image: name and labels are compared with the manifest. */
  readonly image: ImageName;
  /**
   * Addresses in the order in which they are tried; those that are neither https nor http are
   * ignored.
   */
  readonly endpoints: readonly Endpoint[];
  /** Armored public keys of which one must have signed. */
  readonly keys: readonly string[];
  /** The file to write; the signature goes beside it, with `.asc`. */
  readonly output: string;
  readonly maxBytes: number;
  readonly onProgress: (receivedBytes: number, totalBytes: number | undefined) => void;
}

export interface FetchedImage {
  readonly summary: ArchiveSummary;
  readonly url: string;
  /** Fingerprint of the key that signed, lower-case hex. */
  readonly signedBy: string;
}

const maxSignatureBytes = 64 * 1024;
const answerWithinMs = 20_000;
const silentMs = 60_000;

/**
 * Downloads an image with its signature, verifies it, and compares it with the request. The file
 * appears when all checks pass.
 *
 * @throws Refusal `download-failed`, `image-signature-…`, `image-key-untrusted`, `key-unusable`,
 *   `image-name-mismatch`, `image-labels-mismatch`, `archive-…`, `image-manifest-…`
 */
export async function fetchImage(options: FetchImageOptions): Promise<FetchedImage> {
  const { endpoints, image, output } = options;
  const addresses = endpoints.filter(({ aci, asc }) =>
    [aci, asc].every((address) => /^https?:/.test(address)),
  );
  if (addresses.length === 0) {
    const found =
      endpoints.length === 0
        ? 'no address was found'
        : `only ${endpoints.map(({ aci }) => aci).join(', ')} was found`;
    throw new Refusal('download-failed', `${image.name}: ${found}; https is what can be fetched`);
  }
  const failures: string[] = [];
  for (const { aci: url, asc } of addresses) {
    try {
      const armored = await fetchSmall(options.ports, [asc], maxSignatureBytes);
      if (armored === undefined) {
        throw new Refusal('image-signature-missing', `${image.name}: there is no signature at ${asc}`);
      }
      return await writeOutput(output, async (partial) => {
        await download(url, partial, options);
        const fetched = await judge(url, partial, armored.toString('latin1'), options);
        await writeOutput(`${output}.asc`, (path) => writeFile(path, armored));
        return fetched;
      });
    } catch (error) {
      if (!isRefusal(error, 'download-failed')) throw error;
      failures.push(error.message);
    }
  }
  throw new Refusal('download-failed', `${image.name}: ${failures.join('; ')}`);
}

async function download(
  url: string,
  path: string,
  { ports, maxBytes, onProgress, image }: FetchImageOptions,
): Promise<void> {
  const { status, body, from } = await ports.http.get(url, {}, answerWithinMs);
  if (status !== 200) {
    body.destroy();
    throw new Refusal('download-failed', `${from} answered ${status}`);
  }
  body.setTimeout(silentMs, () => body.destroy(new Error(`nothing came for ${silentMs / 1000} s`)));
  const length = Number(body.headers['content-length'] ?? Number.NaN);
  const totalBytes = Number.isSafeInteger(length) ? length : undefined;
  const file = await open(path, 'w');
  let receivedBytes = 0;
  try {
    for await (const chunk of body) {
      const bytes = chunk as Buffer;
      receivedBytes += bytes.length;
      if (receivedBytes > maxBytes) {
        throw new Refusal('download-too-large', `${image.name}: ${from} sends more than ${maxBytes} bytes`);
      }
      await file.write(bytes);
      onProgress(receivedBytes, totalBytes);
    }
  } catch (cause) {
    if (isRefusal(cause) || localErrorOf(cause) !== undefined) throw cause;
    throw new Refusal('download-failed', `${from} broke off after ${receivedBytes} bytes`, { cause });
  } finally {
    await file.close();
  }
}

/** Verifies the signature first, then compares the manifest of the archive. */
async function judge(
  url: string,
  path: string,
  armored: string,
  { ports, image, keys }: FetchImageOptions,
): Promise<FetchedImage> {
  const { signatureVerifier } = await import('../../wire/trust/openpgp.ts');
  try {
    const time = { nowSeconds: Math.floor(ports.clock.nowMs() / 1000), clockTrusted: true };
    const verifier = await signatureVerifier(armored, keys, time);
    for await (const chunk of createReadStream(path)) verifier.update(chunk as Buffer);
    const { fingerprint } = await verifier.finish();
    const summary = await readArchive(createReadStream(path), { limits: defaultArchiveLimits });
    requireAsked(image, summary.manifest);
    return { summary, url, signedBy: fingerprint };
  } catch (error) {
    throw refusalAt(image.name, error);
  }
}

/**
 * Every requested label must exist with that value; more labels are allowed (discovery.md,
 * "Validation").
 */
export function requireAsked(image: ImageName, { name, labels }: ArchiveSummary['manifest']): void {
  if (name !== image.name) {
    throw new Refusal('image-name-mismatch', `the manifest names ${name}, not the requested ${image.name}`);
  }
  for (const asked of image.labels) {
    const found = labelValue(labels, asked.name);
    if (found === asked.value) continue;
    const has =
      found === undefined ? 'the image has no such label' : `the image has ${JSON.stringify(found)}`;
    throw new Refusal(
      'image-labels-mismatch',
      `the requested label is ${asked.name}=${asked.value}, but ${has}`,
    );
  }
}
