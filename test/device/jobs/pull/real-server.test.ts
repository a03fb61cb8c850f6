import { randomFillSync } from 'node:crypto';
import { renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PullResult } from '../../../../src/device/jobs/pull/pull-job.ts';
import { type Nginx, type NginxRequest, startNginx } from '../../../support/nginx.ts';
import { preparePull, pullResult, runPullProgram } from '../../../support/pull-program.ts';
import { until } from '../../../support/system-clock.ts';
import {
  gnupgSigner,
  jobFor,
  temporaryDirectory,
  testImage,
  type Signer,
  type TestImage,
} from '../../../support/test-image.ts';

let signer: Signer;
let image: TestImage;
/** Bytes of another image, as many as of the first. */
let otherBytes: Buffer;

beforeAll(async () => {
  signer = gnupgSigner();
  const random = () => [{ name: 'rootfs/big', body: randomFillSync(Buffer.alloc(3_000_000)) }];
  image = await testImage({ entries: random() });
  const other = await testImage({ entries: random() });
  otherBytes = Buffer.concat([other.aci, Buffer.alloc(1000)]).subarray(0, image.aci.length);
});
afterAll(() => signer.remove());

let root = '';
const cleanUps: (() => unknown)[] = [];
beforeEach(() => {
  const temporary = temporaryDirectory();
  root = temporary.path;
  cleanUps.push(temporary.remove);
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

interface Pulled {
  readonly result: PullResult;
  /** Requests for the image. */
  readonly requests: readonly NginxRequest[];
}

/**
 * An event at the server during a pull. It happens once `heldBytes` have arrived, or when `isTime`.
 */
interface Event {
  readonly heldBytes?: number;
  readonly isTime?: (server: Nginx) => boolean;
  readonly happens: (server: Nginx) => void;
}

/**
 * The bytes of an unread answer that the kernel may hold: the server has counted them, and they
 * never arrive. The send buffer has 16 KiB.
 */
const unreadBytes = 256 * 1024;

/** Runs the device's pull job against nginx, and checks what it may cost. */
async function pullFrom(
  lines: string,
  { http = '', events = [], bytes = image.aci }: { http?: string; events?: Event[]; bytes?: Buffer } = {},
): Promise<Pulled> {
  const server = await startNginx(lines, http);
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= server.stop());
  cleanUps.push(() => stop().then(() => server.remove()));
  writeFileSync(join(server.root, 'slow'), '');
  writeFileSync(join(server.root, 'app.aci'), bytes);
  writeFileSync(join(server.root, 'app.aci.asc'), signer.sign(bytes));
  const job = jobFor({ ...image, aci: bytes }, [`${server.url}/app.aci`], [signer.publicKey]);
  const directory = preparePull(root, job);
  const held = () => statSync(join(directory, 'download'), { throwIfNoEntry: false })?.size ?? 0;
  const running = runPullProgram(root);
  let hasEnded = false;
  void running.finally(() => (hasEnded = true));
  for (const { heldBytes = 0, isTime = () => true, happens } of events) {
    await until(() => hasEnded || (held() >= heldBytes && isTime(server)));
    happens(server);
  }
  expect(await running).toMatchObject({ status: 0 });
  await stop();
  const requests = server.requests().filter(({ path }) => path === '/app.aci');
  const sentBytes = requests.reduce((sum, request) => sum + request.sentBytes, 0);
  expect(sentBytes).toBeLessThanOrEqual(2 * bytes.length + requests.length * unreadBytes);
  return { result: pullResult(directory), requests };
}

/** Sends a part of the file, and then almost nothing while the file `slow` exists. */
const stalling = 'limit_rate_after 600k; if (-f $document_root/slow) { set $limit_rate 1k; }';

const cut: Event['happens'] = (server) => server.reload();
const lastCut: Event['happens'] = (server) => {
  rmSync(join(server.root, 'slow'));
  server.reload();
};
const threeCuts: Event[] = [
  { heldBytes: 500_000, happens: cut },
  { heldBytes: 1_000_000, happens: cut },
  { heldBytes: 1_500_000, happens: lastCut },
];

describe('[C30] a pull from nginx', () => {
  it('needs one request', async () => {
    const { result, requests } = await pullFrom('');
    expect(result).toMatchObject({ ok: true, imageId: image.id });
    expect(requests).toMatchObject([{ range: undefined, status: 200, sentBytes: image.aci.length }]);
  });

  it('that answers 204 is asked once', async () => {
    const { result, requests } = await pullFrom('location = /app.aci { return 204; }');
    expect(result).toMatchObject({ ok: false, code: 'download-failed' });
    expect(result).toHaveProperty('message', expect.stringMatching(/app\.aci answered with status 204$/));
    expect(requests).toHaveLength(1);
  });

  it.each([429, 503])(
    '[C239] that is busy for three seconds (%i) is asked again after them',
    async (status) => {
      const { result, requests } = await pullFrom(
        `location = /app.aci { if (-f $document_root/busy) { add_header Retry-After 3 always; return ${status}; } }`,
        {
          events: [
            { happens: ({ root: files }) => writeFileSync(join(files, 'busy'), '') },
            {
              isTime: (server) => server.requests().some((request) => request.status === status),
              happens: ({ root: files }) => rmSync(join(files, 'busy')),
            },
          ],
        },
      );
      expect(result).toMatchObject({ ok: true, imageId: image.id });
      expect(requests.map((request) => request.status)).toEqual([status, 200]);
      const [refused, delivered] = requests;
      // Without Retry-After the first pause is one second at most.
      expect((delivered?.endMs ?? 0) - (refused?.endMs ?? 0)).toBeGreaterThanOrEqual(3000);
    },
  );

  it('through a proxy that compresses it again is refused, and the message names the coding', async () => {
    const socket = join(root, 'behind.sock');
    const behind = (directory: string) =>
      `server { listen unix:${socket}; root ${directory}; gzip on; gzip_types *; gzip_proxied any; gzip_http_version 1.0; }`;
    const lines = `location = /app.aci { proxy_pass http://unix:${socket}; proxy_set_header Accept-Encoding gzip; }`;
    const files = temporaryDirectory();
    cleanUps.push(files.remove);
    for (const [bytes, code, what] of [
      [image.aci, 'download-too-large', 'sends more than the'],
      [image.tar, 'download-truncated', 'ended after'],
    ] as const) {
      writeFileSync(join(files.path, 'app.aci'), bytes);
      const { result } = await pullFrom(lines, { http: behind(files.path), bytes });
      expect(result).toMatchObject({ ok: false, code });
      expect(result).toHaveProperty(
        'message',
        expect.stringContaining(`/app.aci (in Content-Encoding "gzip") ${what}`),
      );
    }
  });

  it('that stalls and cuts each transfer is resumed, and costs no byte twice', async () => {
    const { result, requests } = await pullFrom(stalling, { events: threeCuts });
    expect(result).toMatchObject({ ok: true, imageId: image.id, downloadedBytes: image.aci.length });
    expect(requests.map(({ status }) => status)).toEqual([200, 206, 206, 206]);
  });

  it('that supports no ranges and cuts the transfer costs the received bytes twice', async () => {
    const { result, requests } = await pullFrom(`${stalling} max_ranges 0;`, {
      events: [{ heldBytes: 500_000, happens: lastCut }],
    });
    expect(result).toMatchObject({ ok: true, imageId: image.id });
    expect(requests).toMatchObject([{ status: 200 }, { status: 200, sentBytes: image.aci.length }]);
  });

  it.each([
    ['the same bytes', () => image.aci, { ok: true }],
    ['other bytes', () => otherBytes, { ok: false, code: 'image-signature-invalid' }],
    ['fewer bytes', () => Buffer.from('short'), { ok: false, code: 'download-truncated' }],
  ] as const)('whose file is replaced meanwhile, by %s, begins again once', async (_, bytes, expected) => {
    const replaceAndCut = (server: Nginx): void => {
      // As in an upload: the running transfer still sends the old file.
      writeFileSync(join(server.root, 'new'), bytes());
      // nginx's ETag is size and second. A file of the same size in the same second would have the
      // same.
      const minuteAgo = Date.now() / 1000 - 60;
      utimesSync(join(server.root, 'new'), minuteAgo, minuteAgo);
      renameSync(join(server.root, 'new'), join(server.root, 'app.aci'));
      lastCut(server);
    };
    const { result, requests } = await pullFrom(stalling, {
      events: [{ heldBytes: 500_000, happens: replaceAndCut }],
    });
    expect(result).toMatchObject(expected);
    // The cut request, the one that reveals the change, and the one for the whole file.
    expect(requests.map(({ status }) => status)).toEqual([200, 200, 200]);
  });
});
