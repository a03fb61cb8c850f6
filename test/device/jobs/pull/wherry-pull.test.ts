import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodePullProgress, pullFiles } from '../../../../src/device/jobs/pull/pull-job-codec.ts';
import type { PullJob, PullResult } from '../../../../src/device/jobs/pull/pull-job.ts';
import {
  gnupgSigner,
  jobFor,
  temporaryDirectory,
  testImage,
  type Signer,
  type TestImage,
} from '../../../support/test-image.ts';
import {
  preparePull,
  pullJobId,
  pullResult as resultIn,
  runPullProgram,
} from '../../../support/pull-program.ts';
import { type ProgramEnd, runUnitProgram } from '../../../support/unit-program.ts';
import { requireSecret } from '../../../../src/device/agent/require-secret.ts';
import { serve, staticFile, type TestServer } from '../../../support/test-server.ts';
import { startTinyProxy } from '../../../support/tinyproxy.ts';

let signer: Signer;
let image: TestImage;
let server: TestServer;
/** Called within the image, before the server cuts the connection. */
let onHalf: (() => void) | undefined;
/** How the image is served otherwise. */
let serving: RequestListener;

beforeAll(async () => {
  signer = gnupgSigner();
  image = await testImage({ entries: [{ name: 'rootfs/file', body: Buffer.alloc(100_000, 'text') }] });
  const signature = signer.sign(image.aci);
  server = await serve((request, response) => {
    if (request.url?.startsWith('/guarded/') === true && request.headers.authorization !== 'Bearer s3cret')
      response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
    else if (request.url?.endsWith('/app.aci.asc') === true) response.end(signature);
    else if (request.url?.endsWith('/app.aci') !== true) response.writeHead(404).end();
    else if (onHalf === undefined) serving(request, response);
    else {
      response.writeHead(200, { 'content-length': image.aci.length, etag: '"v1"' });
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
  serving = staticFile(image.aci);
  server.requests.length = 0;
});
afterEach(() => remove());

/** Runs the program as its unit does. */
function wherryPull(
  started?: (stop: () => void) => void,
  environment: NodeJS.ProcessEnv = {},
): Promise<ProgramEnd> {
  return runPullProgram(root, { environment, ...(started === undefined ? {} : { started }) });
}

function prepare(path = '/app.aci', more: Partial<PullJob> = {}): string {
  const job = { ...jobFor(image, [`${server.url}${path}`], [signer.publicKey]), ...more };
  return preparePull(root, job);
}

describe('wherry-pull', () => {
  it('leaves an object and a result, and writes its progress to memory', async () => {
    const directory = prepare();
    expect(await wherryPull()).toEqual({ status: 0, said: '' });
    expect(resultIn(directory)).toMatchObject({ ok: true, imageId: image.id });
    expect(readdirSync(directory).sort()).toEqual(['job.cbor', 'object.erofs', 'result.cbor']);
    const progress = decodePullProgress(readFileSync(join(root, 'run/pull', pullJobId, 'progress.cbor')));
    expect(progress).toEqual({ receivedBytes: image.aci.length, totalBytes: image.aci.length });
  });

  it('leaves a refusal as a result and in the journal, and ends with status 0', async () => {
    const directory = prepare('/gone.aci');
    const { status, said } = await wherryPull();
    expect(status).toBe(0);
    expect(resultIn(directory)).toMatchObject({ ok: false, code: 'image-signature-missing' });
    expect(said).toMatch(/^<4>example.com\/app: there is no signature at .* \(image-signature-missing\)\n$/);
    expect(readdirSync(directory).sort()).toEqual(['job.cbor', 'result.cbor']);
  });

  it('stopped during a download, keeps it for the next run and leaves no verdict', async () => {
    const directory = prepare();
    const ended = await wherryPull((stop) => (onHalf = stop));
    expect(ended).toEqual({ status: 0, said: '<5>stopped before the image was complete\n' });
    expect(readdirSync(directory).sort()).toEqual(['download', 'download.meta', 'job.cbor']);
  });

  describe('started again after it was stopped during a download', () => {
    /** One process that is killed when half of the image has arrived, and how much it left. */
    async function half(): Promise<{ directory: string; heldBytes: number }> {
      const directory = prepare();
      await wherryPull((stop) => (onHalf = stop));
      onHalf = undefined;
      server.requests.length = 0;
      const heldBytes = statSync(join(directory, 'download')).size;
      expect(heldBytes).toBeGreaterThan(0);
      return { directory, heldBytes };
    }
    const asked = () => server.requests.filter(({ path }) => path === '/app.aci');

    it('[C30] requests only the rest if the file is the same (RFC 9110 §13.1.5)', async () => {
      const { directory, heldBytes } = await half();
      await wherryPull();
      expect(resultIn(directory)).toMatchObject({
        ok: true,
        downloadedBytes: image.aci.length - heldBytes,
      });
      expect(asked()).toEqual([{ path: '/app.aci', range: `bytes=${heldBytes}-`, ifRange: '"v1"' }]);
    });

    it('fetches a changed file again, for which the server answers 200', async () => {
      const { directory, heldBytes } = await half();
      // The stored bytes belong to the old file.
      writeFileSync(join(directory, 'download'), Buffer.alloc(heldBytes, 'of the old file'));
      serving = staticFile(image.aci, '"v2"');
      await wherryPull();
      expect(resultIn(directory)).toMatchObject({ ok: true, imageId: image.id });
      expect(asked()).toEqual([
        { path: '/app.aci', range: `bytes=${heldBytes}-`, ifRange: '"v1"' },
        { path: '/app.aci', range: undefined, ifRange: undefined },
      ]);
    });

    it('skips what it has when the server supports no ranges and answers 200', async () => {
      const { directory } = await half();
      serving = (_, response) => {
        response.writeHead(200, { 'content-length': image.aci.length, etag: '"v1"' });
        response.end(image.aci);
      };
      await wherryPull();
      expect(resultIn(directory)).toMatchObject({ ok: true, downloadedBytes: image.aci.length });
      expect(asked()).toHaveLength(1);
    });

    it('keeps what it has when the server refuses the credentials', async () => {
      const { directory, heldBytes } = await half();
      serving = (_, response) => response.writeHead(401).end();
      await wherryPull();
      expect(resultIn(directory)).toMatchObject({ ok: false, code: 'download-failed' });
      expect(statSync(join(directory, 'download')).size).toBe(heldBytes);
    });
  });

  describe('with secrets that systemd put into its memory (systemd.exec(5), LoadCredential=)', () => {
    const loaded = (text: string): NodeJS.ProcessEnv => {
      const directory = join(root, 'credentials');
      mkdirSync(directory);
      writeFileSync(join(directory, 'credentials.toml'), text, { mode: 0o400 });
      return { CREDENTIALS_DIRECTORY: directory };
    };

    it('authenticates to the web server, and to the proxy that the job names', async () => {
      const proxy = await startTinyProxy(['BasicAuth fleet pr0xy']);
      try {
        const url = `http://${proxy.name}`;
        const directory = prepare('/guarded/app.aci', { proxy: { url, noProxy: ['images.local'] } });
        const environment = loaded(
          `["${new URL(server.url).host}"]\ntoken = "s3cret"\nplain = true\n["${url}"]\nuser = "fleet"\npassword = "pr0xy"\n`,
        );
        const misled = { HTTP_PROXY: 'http://127.0.0.1:1', NO_PROXY: '*' };
        expect(await wherryPull(undefined, { ...misled, ...environment })).toEqual({
          status: 0,
          said: '',
        });
        expect(resultIn(directory)).toMatchObject({ ok: true });
      } finally {
        await proxy.stop();
      }
      expect(proxy.requests).toEqual([
        `GET ${server.url}/guarded/app.aci.asc HTTP/1.1`,
        `GET ${server.url}/guarded/app.aci HTTP/1.1`,
      ]);
    });

    it('[C73] suggests what to do without secrets, and names a wrong file, not its content', async () => {
      const directory = prepare('/guarded/app.aci');
      const environment = loaded('# none');
      const { said } = await wherryPull(undefined, environment);
      const where = `["${new URL(server.url).host}"]`;
      expect(said).toBe(
        `<4>example.com/app: ${server.url}/guarded/app.aci.asc answered with status 401: it requires credentials: put user and password, or token, into /etc/wherry/credentials.toml below ${where} (download-failed)\n`,
      );
      const file = join(environment['CREDENTIALS_DIRECTORY'] ?? '', 'credentials.toml');
      chmodSync(file, 0o600);
      writeFileSync(file, '["a"]\ntoken = s3cret\n');
      const broken = await wherryPull(undefined, environment);
      expect(broken).toEqual({
        status: 0,
        said: '<4>/etc/wherry/credentials.toml: line 2 is not TOML (config-invalid)\n',
      });
      expect(resultIn(directory)).toMatchObject({ ok: false, code: 'config-invalid' });
    });
  });

  it('uses the proxy of its environment if the job names none', async () => {
    const proxy = await startTinyProxy();
    try {
      prepare();
      await wherryPull(undefined, { http_proxy: `http://${proxy.name}` });
    } finally {
      await proxy.stop();
    }
    expect(proxy.requests).toHaveLength(2);
  });

  it.each([`../${'a'.repeat(29)}`, '', 'b'.repeat(32)])('fails when there is no job %j', async (job) => {
    expect(await runUnitProgram(root, 'pull', job)).toMatchObject({ status: 1 });
  });
});

describe('a file of secrets', () => {
  const file = () => join(root, 'credentials.toml');

  it('may be absent, and must be readable by its owner only', async () => {
    await requireSecret(file());
    writeFileSync(file(), '', { mode: 0o600 });
    await requireSecret(file());
  });

  it.each([0o644, 0o640, 0o602])('of mode %o is refused with advice', async (mode) => {
    writeFileSync(file(), '');
    chmodSync(file(), mode);
    await expect(requireSecret(file())).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining(`"chmod 600 ${file()}"`) as string,
    });
  });
});

describe('the result of a pull', () => {
  it('can be read back', () => {
    const result: PullResult = {
      ok: true,
      imageId: image.id,
      manifest: Uint8Array.from([123, 125]),
      objectSizeBytes: 4096,
      objectSha256: 'a'.repeat(64),
      downloadedBytes: 0,
      signedBy: 'b'.repeat(40),
    };
    expect(pullFiles.decodeResult(pullFiles.encodeResult(result))).toEqual(result);
    const refusal: PullResult = { ok: false, code: 'no-space', message: 'full' };
    expect(pullFiles.decodeResult(pullFiles.encodeResult(refusal))).toEqual(refusal);
  });

  it('is refused when it has unknown fields', () => {
    const forged = { ok: true, code: 'x', message: 'y' } as unknown as PullResult;
    expect(() => pullFiles.decodeResult(pullFiles.encodeResult(forged))).toThrow(
      expect.objectContaining({ code: 'internal' }),
    );
    expect(() => pullFiles.decodeResult(Buffer.from('junk'))).toThrow(/cannot be read/);
  });
});
