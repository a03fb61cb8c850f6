import { randomFillSync } from 'node:crypto';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage, RequestListener } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeCbor } from '../../../src/core/cbor/index.ts';
import type { HttpClient } from '../../../src/wire/http/http-client.ts';
import type { PullResult } from '../../../src/device/jobs/pull/index.ts';
import { pull } from '../../../src/device/jobs/pull/pull.ts';
import { openHttpClient } from '../../../src/wire/http/index.ts';
import {
  gnupgSigner,
  jobFor,
  temporaryDirectory,
  testImage,
  type Signer,
  type TestImage,
} from '../../support/test-image.ts';
import {
  serve,
  staticFile,
  steadyRandom,
  TestClock,
  testWindowMs,
  type TestServer,
} from '../../support/test-server.ts';

let signer: Signer;
let image: TestImage;
let signature: string;
let size = 0;

beforeAll(async () => {
  signer = gnupgSigner();
  image = await testImage({
    entries: [{ name: 'rootfs/big', body: randomFillSync(Buffer.alloc(600_000)) }],
  });
  signature = signer.sign(image.aci);
  size = image.aci.length;
});
afterAll(() => signer.remove());

let directory = '';
const cleanUps: (() => unknown)[] = [];
beforeEach(() => {
  const temporary = temporaryDirectory();
  directory = temporary.path;
  cleanUps.push(temporary.remove);
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A builder that only stores the tar: these tests concern the download. */
function keepingBuilder(): string {
  const path = join(directory, 'builder');
  writeFileSync(path, '#!/bin/sh\nfor last; do :; done\nexec cat > "$last"\n');
  chmodSync(path, 0o755);
  return path;
}

async function publish(aci: RequestListener): Promise<TestServer> {
  const server = await serve((request, response) => {
    if (request.url === '/app.aci') aci(request, response);
    else response.end(signature);
  });
  cleanUps.push(() => server.close());
  return server;
}

async function pullFrom(urls: string[], http?: HttpClient, maxTries = 60): Promise<PullResult> {
  const clock = new TestClock();
  clock.advance(Date.now()); // signatures are judged by it
  const own = http ?? openHttpClient({ clock });
  try {
    return await pull(jobFor(image, urls, [signer.publicKey]), {
      ...{ clock, http: own, directory, random: steadyRandom, builder: keepingBuilder() },
      patience: { windowMs: testWindowMs, idleTries: 5, maxTries, firstDelayMs: 1, maxDelayMs: 1 },
      onProgress: () => undefined,
    });
  } finally {
    own.close();
  }
}

/** Sends the first `bytes` of `body`, then cuts the connection. */
function cutting(bytes: number, status: number, headers: IncomingHttpHeaders, body: Buffer): RequestListener {
  return (_, response) => {
    response.writeHead(status, headers);
    response.write(body.subarray(0, bytes), () => response.destroy());
  };
}

/**
 * Web servers behind one address, each with its own ETag for the same file because the ETag
 * contains the inode. The link cuts each transfer.
 */
function cluster(cutAfterBytes: number, knowsRanges: boolean): RequestListener {
  let answers = 0;
  return (request, response) => {
    answers += 1;
    const etag = `"${answers}"`;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const isPart = knowsRanges && from > 0 && request.headers['if-range'] === undefined;
    const range = { 'content-range': `bytes ${from}-${size - 1}/${size}` };
    const body = isPart ? image.aci.subarray(from) : image.aci;
    const send = cutting(cutAfterBytes, isPart ? 206 : 200, { etag, ...(isPart ? range : {}) }, body);
    send(request, response);
  };
}

describe('a server whose ETag changes with each response', () => {
  it('is given up when the bytes of the whole file arrived and it is incomplete', async () => {
    const server = await publish(cluster(200_000, false));
    const result = await pullFrom([`${server.url}/app.aci`]);
    expect(result).toMatchObject({ ok: false, code: 'download-failed' });
    expect(result).toHaveProperty('message', expect.stringMatching(/makes the download begin again/));
    expect(server.requests.length).toBeLessThan(12);
  });

  it('delivers the image when it supports ranges; the signature covers the whole', async () => {
    const server = await publish(cluster(200_000, true));
    expect(await pullFrom([`${server.url}/app.aci`])).toMatchObject({ ok: true, imageId: image.id });
  });
});

describe('bytes that were received before do not prevent a download', () => {
  const held = 250_000;

  function hold(bytes: Buffer, source: object): void {
    writeFileSync(join(directory, 'download'), bytes);
    writeFileSync(join(directory, 'download.meta'), encodeCbor(source));
  }

  const answers: [name: string, (request: IncomingMessage) => [number, IncomingHttpHeaders, Buffer]][] = [
    [
      'a server that answers a range with another one',
      () => [206, { 'content-range': `bytes 300000-${size - 1}/${size}` }, image.aci.subarray(300_000)],
    ],
    [
      'a server that answers a range with the whole file, as a part of it',
      () => [206, { 'content-range': `bytes 0-${size - 1}/${size}` }, image.aci],
    ],
    [
      'a server that aligns parts to its blocks',
      () => [206, { 'content-range': `bytes 196608-${size - 1}/${size}` }, image.aci.subarray(196_608)],
    ],
    [
      'a server that refuses a range of a file that is long enough',
      () => [416, { 'content-range': `bytes */${size}` }, Buffer.alloc(0)],
    ],
    ['a server that refuses each range without a size', () => [416, {}, Buffer.alloc(0)]],
    ['a server that sends a part without its place', () => [206, {}, image.aci.subarray(held)]],
    [
      'a server that names one part and sends another',
      () => [
        206,
        { 'content-range': `bytes ${held}-${size - 1}/${size}` },
        image.aci.subarray(0, size - held),
      ],
    ],
  ];
  it.each(answers)('%s', async (_, answer) => {
    const server = await publish((request, response) => {
      if (request.headers.range === undefined) return void response.end(image.aci);
      const [status, headers, body] = answer(request);
      response.writeHead(status, headers);
      response.end(body);
    });
    const url = `${server.url}/app.aci`;
    hold(image.aci.subarray(0, held), { url });
    expect(await pullFrom([url])).toMatchObject({ ok: true, imageId: image.id });
  });

  it('is deleted when no server continues it', async () => {
    const server = await publish(cluster(400_000, false));
    const result = await pullFrom([`${server.url}/app.aci`]);
    expect(result).toMatchObject({ ok: false, code: 'download-failed' });
    expect(existsSync(join(directory, 'download'))).toBe(false);
  });
});

it('retries of all passes of a job are counted together', async () => {
  let answers = 0;
  const server = await publish((request, response) => {
    answers += 1;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    // After the fifth answer the validator is another one.
    const etag = answers > 5 ? '"new"' : '"old"';
    const ifRange = request.headers['if-range'];
    if (ifRange !== undefined && ifRange !== etag) {
      staticFile(image.aci, etag)(request, response);
      return;
    }
    const headers = from === 0 ? { etag } : { etag, 'content-range': `bytes ${from}-${size - 1}/${size}` };
    cutting(1000, from === 0 ? 200 : 206, headers, image.aci.subarray(from))(request, response);
  });
  expect(await pullFrom([`${server.url}/app.aci`], undefined, 12)).toMatchObject({ code: 'download-failed' });
  expect(answers).toBe(12);
});

/** What a server does with one request for the image. */
interface Behaviour {
  readonly status: 200 | 206 | 416 | 503 | 404;
  readonly etag: string | undefined;
  /** Offset of the first byte of a part from the requested one, in bytes. */
  readonly shift: number;
  /** Share of the body after which the connection is cut, 0 to 1; undefined: it is not cut. */
  readonly cutAt: number | undefined;
  readonly isDamaged: boolean;
  readonly namesLength: boolean;
}

const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  status: fc.constantFrom(200, 206, 206, 206, 416, 503, 404),
  etag: fc.constantFrom('"a"', '"a"', '"b"', '"c"', undefined),
  shift: fc.constantFrom(0, 0, 0, 0, -1000, 1000),
  cutAt: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined, freq: 5 }),
  isDamaged: fc.constantFrom(false, false, false, true),
  namesLength: fc.boolean(),
});

