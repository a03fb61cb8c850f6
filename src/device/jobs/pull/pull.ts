import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { type ArchiveSummary, readArchive } from '../../../image/aci/index.ts';
import { defaultArchiveLimits } from '../../../image/tar/index.ts';
import { labelValue } from '../../../image/appc/index.ts';
import type { Clock, Random } from '../../../core/ports/index.ts';
import { isRefusal, Refusal, refusalCodes } from '../../../core/refusal/index.ts';
import type { DesiredImage } from '../../../wire/trust/index.ts';
import type { SignatureVerifier } from '../../../wire/trust/openpgp.ts';
import {
  BandwidthCap,
  DownloadError,
  SourceChanged,
  defaultPatience,
  Download,
  type DownloadPatience,
  type DownloadPorts,
  type DownloadRequest,
  fetchSmall,
  type HttpClient,
  JobBudget,
  asNoSpace,
  PartialFile,
} from '../../../wire/http/index.ts';
import { startObjectBuilder } from '../index.ts';
import type { Pulled, PullJob, PullProgress, PullResult } from './pull-job.ts';

export interface PullPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly http: HttpClient;
  readonly patience?: DownloadPatience;
  /** The job's directory: the download and the object are made here. */
  readonly directory: string;
  /** The program that makes objects: `mkfs.erofs`. */
  readonly builder: string;
  /**
   * Computes the digest that a file will have once it is sealed (store/), for jobs with `seals`.
   */
  readonly futureDigest?: (path: string) => Promise<string | undefined>;
  /** Called as bytes arrive, often. */
  readonly onProgress: (progress: PullProgress) => void;
}

/** What the parts of one pull share. */
interface SharedPorts extends PullPorts {
  readonly cap?: BandwidthCap;
}

const maxSignatureBytes = 64 * 1024;
const hashBytes = 512 * 1024;

/**
 * Pulls one image: download, signature, archive, object, in one pass over the bytes. Afterwards
 * `object.erofs` is in the directory, synced, or there is none. An interrupted download stays, and
 * the next run resumes it.
 *
 * @returns the image, or the refusal; only bugs and errors of the disk are thrown
 */
export async function pull(job: PullJob, ports: PullPorts): Promise<PullResult> {
  const objectPath = `${ports.directory}/object.erofs`;
  await rm(objectPath, { force: true });
  const partial = await PartialFile.open(ports.directory);
  let keep = true; // the next run resumes after an unexpected error or a stop
  const { maxBytesPerSecond } = job.limits;
  const cap = maxBytesPerSecond === 0 ? {} : { cap: new BandwidthCap(maxBytesPerSecond, ports.clock) };
  try {
    const result = await pullInto(objectPath, partial, job, { ...ports, ...cap });
    keep = false;
    return result;
  } catch (error) {
    await rm(objectPath, { force: true });
    if (!isRefusal(error)) throw error;
    keep = error instanceof DownloadError && error.resumable;
    return { ok: false, code: error.code, message: `${job.image.name}: ${error.message}` };
  } finally {
    await partial.close({ remove: !keep });
  }
}

async function pullInto(
  objectPath: string,
  partial: PartialFile,
  job: PullJob,
  ports: SharedPorts,
): Promise<Pulled> {
  const { image, limits } = job;
  if (image.tarSizeBytes > limits.maxTarBytes) {
    throw new Refusal(
      'archive-too-large',
      `it unpacks to ${image.tarSizeBytes} bytes; the limit is ${limits.maxTarBytes}`,
    );
  }
  const newVerifier = await openSignature(job, ports);
  if (partial.sizeBytes > image.sizeBytes) await partial.restart();

  const budget = new JobBudget(image.sizeBytes, (ports.patience ?? defaultPatience).maxTries);
  const first = new ImageBytes(partial, await newVerifier(), job, ports, { budget });
  let continues: DownloadRequest['continues'];
  try {
    return await onePass(objectPath, first, job, ports);
  } catch (error) {
    // Bytes from before a power cut, or of several responses, do not prove a bad image: only a
    // fresh download does.
    if (error instanceof SourceChanged) continues = 'any';
    else if (first.isPutTogether && isRefusal(error, 'image-signature-invalid')) continues = 'whole-answers';
    else throw error;
  }
  // Only once: a server whose validator changes with each response would restart every pass.
  await rm(objectPath, { force: true });
  await partial.restart();
  const second = new ImageBytes(partial, await newVerifier(), job, ports, { budget, continues });
  return await onePass(objectPath, second, job, ports);
}

