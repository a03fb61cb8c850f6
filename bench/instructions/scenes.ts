import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { buildAci } from '../../src/operator/build/builder.ts';
import { type AcIdentifier, parseImageManifest } from '../../src/image/appc/index.ts';
import { examineFiles } from '../../src/device/jobs/examine/examine-files.ts';
import { jobName } from '../../src/device/jobs/index.ts';
import { pullFiles, type PullJob } from '../../src/device/jobs/pull/index.ts';
import { generateKey, signDetached } from '../../src/wire/trust/sign.ts';
import { serve, type TestServer } from '../../test/support/test-server.ts';
import { day, desired, issued, makeKey, publish } from '../../test/support/operator.ts';
import { bulkContents } from '../bulk-image.ts';

/** An image on a web server, and the job to pull it. */
export interface PullScene {
  readonly downloadBytes: number;
  /** The environment of the pull unit. */
  readonly environment: Readonly<Record<string, string>>;
  readonly job: string;
  /** Re-creates the job's directory. */
  readonly prepare: () => void;
  /** @throws Error when the last run has not pulled the image */
  readonly check: () => void;
}

/**
 * Makes an image of about `megabytes` and serves it. A program that stores the tar replaces
 * `mkfs.erofs`, whose instructions do not count.
 */
export async function pullScene(directory: string, server: WebServer, megabytes: number): Promise<PullScene> {
  const title = `bulk-${megabytes}`;
  const name = `example.com/${title}` as AcIdentifier;
  const labels = [{ name: 'version', value: '1.0.0' }];
  const app = { exec: ['/srv/0/0'], user: '0', group: '0' };
  const manifest = parseImageManifest(
    Buffer.from(JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name, labels, app })),
  );
  const root = join(directory, `${title}.root`);
  mkdirSync(root, { recursive: true });
  const contents = megabytes === 0 ? [Buffer.from('text\n')] : bulkContents(megabytes);
  const path = join(directory, `${title}.aci`);
  const built = await buildAci({
    root,
    manifest,
    output: path,
    compression: 'gzip',
    owner: { uid: 0, gid: 0 },
    additions: contents.map((content, index) => ({
      path: `/srv/${Math.floor(index / 64)}/${index}`,
      content,
      mode: 0o644,
    })),
  });
  const key = await generateKey({ name: 'bench', createdSeconds: issued - day });
  const signature = await signDetached(createReadStream(path), key.privateKey, issued);
  server.files.set(`/${title}.aci`, readFileSync(path));
  server.files.set(`/${title}.aci.asc`, Buffer.from(signature));

  const job: PullJob = {
    image: {
      id: built.imageId,
      name,
      labels: manifest.labels,
      sizeBytes: built.sizeBytes,
      tarSizeBytes: built.tarSizeBytes,
      urls: [`${server.url}/${title}.aci`],
    },
    keys: [key.publicKey],
    architectures: ['aarch64', 'armv7l'],
    limits: {
      maxTarBytes: 1e9,
      maxEntries: 10_000,
      maxRatio: 200,
      minBytesPerSecond: 1,
      maxBytesPerSecond: 0,
    },
    compression: 'none',
    time: { nowSeconds: issued + day, clockTrusted: true },
  };
  const partial = join(directory, 'partial');
  const id = jobName(built.imageId);
  const home = join(partial, id);
  return {
    downloadBytes: built.sizeBytes,
    job: id,
    environment: {
      WHERRY_PARTIAL: partial,
      WHERRY_RUN: join(directory, 'run'),
      WHERRY_MKFS_EROFS: storingBuilder(directory),
    },
    prepare: () => {
      rmSync(home, { recursive: true, force: true });
      mkdirSync(home, { recursive: true });
      writeFileSync(join(home, 'job.cbor'), pullFiles.encodeJob(job));
    },
    check: () => {
      const result = pullFiles.decodeResult(readFileSync(join(home, 'result.cbor')));
      if (!result.ok) throw new Error(`the pull was refused: ${result.message}`);
    },
  };
}

/**
 * A command that a device accepts, with `signatures` keys, all of which must sign. Returns the
 * directory of the job for the examination.
 */
export async function examineScene(
  directory: string,
  signatures: number,
): Promise<{ directory: string; check: () => void }> {
  const home = join(directory, `examine-${signatures}`);
  mkdirSync(home, { recursive: true });
  const keys = await Promise.all(Array.from({ length: signatures }, (_, at) => makeKey(`deploy-${at}`)));
  const request = examineFiles.encodeJob({
    message: await publish(desired, ...keys),
    context: {
      keys: keys.map(({ publicKey }) => publicKey),
      ...(signatures > 1 ? { threshold: signatures } : {}),
      fleet: 'farm',
      device: 'pump-1',
      trusted: { version: 6, payloadSha256: '0'.repeat(64), issued: issued - day },
      time: { nowSeconds: issued + day, clockTrusted: true },
    },
  });
  writeFileSync(join(home, 'request.cbor'), request);
  return {
    directory: home,
    check: () => {
      const verdict = readFileSync(join(home, 'verdict.cbor')).toString('latin1');
      if (!verdict.includes('signedBy')) throw new Error(`the command was refused: ${verdict}`);
    },
  };
}

export interface WebServer extends Pick<TestServer, 'url' | 'close'> {
  /** By path. */
  readonly files: Map<string, Buffer>;
}

export async function webServer(): Promise<WebServer> {
  const files = new Map<string, Buffer>();
  const server = await serve((request, response) => {
    const file = files.get(request.url ?? '');
    if (file === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-length': file.length, etag: '"v1"' }).end(file);
  });
  return { files, url: server.url, close: () => server.close() };
}

function storingBuilder(directory: string): string {
  const path = join(directory, 'mkfs.erofs');
  writeFileSync(path, '#!/bin/sh\nfor last; do :; done\nexec cat >"$last"\n');
  chmodSync(path, 0o755);
  return path;
}