/**
 * A server without ranges behind a link that lets a little more through each time: every answer is
 * progress.
 */
const creeping: fc.Arbitrary<Behaviour[]> = fc
  .array(fc.double({ min: 0.3, max: 0.99, noNaN: true }), { minLength: 5, maxLength: 12 })
  .map((shares) =>
    shares
      .sort((a, b) => a - b)
      .map((cutAt) => ({ status: 200, etag: '"a"', shift: 0, cutAt, isDamaged: false, namesLength: true })),
  );

const readAheadBytes = 4096;

/**
 * A network whose servers behave as listed, one entry per request, from the beginning again after
 * the last. Counts the bytes that are read from it.
 */
class RandomNetwork implements HttpClient {
  takenBytes = 0;
  readonly #behaviours: readonly Behaviour[];
  #answers = 0;

  constructor(behaviours: readonly Behaviour[]) {
    this.#behaviours = behaviours;
  }

  get(address: string, asked: Record<string, unknown>): ReturnType<HttpClient['get']> {
    const from = new URL(address).host;
    if (address.endsWith('.asc')) {
      return Promise.resolve({ status: 200, from, body: this.#body({}, Buffer.from(signature), false) });
    }
    const now = this.#behaviours[this.#answers++ % this.#behaviours.length];
    if (now === undefined) throw new Error('a network needs behaviours');
    const range = /^bytes=(\d+)-$/.exec(typeof asked['range'] === 'string' ? asked['range'] : '')?.[1];
    const isSame = asked['if-range'] === undefined || asked['if-range'] === now.etag;
    const isPart = now.status === 206 && range !== undefined && isSame;
    const first = isPart ? Math.min(size - 1, Math.max(0, Number(range) + now.shift)) : 0;
    const content = Buffer.from(image.aci.subarray(first));
    if (now.isDamaged) content.fill(0, 0, Math.min(100, content.length));
    const status = isPart ? 206 : now.status === 206 ? 200 : now.status;
    const hasFile = status === 200 || status === 206;
    const headers: IncomingHttpHeaders = {
      ...(now.etag === undefined ? {} : { etag: now.etag }),
      ...(isPart ? { 'content-range': `bytes ${first}-${size - 1}/${size}` } : {}),
      ...(hasFile && now.namesLength ? { 'content-length': String(content.length) } : {}),
    };
    const cutAt = now.cutAt === undefined ? undefined : Math.floor(now.cutAt * content.length);
    const body = hasFile ? content.subarray(0, cutAt) : Buffer.alloc(0);
    return Promise.resolve({ status, from, body: this.#body(headers, body, cutAt !== undefined && hasFile) });
  }

  getOnce(): never {
    throw new Error('a pull follows redirects');
  }

  close(): void {
    // Nothing is open.
  }

  #body(headers: IncomingHttpHeaders, content: Buffer, isCut: boolean): IncomingMessage {
    let at = 0;
    const body = new Readable({
      highWaterMark: readAheadBytes,
      read: () => {
        if (at >= content.length && isCut) return void body.destroy(new Error('the connection was cut'));
        const piece = content.subarray(at, at + 1024);
        at += piece.length;
        this.takenBytes += piece.length;
        body.push(piece.length === 0 ? null : piece);
      },
    });
    return Object.assign(body, { headers }) as unknown as IncomingMessage;
  }
}

it('[C30] a job never receives more than twice the size of its image', async () => {
  let done = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.array(behaviour, { minLength: 1, maxLength: 12 }), creeping),
      async (behaviours) => {
        const temporary = temporaryDirectory();
        directory = temporary.path;
        try {
          const network = new RandomNetwork(behaviours);
          const result = await pullFrom(['http://a.example/app.aci', 'http://b.example/app.aci'], network);
          if (result.ok) done += 1;
          expect(network.takenBytes - signature.length).toBeLessThanOrEqual(2 * size + readAheadBytes);
        } finally {
          temporary.remove();
        }
      },
    ),
    { numRuns: 60 },
  );
  // Some of these servers deliver the image.
  expect(done).toBeGreaterThan(0);
}, 900_000); // sixty pulls: on a busy machine more than the usual limit
