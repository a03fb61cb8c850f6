import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  decodePullProgress,
  decodePullResult,
  encodePullJob,
  encodePullResult,
  type PullResult,
} from '../../src/fetch/index.ts';
import {
  fakeBuilder,
  gnupgSigner,
  jobFor,
  temporaryDirectory,
  testImage,
  type Signer,
  type TestImage,
} from '../fetch/test-image.ts';
import { serve, staticFile, type TestServer } from '../fetch/test-server.ts';

let signer: Signer;
let image: TestImage;
let server: TestServer;
/** Ends the connection within the image, after telling. */
let onHalf: (() => void) | undefined;

beforeAll(async () => {
  signer = gnupgSigner();
  image = await testImage({ entries: [{ name: 'rootfs/file', body: Buffer.alloc(100_000, 'text') }] });
  const signature = signer.sign(image.aci);
  server = await serve((request, response) => {
    if (request.url === '/app.aci.asc') response.end(signature);
    else if (request.url !== '/app.aci') response.writeHead(404).end();
    else if (onHalf === undefined) staticFile(image.aci)(request, response);
    else {
      response.writeHead(200, { 'content-length': image.aci.length });
      response.write(image.aci.subarray(0, image.aci.length / 2), onHalf);
    }
  });
});
afterAll(async () => {
  await server.close();
  signer.remove();
});

let root = '';
let remove: () => void;
beforeEach(() => {
  ({ path: root, remove } = temporaryDirectory());
  onHalf = undefined;
});
afterEach(() => remove());

/** Runs the program as its unit does. */
async function wherryPull(
  job: string,
  started: (stop: () => void) => void = () => undefined,
): Promise<{ status: number | null; said: string }> {
  const program = join(import.meta.dirname, '../../src/daemon/wherry-pull.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, job], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      WHERRY_PARTIAL: join(root, 'partial'),
      WHERRY_RUN: join(root, 'run'),
      WHERRY_MKFS_EROFS: fakeBuilder(join(root, 'tools')),
    },
  });
  started(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, said };
}

function prepare(path = '/app.aci'): string {
  const directory = join(root, 'partial', 'job-1');
  mkdirSync(directory, { recursive: true });
  const job = jobFor(image, [`${server.url}${path}`], [signer.publicKey]);
  writeFileSync(join(directory, 'job.cbor'), encodePullJob(job));
  return directory;
}

function resultIn(directory: string): PullResult {
  return decodePullResult(readFileSync(join(directory, 'result.cbor')));
}

describe('wherry-pull', () => {
  it('leaves an object and a result, and tells its progress in memory', async () => {
    const directory = prepare();
    expect(await wherryPull('job-1')).toEqual({ status: 0, said: '' });
    expect(resultIn(directory)).toMatchObject({ ok: true, imageId: image.id });
    expect(readdirSync(directory).sort()).toEqual(['job.cbor', 'object.erofs', 'result.cbor']);
    const progress = decodePullProgress(readFileSync(join(root, 'run/pull/job-1/progress.cbor')));
    expect(progress).toEqual({ receivedBytes: image.aci.length, totalBytes: image.aci.length });
  }, 20_000);

  it('leaves a refusal as a result, says it in the journal, and does not count it as its own failure', async () => {
    const directory = prepare('/gone.aci');
    const { status, said } = await wherryPull('job-1');
    expect(status).toBe(0);
    expect(resultIn(directory)).toMatchObject({ ok: false, code: 'image-signature-missing' });
    expect(said).toMatch(/^<4>example.com\/app: there is no signature at .* \(image-signature-missing\)\n$/);
    expect(readdirSync(directory).sort()).toEqual(['job.cbor', 'result.cbor']);
  }, 20_000);

  it('told to stop within a download, keeps it for the next run and leaves no verdict', async () => {
    const directory = prepare();
    const { status } = await wherryPull('job-1', (stop) => (onHalf = stop));
    expect(status).toBe(1);
    expect(readdirSync(directory).sort()).toEqual(['download', 'download.meta', 'job.cbor']);
  }, 20_000);

  it.each(['../job-1', '', 'missing'])(
    'fails when there is no job %j',
    async (job) => {
      expect(await wherryPull(job)).toMatchObject({ status: 1 });
    },
    20_000,
  );
});

describe('the result of a pull', () => {
  it('comes back as it was written', () => {
    const result: PullResult = {
      ok: true,
      imageId: image.id,
      manifest: Uint8Array.from([123, 125]),
      objectSizeBytes: 4096,
      objectSha256: 'a'.repeat(64),
      downloadedBytes: 0,
      signedBy: 'b'.repeat(40),
    };
    expect(decodePullResult(encodePullResult(result))).toEqual(result);
    const refusal: PullResult = { ok: false, code: 'no-space', message: 'full' };
    expect(decodePullResult(encodePullResult(refusal))).toEqual(refusal);
  });

  it('is not believed when it has other fields than it may have', () => {
    const forged = { ok: true, code: 'x', message: 'y' } as unknown as PullResult;
    expect(() => decodePullResult(encodePullResult(forged))).toThrow(
      expect.objectContaining({ code: 'internal' }),
    );
    expect(() => decodePullResult(Buffer.from('junk'))).toThrow(/cannot be read/);
  });
});
