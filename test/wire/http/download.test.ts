import { createHash } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { Credentials } from '../../../src/wire/http/credentials.ts';
import { parseCredentials } from '../../../src/wire/http/credentials-file.ts';
import { SourceChanged } from '../../../src/wire/http/download-error.ts';
import {
  defaultPatience,
  Download,
  type DownloadPorts,
  type DownloadRequest,
  type Source,
} from '../../../src/wire/http/download.ts';
import { fetchSmall } from '../../../src/wire/http/fetch-small.ts';
import { openHttpClient } from '../../../src/wire/http/http-client.ts';
import type { RefusalCode } from '../../../src/core/refusal/codes.ts';
import {
  serve,
  staticFile,
  steadyRandom,
  TestClock,
  testWindowMs,
  type TestServer,
} from '../../support/test-server.ts';
import { loopbackCertificate } from '../../support/loopback-certificate.ts';

const content = Buffer.alloc(1_000_000);
for (let at = 0; at < content.length; at += 32)
  createHash('sha256').update(String(at)).digest().copy(content, at);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function server(handler: RequestListener): Promise<TestServer> {
  const started = await serve(handler);
  cleanUps.push(() => started.close());
  return started;
}

function ports(
  options: { ca?: string; signal?: AbortSignal; credentials?: Credentials } = {},
): DownloadPorts & { clock: TestClock } {
  const clock = new TestClock();
  const http = openHttpClient({ clock, ...options });
  cleanUps.push(() => http.close());
  return { clock, http, random: steadyRandom, patience: { ...defaultPatience, windowMs: testWindowMs } };
}

function request(urls: string[], more: Partial<DownloadRequest> = {}): DownloadRequest {
  return { urls, startAt: 0, expectedBytes: content.length, minBytesPerSecond: 1000, ...more };
}

async function collect(download: Download): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of download) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function codeOf(promise: Promise<unknown>): Promise<{ code: RefusalCode; message: string }> {
  return promise.then(
    () => Promise.reject(new Error('nothing was refused')),
    (error: unknown) => error as { code: RefusalCode; message: string },
  );
}

/** Sends `bytes` of the file once and cuts the connection; `then` answers later requests. */
function cutOnce(bytes: number, then: RequestListener): RequestListener {
  let first = true;
  return (message, response) => {
    if (!first) {
      then(message, response);
      return;
    }
    first = false;
    response.writeHead(200, { 'content-length': content.length, etag: '"v1"' });
    response.write(content.subarray(0, bytes), () => response.destroy());
  };
}