/**
 * Fetches the detached signature and makes sure that it can be verified at all, before the image is
 * fetched.
 */
async function openSignature(job: PullJob, ports: SharedPorts): Promise<() => Promise<SignatureVerifier>> {
  const loading = import('../../../wire/trust/openpgp.ts'); // while the signature is fetched
  const addresses = job.image.urls.map(signatureAddress);
  const armored = await fetchSmall(ports, addresses, maxSignatureBytes).catch((cause: unknown) => {
    if (!isRefusal(cause, 'download-too-large')) throw cause;
    throw new Refusal('image-signature-invalid', cause.message, { cause });
  });
  if (armored === undefined) {
    throw new Refusal('image-signature-missing', `there is no signature at ${addresses.join(' or ')}`);
  }
  const { signatureVerifier } = await loading;
  const text = armored.toString('latin1');
  const open = (): Promise<SignatureVerifier> =>
    signatureVerifier(text, job.keys, job.time, job.copies, job.threshold);
  await open();
  return open;
}

/** The address of an image's signature: its path plus `.asc`. */
export function signatureAddress(address: string): string {
  const url = new URL(address);
  url.pathname += '.asc';
  return url.href;
}

async function onePass(
  objectPath: string,
  bytes: ImageBytes,
  job: PullJob,
  ports: SharedPorts,
): Promise<Pulled> {
  const { image, limits } = job;
  const builder = startObjectBuilder({
    command: ports.builder,
    path: objectPath,
    compression: job.compression,
  });
  try {
    const archiveLimits = {
      ...defaultArchiveLimits,
      maxTarBytes: image.tarSizeBytes,
      maxEntries: limits.maxEntries,
      maxRatio: limits.maxRatio,
    };
    let summary: ArchiveSummary | Refusal;
    try {
      summary = await readArchive(bytes, { limits: archiveLimits, canonicalTar: builder.tar });
    } catch (error) {
      // The builder's own refusal has the reason why it stopped reading.
      if (isRefusal(error, 'image-build-failed')) await builder.finished();
      if (!isRefusal(error) || refusalCodes[error.code][0] !== 'image') throw error;
      await builder.kill();
      summary = error;
    }
    // The signature is judged first, over all bytes: damage in transit must not be reported as a
    // bad archive.
    await bytes.drain();
    const { fingerprint } = await bytes.finishSignature();
    if (summary instanceof Refusal) throw summary;
    judgeContent(image, summary, job.architectures);
    await builder.finished();
    const [{ objectSizeBytes, objectSha256 }, objectVerity] = await Promise.all([
      settle(objectPath),
      job.seals === true ? ports.futureDigest?.(objectPath) : undefined,
    ]);
    return {
      ok: true,
      imageId: summary.imageId,
      manifest: summary.manifestBytes,
      ...(summary.impliesDirectories ? { impliesDirectories: true } : {}),
      objectSizeBytes,
      objectSha256,
      ...(objectVerity === undefined ? {} : { objectVerity }),
      downloadedBytes: bytes.spentBytes,
      signedBy: fingerprint,
    };
  } finally {
    await builder.kill();
  }
}

/**
 * The bytes of the image: first those on the disk, then those of the download. Each is hashed for
 * the signature, and downloaded ones are saved. A reader that stops leaves the rest to `drain`.
 */
class ImageBytes implements AsyncIterable<Buffer> {
  readonly #chunks: AsyncGenerator<Buffer, void, undefined>;
  readonly #download: Download;
  readonly #budget: JobBudget;
  readonly #verifier: SignatureVerifier;
  readonly #heldBytes: number;