describe('a download', () => {
  it('delivers the whole file', async () => {
    const { url } = await server(staticFile(content));
    const download = new Download(ports(), request([`${url}/a.aci`]));
    expect((await collect(download)).equals(content)).toBe(true);
    expect(download.receivedBytes).toBe(content.length);
  });

  it('[C30] continues where a cut connection stopped, if the file is still the same', async () => {
    const { url, requests } = await server(cutOnce(300_000, staticFile(content)));
    const got = await collect(new Download(ports(), request([`${url}/a.aci`])));
    expect(got.equals(content)).toBe(true);
    expect(requests).toEqual([
      { path: '/a.aci', range: undefined, ifRange: undefined },
      { path: '/a.aci', range: expect.stringMatching(/^bytes=[1-9]\d*-$/) as string, ifRange: '"v1"' },
    ]);
  });

  it('continues after a restart with the bytes that are already here', async () => {
    const { url, requests } = await server(staticFile(content));
    const source: Source = { url: `${url}/a.aci`, validator: '"v1"' };
    const download = new Download(ports(), request([`${url}/a.aci`], { startAt: 400_000, source }));
    expect((await collect(download)).equals(content.subarray(400_000))).toBe(true);
    expect(requests[0]).toMatchObject({ range: 'bytes=400000-', ifRange: '"v1"' });
    expect(download.receivedBytes).toBe(600_000);
  });

  it('sends no request when everything is already there', async () => {
    const download = new Download(ports(), request(['http://127.0.0.1:1/'], { startAt: content.length }));
    expect((await collect(download)).length).toBe(0);
  });

  it('skips the bytes that it has when the server does not support ranges', async () => {
    const { url } = await server((_, response) => response.end(content));
    const download = new Download(ports(), request([`${url}/a.aci`], { startAt: 700_001 }));
    expect((await collect(download)).equals(content.subarray(700_001))).toBe(true);
  });

  it('starts over when the file on the server has changed', async () => {
    const { url } = await server(staticFile(content, '"v2"'));
    const source: Source = { url: `${url}/a.aci`, validator: '"v1"' };
    const download = new Download(ports(), request([`${url}/a.aci`], { startAt: 400_000, source }));
    await expect(collect(download)).rejects.toBeInstanceOf(SourceChanged);
  });

  it('returns the validator before the first byte', async () => {
    const { url } = await server(staticFile(content));
    const sources: Source[] = [];
    await collect(new Download(ports(), request([`${url}/a.aci`], { onSource: (s) => sources.push(s) })));
    expect(sources).toEqual([{ url: `${url}/a.aci`, validator: '"v1"' }]);
  });

  it.each([
    ['a strong ETag', { etag: '"x"' }, '"x"'],
    ['no weak ETag', { etag: 'W/"x"' }, undefined],
    [
      'a date of change that is older than the answer',
      { 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' },
      'Mon, 01 Jan 2024 00:00:00 GMT',
    ],
  ])('accepts as validator %s (RFC 9110 §8.8)', async (_, headers, validator) => {
    const { url } = await server((__, response) => {
      response.writeHead(200, headers as Record<string, string>);
      response.end(content);
    });
    const sources: Source[] = [];
    await collect(new Download(ports(), request([url], { onSource: (s) => sources.push(s) })));
    expect(sources).toEqual([validator === undefined ? { url } : { url, validator }]);
  });

  it('[C30] uses the next mirror when one has no file', async () => {
    const gone = await server((_, response) => response.writeHead(404).end());
    const { url } = await server(staticFile(content));
    const used = ports();
    const got = await collect(new Download(used, request([`${gone.url}/a`, `${url}/a`])));
    expect(got.equals(content)).toBe(true);
    expect(gone.requests).toHaveLength(1);
    expect(used.clock.delays).toEqual([]);
  });

  it('continues with another mirror without sending it the first one’s validator', async () => {
    const first = await server(cutOnce(300_000, (_, response) => response.writeHead(403).end()));
    const second = await server(staticFile(content, '"other"'));
    const got = await collect(new Download(ports(), request([`${first.url}/a`, `${second.url}/a`])));
    expect(got.equals(content)).toBe(true);
    expect(second.requests[0]?.range).toMatch(/^bytes=[1-9]/);
    expect(second.requests[0]?.ifRange).toBeUndefined();
  });

  it('waits longer with each retry while the server fails, and gives up', async () => {
    const broken = await server((_, response) => response.writeHead(503).end());
    const used = ports();
    const refused = await codeOf(collect(new Download(used, request([`${broken.url}/a.aci`]))));
    expect(refused.code).toBe('download-failed');
    expect(refused.message).toContain(`${broken.url}/a.aci answered with status 503`);
    expect(used.clock.delays).toEqual([1000, 2000, 4000, 8000]);
  });

  describe('waits as long as a busy server requires (RFC 9110 §10.2.3)', () => {
    const usual = [1000, 2000, 4000, 8000];
    const answers: [status: number, retryAfter: string, delays: number[]][] = [
      [503, '5', [6000, 7000, 9000, 13_000]],
      [429, '0', usual],
      // Never longer than the longest pause without Retry-After.
      [429, '20', [21_000, 22_000, 24_000, 28_000]],
      [503, '3600', [30_000, 30_000, 30_000, 30_000]],
      [503, '999999999', [30_000, 30_000, 30_000, 30_000]],
      // A date is ignored: the clock of the device may be wrong.
      [429, 'Fri, 31 Dec 2999 23:59:59 GMT', usual],
      [503, '-5', usual],
      [503, '1e9', usual],
    ];
    it.each(answers)('[C239] status %d, Retry-After: %s', async (status, retryAfter, delays) => {
      const busy = await server((_, response) =>
        response.writeHead(status, { 'retry-after': retryAfter }).end(),
      );
      const used = [ports(), ports()] as const;
      await codeOf(collect(new Download(used[0], request([`${busy.url}/a.aci`]))));
      await codeOf(fetchSmall(used[1], [`${busy.url}/a.aci.asc`], 100));
      expect(used.map(({ clock }) => clock.delays)).toEqual([delays, delays]);
    });

    it('[C239] tries the other mirrors at once, and waits before it retries the busy one', async () => {
      let asked = 0;
      const busy = await server((message, response) => {
        asked += 1;
        if (asked === 1) response.writeHead(429, { 'retry-after': '7' }).end();
        else staticFile(content)(message, response);
      });
      const empty = await server((_, response) => response.writeHead(404).end());
      const used = ports();
      const got = await collect(new Download(used, request([`${busy.url}/a`, `${empty.url}/a`])));
      expect(got.equals(content)).toBe(true);
      expect(empty.requests).toHaveLength(1);
      // Added to the pause after two failed tries.
      expect(used.clock.delays).toEqual([7000 + 2000]);
    });
  });

  it('gives up on a server that sends one byte per connection', async () => {
    let sent = 0;
    const { url, requests } = await server((_, response) => {
      const range = `bytes ${sent}-${content.length - 1}/${content.length}`;
      response.writeHead(sent === 0 ? 200 : 206, sent === 0 ? {} : { 'content-range': range });
      response.write(content.subarray(sent, sent + 1), () => response.destroy());
      sent += 1;
    });
    const refused = await codeOf(collect(new Download(ports(), request([url]))));
    expect(refused.code).toBe('download-failed');
    expect(requests.length).toBeLessThanOrEqual(defaultPatience.maxTries);
  });

  it('does not put secrets of an address into messages', async () => {
    const { url } = await server((_, response) => response.writeHead(403).end());
    const address = url.replace('//', '//user:secret@');
    const refused = await codeOf(collect(new Download(ports(), request([`${address}/a.aci?token=hidden`]))));
    expect(refused.message).toBe(`${url}/a.aci answered with status 403`);
  });
});

describe('a download is refused', () => {
  const cases: [string, RefusalCode, RequestListener][] = [
    ['when the file is missing', 'download-failed', (_, response) => response.writeHead(404).end()],
    [
      'endless data: when the server announces a larger file',
      'download-too-large',
      staticFile(Buffer.alloc(1_000_001)),
    ],
    [
      'endless data: when the server sends more than announced',
      'download-too-large',
      (_, response) => {
        response.write(content);
        response.end('x');
      },
    ],
    ['when the server has a shorter file', 'download-truncated', staticFile(content.subarray(1))],
    [
      'when a file of unknown length ends early',
      'download-truncated',
      (_, response) => {
        response.write(content.subarray(0, 10));
        response.end();
      },
    ],
    [
      'when the connection is always cut at the same place',
      'download-failed',
      (_, response) => {
        response.writeHead(200, { 'content-length': content.length });
        response.write(content.subarray(0, 1000), () => response.destroy());
      },
    ],
    [
      'when redirects go in a circle',
      'download-failed',
      (_, response) => response.writeHead(302, { location: '/again' }).end(),
    ],
    [
      'when a redirect leads to a file on the device',
      'download-failed',
      (_, response) => response.writeHead(302, { location: 'file:///etc/shadow' }).end(),
    ],
  ];
  it.each(cases)('%s: %s', async (_, code, handler) => {
    const { url } = await server(handler);
    expect((await codeOf(collect(new Download(ports(), request([`${url}/a`]))))).code).toBe(code);
  });

  it.each([
    ['another part than requested', `bytes 0-999999/1000000`, 'download-failed'],
    ['a part of a larger file', `bytes 500000-1999999/2000000`, 'download-too-large'],
    ['a part of a smaller file', `bytes 500000-899999/900000`, 'download-truncated'],
    ['a part past the end', `bytes 500000-1000000/*`, 'download-failed'],
    ['no range at all', undefined, 'download-failed'],
  ] as const)('when the server sends %s: %s', async (_, range, code) => {
    const { url } = await server((__, response) => {
      response.writeHead(206, range === undefined ? {} : { 'content-range': range });
      response.end(content.subarray(500_000));
    });
    const download = new Download(ports(), request([url], { startAt: 500_000 }));
    expect((await codeOf(collect(download))).code).toBe(code);
  });

  it('when the server has fewer bytes than are here already: download-truncated', async () => {
    const { url } = await server(staticFile(content.subarray(0, 400_000)));
    const download = new Download(ports(), request([url], { startAt: 500_000 }));
    expect(await codeOf(collect(download))).toMatchObject({ code: 'download-truncated', resumable: false });
  });

  it('when its address is neither http nor https: download-failed', async () => {
    const download = new Download(ports(), request(['file:///etc/shadow']));
    expect(await codeOf(collect(download))).toMatchObject({
      code: 'download-failed',
      message: 'an address of the image is neither http nor https',
    });
  });

  it('when nobody listens: download-failed, naming the address', async () => {
    const refused = await codeOf(collect(new Download(ports(), request(['http://127.0.0.1:1/a.aci']))));
    expect(refused.code).toBe('download-failed');
    expect(refused.message).toContain('http://127.0.0.1:1/a.aci cannot be reached');
  });

  it('slow retrieval: when the server trickles below the minimum rate: download-too-slow', async () => {
    const used = ports();
    const { url } = await server((_, response) => void response.write(content.subarray(0, 1)));
    const patience = { ...defaultPatience, windowMs: testWindowMs, maxTries: 1 };
    const onSource = (): void => void setImmediate(() => used.clock.advance(testWindowMs));
    const download = new Download({ ...used, patience }, request([url], { onSource }));
    expect((await codeOf(collect(download))).code).toBe('download-too-slow');
  });

  it('when the server never answers: download-failed', async () => {
    const used = ports();
    const { url } = await server(() => setImmediate(() => used.clock.advance(testWindowMs)));
    const refused = await codeOf(collect(new Download(used, request([`${url}/a`]))));
    expect(refused.message).toContain('no answer within');
  });

  it('not as too slow while the reader is busy', async () => {
    const { url } = await server(staticFile(content));
    const used = ports();
    let received = 0;
    for await (const chunk of new Download(used, request([url]))) {
      received += chunk.length;
      used.clock.advance(10 * testWindowMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBe(content.length);
  });

  it('stops at once when it is aborted', async () => {
    const stop = new AbortController();
    const { url } = await server((_, response) => void response.write(content.subarray(0, 10)));
    const onSource = (): void => stop.abort();
    const run = collect(new Download(ports({ signal: stop.signal }), request([url], { onSource })));
    await expect(run).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('a server that requires credentials (discovery.md: 401 is a matter of policy)', () => {
  const secret = 's3cret';
  const place = '/etc/wherry/credentials.toml';
  /** Serves the file to requests with the secret; answers others with 401 and `challenge`. */
  const guarded =
    (challenge = 'Basic realm="images"'): RequestListener =>
    (message, response) => {
      if (message.headers.authorization?.endsWith(secret) === true) staticFile(content)(message, response);
      else response.writeHead(401, challenge === '' ? {} : { 'www-authenticate': challenge }).end();
    };
  const known = (url: string, token: string, more = 'plain = true') =>
    parseCredentials(`["${new URL(url).host}"]\ntoken = "${token}"\n${more}`, place);

  it('gets them', async () => {
    const { url } = await server(guarded());
    const used = ports({ credentials: known(url, secret) });
    expect((await collect(new Download(used, request([`${url}/a`])))).equals(content)).toBe(true);
    expect((await fetchSmall(used, [`${url}/a`], content.length))?.length).toBe(content.length);
  });

  it.each<[string, (url: string) => Credentials, string, RegExp]>([
    [
      'has none',
      () => new Credentials(place),
      'Basic realm="x"',
      /: it requires credentials: put user and password, or token, into \/etc\/wherry\/credentials\.toml below \["127\.0\.0\.1:\d+"\]$/,
    ],
    [
      'has others',
      (url) => known(url, 'wr0ng'),
      'Bearer',
      /: it does not accept the credentials that \/etc\/wherry\/credentials\.toml has in \["127\.0\.0\.1:\d+"\]$/,
    ],
    [
      'has some for TLS only',
      (url) => known(url, secret, ''),
      '',
      /: it requires credentials, and those .* go over https only, unless they have plain = true$/,
    ],
    [
      'does not support the scheme of the server',
      (url) => known(url, secret, ''),
      'Digest realm="x", nonce="y"',
      /: it requires Digest, and only Basic and Bearer are supported$/,
    ],
  ])('refuses a device that %s, with what to do', async (_, credentialsFor, challenge, sentence) => {
    const { url, requests } = await server(guarded(challenge));
    const used = ports({ credentials: credentialsFor(url) });
    for (const attempt of [
      () => collect(new Download(used, request([`${url}/a`]))),
      () => fetchSmall(used, [`${url}/a`], 1024),
    ]) {
      const refused = await codeOf(attempt());
      expect(refused.code).toBe('download-failed');
      expect(refused.message).toMatch(sentence);
      expect(refused.message).toContain(`${url}/a answered with status 401`);
      expect(refused.message).not.toMatch(/s3cret|wr0ng/);
    }
    // No retry. The received bytes are kept for a later try with other credentials.
    expect(requests).toHaveLength(2);
    expect(used.clock.delays).toEqual([]);
    expect(await codeOf(collect(new Download(used, request([url]))))).toMatchObject({ resumable: true });
  });

  it('is skipped for a mirror that requires none', async () => {
    const closed = await server(guarded());
    const { url } = await server(staticFile(content));
    const got = await collect(new Download(ports(), request([`${closed.url}/a`, `${url}/a`])));
    expect(got.equals(content)).toBe(true);
  });

  it('[C73] is the only host that gets them, also across redirects', async () => {
    const seen: [string, string | undefined][] = [];
    const see = (name: string, then: RequestListener): RequestListener => {
      return (message, response) => {
        seen.push([name, message.headers.authorization]);
        then(message, response);
      };
    };
    const other = await server(
      see('other', (_, response) => response.writeHead(307, { location: `${first.url}/back` }).end()),
    );
    const first: TestServer = await server(
      see('first', (message, response) => {
        if (message.url === '/back') staticFile(content)(message, response);
        else response.writeHead(302, { location: `${other.url}/there` }).end();
      }),
    );
    const used = ports({ credentials: known(first.url, secret) });
    await collect(new Download(used, request([`${first.url}/a`])));
    const bearer = `Bearer ${secret}`;
    expect(seen).toEqual([
      ['first', bearer],
      ['other', undefined],
      ['first', bearer],
    ]);
  });
});

describe('TLS', () => {
  it('trusts the certificates that were given and follows a redirect within https', async () => {
    const tls = loopbackCertificate();
    const secure = await serve((message, response) => {
      if (message.url === '/old') response.writeHead(301, { location: '/new' }).end();
      else staticFile(content)(message, response);
    }, tls);
    cleanUps.push(() => secure.close());
    const got = await collect(new Download(ports({ ca: tls.cert }), request([`${secure.url}/old`])));
    expect(got.equals(content)).toBe(true);
  });

  it('refuses a server whose certificate no authority signed', async () => {
    const secure = await serve(staticFile(content), loopbackCertificate());
    cleanUps.push(() => secure.close());
    const refused = await codeOf(collect(new Download(ports(), request([secure.url]))));
    expect(refused).toMatchObject({ code: 'download-failed' });
    expect(refused.message).toBe(
      `${secure.url}/ is not trusted: self-signed certificate; name the certificate of its authority in NODE_EXTRA_CA_CERTS`,
    );
    expect(secure.requests).toEqual([]);
  });

  it('names a certificate for other names, and a server without TLS', async () => {
    const tls = loopbackCertificate();
    const secure = await serve(staticFile(content), tls);
    const plain = await serve(staticFile(content));
    cleanUps.push(
      () => secure.close(),
      () => plain.close(),
    );
    const wordsOf = async (url: string) =>
      (await codeOf(collect(new Download(ports({ ca: tls.cert }), request([url]))))).message;
    expect(await wordsOf(secure.url.replace('127.0.0.1', 'localhost'))).toMatch(
      /^https:\/\/localhost:\d+\/ has a certificate for other names: .*localhost/,
    );
    expect(await wordsOf(plain.url.replace('http', 'https'))).toMatch(/^https:\S+ does not speak TLS$/);
  });

  it('never follows a redirect from https to http', async () => {
    const plain = await server(staticFile(content));
    const tls = loopbackCertificate();
    const secure = await serve((_, response) => response.writeHead(302, { location: plain.url }).end(), tls);
    cleanUps.push(() => secure.close());
    const refused = await codeOf(collect(new Download(ports({ ca: tls.cert }), request([secure.url]))));
    expect(refused.message).toMatch(/a redirect from https to http/);
    expect(plain.requests).toEqual([]);
  });
});

describe('a small file', () => {
  it('is requested again when a kept connection is closed at that moment', async () => {
    const served = new WeakSet<object>();
    const { url, requests } = await server(({ socket }, response) => {
      if (served.has(socket)) socket.destroy();
      else response.end('signature');
      served.add(socket);
    });
    const used = ports();
    for (const path of ['a', 'b'])
      expect(String(await fetchSmall(used, [`${url}/${path}`], 1024))).toBe('signature');
    expect(requests.map(({ path }) => path)).toEqual(['/a', '/b', '/b']);
    expect(used.clock.delays).toEqual([]);
  });

  it('comes from the first mirror that has it', async () => {
    const gone = await server((_, response) => response.writeHead(404).end());
    const { url } = await server((_, response) => response.end('signature'));
    expect(String(await fetchSmall(ports(), [gone.url, url], 1024))).toBe('signature');
  });

  it('is absent when no mirror has it', async () => {
    const { url } = await server((_, response) => response.writeHead(404).end());
    expect(await fetchSmall(ports(), [url], 1024)).toBeUndefined();
  });

  it('is not read past its limit', async () => {
    const { url } = await server((_, response) => response.end(Buffer.alloc(1025)));
    expect((await codeOf(fetchSmall(ports(), [url], 1024))).code).toBe('download-too-large');
  });

  it('is requested again while a server fails briefly', async () => {
    let tries = 0;
    const { url } = await server((_, response) => {
      tries += 1;
      if (tries < 3) response.writeHead(502).end();
      else response.end('signature');
    });
    expect(String(await fetchSmall(ports(), [url], 1024))).toBe('signature');
  });

  it('is failed, not absent, when a mirror cannot be reached', async () => {
    const gone = await server((_, response) => response.writeHead(404).end());
    const refused = codeOf(fetchSmall(ports(), ['http://127.0.0.1:1/x', gone.url], 1024));
    expect((await refused).code).toBe('download-failed');
  });
});