  constructor(
    partial: PartialFile,
    verifier: SignatureVerifier,
    job: PullJob,
    ports: SharedPorts,
    { budget, continues = 'same-validator' }: Pick<DownloadRequest, 'continues'> & { budget: JobBudget },
  ) {
    const { sizeBytes, urls } = job.image;
    this.#verifier = verifier;
    this.#budget = budget;
    this.#heldBytes = partial.sizeBytes;
    let remembering: Promise<void> = Promise.resolve();
    const downloadPorts: DownloadPorts = ports;
    this.#download = new Download(downloadPorts, {
      urls,
      startAt: partial.sizeBytes,
      ...(partial.source === undefined ? {} : { source: partial.source }),
      expectedBytes: sizeBytes,
      minBytesPerSecond: job.limits.minBytesPerSecond,
      continues,
      budget,
      onSource: (source) => {
        remembering = remembering.then(() => partial.remember(source));
        remembering.catch(() => undefined); // awaited with the first chunk
      },
    });
    const download = this.#download;
    this.#chunks = (async function* () {
      let receivedBytes = 0;
      const seen = (chunk: Buffer): Buffer => {
        verifier.update(chunk);
        receivedBytes += chunk.length;
        ports.onProgress({ receivedBytes, totalBytes: sizeBytes });
        return chunk;
      };
      for await (const chunk of partial.read()) yield seen(chunk);
      try {
        for await (const chunk of download) {
          await remembering;
          await partial.append(chunk);
          yield seen(chunk);
        }
      } finally {
        // A response without a byte has not awaited it, and the file is removed or closed after
        // this.
        await remembering.catch(() => undefined);
      }
      await partial.settled();
    })();
  }

  /** What the job has received so far, earlier passes included. */
  get spentBytes(): number {
    return this.#budget.spentBytes;
  }

  /** Whether the bytes came in several runs or responses, so that they may be of several files. */
  get isPutTogether(): boolean {
    return this.#heldBytes > 0 || this.#download.bodies > 1;
  }

  /** The verdict over all bytes. @throws Refusal `image-signature-…`, `image-key-untrusted` */
  finishSignature(): ReturnType<SignatureVerifier['finish']> {
    return this.#verifier.finish();
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return { next: () => this.#chunks.next() };
  }

  /** Reads the rest, so that the signature is judged over all bytes. */
  async drain(): Promise<void> {
    while ((await this.#chunks.next()).done !== true);
  }
}

/** Refuses an archive that is not the commanded image, or not one for this device. */
function judgeContent(image: DesiredImage, summary: ArchiveSummary, architectures: readonly string[]): void {
  const { imageId, manifest } = summary;
  if (imageId !== image.id) {
    throw new Refusal('image-id-mismatch', `its content is ${imageId}, but the command names ${image.id}`);
  }
  if (manifest.name !== image.name) {
    throw new Refusal('image-name-mismatch', `its manifest calls it ${manifest.name}`);
  }
  for (const { name, value } of image.labels) {
    const found = labelValue(manifest.labels, name);
    if (found === value) continue;
    const has = found === undefined ? 'missing' : JSON.stringify(found);
    throw new Refusal(
      'image-labels-mismatch',
      `its label ${name} is ${has}, but the command names ${JSON.stringify(value)}`,
    );
  }
  // Absent labels mean: independent of it (aci.md, "Image Manifest Schema").
  const os = labelValue(manifest.labels, 'os') ?? 'linux';
  const arch = labelValue(manifest.labels, 'arch');
  if (os !== 'linux' || (arch !== undefined && !architectures.includes(arch))) {
    throw new Refusal(
      'image-arch-mismatch',
      `it is for ${os}/${arch ?? 'any'}; this device runs linux/${architectures.join(', linux/')}`,
    );
  }
}

/** Makes the object durable, and hashes it meanwhile. */
async function settle(objectPath: string): Promise<{ objectSizeBytes: number; objectSha256: string }> {
  const handle = await open(objectPath, 'r');
  try {
    const synced = handle.sync().catch((error: unknown) => {
      throw asNoSpace(error, 'the image object');
    });
    synced.catch(() => undefined); // awaited below
    const hash = createHash('sha256');
    let [next, last] = [Buffer.allocUnsafeSlow(hashBytes), Buffer.allocUnsafeSlow(hashBytes)];
    let objectSizeBytes = 0;
    let reading = handle.read(next, 0, hashBytes, 0);
    for (;;) {
      const { bytesRead } = await reading;
      if (bytesRead === 0) break;
      objectSizeBytes += bytesRead;
      [next, last] = [last, next];
      reading = handle.read(next, 0, hashBytes, objectSizeBytes);
      hash.update(last.subarray(0, bytesRead));
    }
    await synced;
    return { objectSizeBytes, objectSha256: hash.digest('hex') };
  } finally {
    await handle.close();
  }
}
