import { writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseCredentials } from '../../../src/wire/http/credentials-file.ts';
import { defaultPatience, Download, type DownloadPorts } from '../../../src/wire/http/download.ts';
import { fetchSmall } from '../../../src/wire/http/fetch-small.ts';
import { openHttpClient, type HttpClientOptions } from '../../../src/wire/http/http-client.ts';
import { parseProxy, proxiesOfEnvironment, proxyVariables } from '../../../src/wire/http/proxies.ts';
import { freePort } from '../../../qemu/free-port.ts';
import { loopbackCertificate } from '../../support/loopback-certificate.ts';
import { temporaryDirectory } from '../../support/test-image.ts';
import {
  serve,
  staticFile,
  steadyRandom,
  TestClock,
  testWindowMs,
  type TestServer,
} from '../../support/test-server.ts';
import { startTinyProxy, type TinyProxy } from '../../support/tinyproxy.ts';

const content = Buffer.alloc(300_000, 'content of the image');
/** Not for `localhost`: Node compares with that name when it has no other. */
const tls = loopbackCertificate(['example.com']);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function proxy(lines: readonly string[] = []): Promise<TinyProxy> {
  const started = await startTinyProxy(lines);
  cleanUps.push(() => started.stop());
  return started;
}

type Headers = IncomingMessage['headers'];

/** A server that remembers the headers of each request. */
async function origin(secure: boolean, handler: RequestListener = staticFile(content)) {
  const headers: Headers[] = [];
  const server: TestServer = await serve(
    (request, response) => {
      headers.push(request.headers);
      handler(request, response);
    },
    secure ? tls : undefined,
  );
  cleanUps.push(() => server.close());
  return { ...server, headers };
}

function ports(options: Partial<HttpClientOptions>): DownloadPorts & { clock: TestClock } {
  const clock = new TestClock();
  const http = openHttpClient({ clock, ca: tls.cert, ...options });
  cleanUps.push(() => http.close());
  return { clock, http, random: steadyRandom, patience: { ...defaultPatience, windowMs: testWindowMs } };
}

async function collect(url: string, used: DownloadPorts): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const size = { startAt: 0, expectedBytes: content.length, minBytesPerSecond: 1 };
  for await (const chunk of new Download(used, { urls: [url], ...size })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The sentence of a refused download. */
async function refusal(url: string, used: DownloadPorts): Promise<string> {
  return collect(url, used).then(
    () => Promise.reject(new Error('nothing was refused')),
    (error: unknown) => {
      expect(error).toMatchObject({ code: 'download-failed', resumable: true });
      return (error as Error).message;
    },
  );
}

const secret = 'p%4ss w:rd';
const withPassword = (name: string) => `http://fleet:${encodeURIComponent('s3cret')}@${name}`;

describe('a download through a proxy (tinyproxy)', () => {
  it('[C73] sends it the whole http address, and the server never gets its password', async () => {
    const through = await proxy(['BasicAuth fleet s3cret']);
    const { url, headers, requests } = await origin(false);
    const got = await collect(`${url}/a.aci`, ports({ proxyFor: () => withPassword(through.name) }));
    expect(got.equals(content)).toBe(true);
    expect(requests.map(({ path }) => path)).toEqual(['/a.aci']);
    expect(JSON.stringify(headers)).not.toMatch(/proxy-authorization/i);
    await through.stop();
    expect(through.requests).toEqual([`GET ${url}/a.aci HTTP/1.1`]);
  });

  it('tunnels to https addresses and verifies the certificate of the server', async () => {
    const through = await proxy(['BasicAuth fleet s3cret']);
    const { url, headers } = await origin(true);
    const used = ports({ proxyFor: () => withPassword(through.name) });
    expect((await collect(`${url}/a.aci`, used)).equals(content)).toBe(true);
    expect((await fetchSmall(used, [`${url}/a.aci.asc`], 1 << 20))?.length).toBe(content.length);
    expect(JSON.stringify(headers)).not.toMatch(/proxy-authorization|s3cret/i);
    await through.stop();
    // One tunnel: it is kept for the second file.
    expect(through.requests).toEqual([`CONNECT ${new URL(url).host} HTTP/1.1`]);
  });

  it('refuses a server in a tunnel with a certificate of no authority or another name', async () => {
    const through = await proxy();
    const named = ports({
      proxyFor: () => `http://${through.name}`,
      connectTo: () => ({ host: '127.0.0.1', port: Number(new URL(server.url).port) }),
    });
    const server = await origin(true);
    expect(await refusal('https://other.example/a', named)).toMatch(/other\.example.*cert.*altnames/);
    const stranger = await serve(staticFile(content), loopbackCertificate());
    cleanUps.push(() => stranger.close());
    const unknown = ports({ proxyFor: () => `http://${through.name}` });
    expect(await refusal(stranger.url, unknown)).toMatch(/self-signed certificate/);
    expect(server.requests).toEqual([]);
    expect(stranger.requests).toEqual([]);
  });

  it('keeps the name of a server that has another address, by http and by https', async () => {
    const through = await proxy();
    for (const secure of [true, false]) {
      const { url, headers } = await origin(secure);
      const used = ports({
        proxyFor: () => `http://${through.name}`,
        connectTo: (host) =>
          host === 'example.com' ? { host: '127.0.0.1', port: Number(new URL(url).port) } : undefined,
      });
      const address = `${secure ? 'https' : 'http'}://example.com/a.aci`;
      expect((await collect(address, used)).equals(content)).toBe(true);
      expect(headers[0]?.host).toBe('example.com');
    }
    await through.stop();
    expect(through.requests.filter((line) => line.startsWith('CONNECT 127.0.0.1:'))).toHaveLength(2);
  });

  it('follows redirects, each through its own proxy', async () => {
    const [first, second] = [await proxy(), await proxy()];
    const secure = await origin(true);
    const plain = await origin(false, (_, response) =>
      response.writeHead(302, { location: `${secure.url}/moved` }).end(),
    );
    const used = ports({
      proxyFor: ({ protocol }) => `http://${(protocol === 'https:' ? second : first).name}`,
    });
    expect((await collect(`${plain.url}/a`, used)).equals(content)).toBe(true);
    await first.stop();
    await second.stop();
    expect(first.requests).toEqual([`GET ${plain.url}/a HTTP/1.1`]);
    expect(second.requests).toEqual([`CONNECT ${new URL(secure.url).host} HTTP/1.1`]);
  });

  it('continues a download that was cut, with its range', async () => {
    const through = await proxy();
    let isFirst = true;
    const { url, requests } = await origin(true, (request, response) => {
      if (!isFirst) {
        staticFile(content)(request, response);
        return;
      }
      isFirst = false;
      response.writeHead(200, { 'content-length': content.length, etag: '"v1"' });
      response.write(content.subarray(0, 100_000), () => response.destroy());
    });
    const got = await collect(url, ports({ proxyFor: () => `http://${through.name}` }));
    expect(got.equals(content)).toBe(true);
    expect(requests[1]).toMatchObject({ range: expect.stringMatching(/^bytes=\d+-$/) as string });
    await through.stop();
    expect(through.requests).toHaveLength(2);
  });

  it.each([true, false])('of which a file has user and password; https: %s', async (secure) => {
    const through = await proxy(['BasicAuth fleet s3cret']);
    const { url, headers } = await origin(secure);
    const credentials = parseCredentials(
      `["http://${through.name}"]\nuser = "fleet"\npassword = "s3cret"`,
      'credentials.toml',
    );
    const used = ports({ proxyFor: () => `http://${through.name}`, credentials });
    expect((await collect(url, used)).equals(content)).toBe(true);
    expect(JSON.stringify(headers)).not.toMatch(/authorization/i);
  });

  it.each([true, false])('sends credentials of the server to the server; https: %s', async (secure) => {
    const through = await proxy(['BasicAuth fleet s3cret']);
    const { url, headers } = await origin(secure);
    const credentials = parseCredentials(
      `["${new URL(url).host}"]\ntoken = "of-the-server"\nplain = true`,
      'credentials.toml',
    );
    const used = ports({ proxyFor: () => withPassword(through.name), credentials });
    expect((await collect(url, used)).equals(content)).toBe(true);
    expect(headers[0]?.authorization).toBe('Bearer of-the-server');
  });

  it('that is reached over TLS itself', async () => {
    const through = await proxy();
    const own = loopbackCertificate(['localhost']);
    const front = createTlsServer(own, (socket) => {
      const behind = connect(through.port, '127.0.0.1');
      socket.pipe(behind).pipe(socket);
      for (const one of [socket, behind]) one.on('error', () => (socket.destroy(), behind.destroy()));
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    cleanUps.push(() => void front.close());
    const { port } = front.address() as { port: number };
    for (const secure of [true, false]) {
      const { url } = await origin(secure);
      const used = ports({ ca: own.cert + tls.cert, proxyFor: () => `https://localhost:${port}` });
      expect((await collect(url, used)).equals(content)).toBe(true);
    }
    await through.stop();
    expect(through.requests).toEqual([
      expect.stringMatching(/^CONNECT 127/) as string,
      expect.stringMatching(/^GET http:/) as string,
    ]);
  });
});

describe('a proxy that refuses is reported by name and without its password', () => {
  it.each([true, false])('407 without credentials; https: %s', async (secure) => {
    const through = await proxy(['BasicAuth fleet s3cret']);
    const { url, requests } = await origin(secure);
    const used = ports({ proxyFor: () => `http://${through.name}` });
    expect(await refusal(`${url}/a`, used)).toBe(
      `${url}/a through the proxy ${through.name} cannot be reached: the proxy answered with status 407: it requires credentials: put user and password into the file of credentials below ["http://${through.name}"]`,
    );
    expect(requests).toEqual([]);
    expect(used.clock.delays).toEqual([]); // a retry would not help
  });

  it.each([true, false])('tinyproxy’s 401 for wrong credentials; https: %s', async (secure) => {
    const through = await proxy(['BasicAuth fleet s3cret']);
    const { url, requests } = await origin(secure);
    const wrong = `http://fleet:${encodeURIComponent(secret)}@${through.name}`;
    const message = await refusal(`${url}/a`, ports({ proxyFor: () => wrong }));
    expect(message).toContain(`${url}/a through the proxy ${through.name}`);
    expect(message).toMatch(/status 401: .*(?:proxy|it) (?:says so for itself and )?does not accept/);
    expect(message).not.toMatch(/fleet|p%4ss|w:rd/);
    expect(requests).toEqual([]);
  });

  it('403 for a tunnel that it does not allow', async () => {
    const through = await proxy(['ConnectPort 1']);
    const { url } = await origin(true);
    const used = ports({ proxyFor: () => withPassword(through.name) });
    expect(await refusal(`${url}/a`, used)).toBe(
      `${url}/a through the proxy ${through.name} cannot be reached: the proxy answered with status 403`,
    );
    expect(used.clock.delays).toEqual([]);
  });

  it('403 for a host that it filters', async () => {
    const directory = temporaryDirectory();
    cleanUps.push(directory.remove);
    writeFileSync(join(directory.path, 'filter'), '127\\.0\\.0\\.1\n');
    const through = await proxy([`Filter "${join(directory.path, 'filter')}"`]);
    const { url } = await origin(false);
    const used = ports({ proxyFor: () => withPassword(through.name) });
    expect(await refusal(`${url}/a`, used)).toBe(
      `${url}/a through the proxy ${through.name} answered with status 403`,
    );
  });

  it.each(['https', 'http'])('a server that the proxy cannot reach, which may pass; %s', async (scheme) => {
    const through = await proxy();
    const used = ports({ proxyFor: () => withPassword(through.name) });
    const address = `${scheme}://127.0.0.1:${await freePort()}/a`;
    expect(await refusal(address, used)).toMatch(
      new RegExp(`^${address} through the proxy ${through.name} .*answered with status 50[0-9]$`),
    );
    expect(used.clock.delays).toEqual([1000, 2000, 4000, 8000]);
  });

  it.each(['https', 'http'])('no program listens; %s', async (scheme) => {
    const name = `127.0.0.1:${await freePort()}`;
    const message = await refusal(
      `${scheme}://images.example/a`,
      ports({ proxyFor: () => withPassword(name) }),
    );
    expect(message).toContain(
      `${scheme}://images.example/a through the proxy ${name} cannot be reached: connect ECONNREFUSED`,
    );
    expect(message).not.toContain('s3cret');
  });

  it.each(['socks5://fleet:s3cret@127.0.0.1:1', 'http://', 'fleet:s3cret'])(
    '%s, which is none',
    async (text) => {
      const message = await refusal('https://images.example/a', ports({ proxyFor: () => text }));
      expect(message).toMatch(
        /^the proxy that is set .*; expected one such as http:\/\/proxy\.example:3128$/,
      );
      expect(message).not.toContain('s3cret');
    },
  );

  it.each(['https', 'http'])(
    'that never answers, or never ends, is given up after the time limit; %s',
    async (scheme) => {
      const sockets: Socket[] = [];
      const used: { advance?: () => void } = {};
      const server = createServer((socket) => {
        sockets.push(socket);
        socket.on('error', () => undefined);
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 so far\r\nx: ');
          used.advance?.();
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      cleanUps.push(() => void server.close());
      const { port } = server.address() as { port: number };
      const own = ports({ proxyFor: () => `http://127.0.0.1:${port}` });
      used.advance = () => void setImmediate(() => own.clock.advance(testWindowMs));
      const message = await refusal(`${scheme}://images.example/a`, own);
      expect(message).toMatch(/through the proxy 127\.0\.0\.1:\d+ cannot be reached: no answer within/);
      expect(sockets).toHaveLength(defaultPatience.idleTries);
      // Nothing listens to it any more.
      for (const socket of sockets) {
        if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
      }
    },
  );
});

describe('the proxies of the environment', () => {
  async function chosen(environment: Record<string, string>, address: string): Promise<string | undefined> {
    for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
      vi.stubEnv(name, environment[name]);
      vi.stubEnv(name.toUpperCase(), environment[name.toUpperCase()]);
    }
    return (await proxiesOfEnvironment())?.(new URL(address));
  }

  it.each<[Record<string, string>, string, string | undefined]>([
    [{}, 'https://a.example/', undefined],
    [{ NO_PROXY: '*' }, 'https://a.example/', undefined],
    [{ HTTPS_PROXY: 'http://p:1' }, 'https://a.example/', 'http://p:1'],
    [{ HTTPS_PROXY: 'http://p:1' }, 'http://a.example/', ''],
    [{ HTTP_PROXY: 'http://p:1', http_proxy: 'http://q:1' }, 'http://a.example/', 'http://q:1'],
    [{ ALL_PROXY: 'http://p:1' }, 'http://a.example/', 'http://p:1'],
    [{ HTTPS_PROXY: 'p:1' }, 'https://a.example/', 'http://p:1'],
    [{ HTTPS_PROXY: 'https://p:1' }, 'https://a.example/', 'https://p:1'],
    [{ HTTPS_PROXY: 'http://p:1', NO_PROXY: 'b.example,a.example' }, 'https://a.example/', ''],
    [{ HTTPS_PROXY: 'http://p:1', NO_PROXY: '.example' }, 'https://a.example/', ''],
    [{ HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a.example:8443' }, 'https://a.example/', 'http://p:1'],
    [{ HTTPS_PROXY: 'http://p:1', no_proxy: 'a.example:8443' }, 'https://a.example:8443/', ''],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: 'a.example, 10.0.0.0/8' }, 'http://10.1.2.3:8080/', ''],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: '10.0.0.0/8' }, 'http://11.1.2.3/', 'http://p:1'],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: '192.168.7.9/32' }, 'http://192.168.7.9/', ''],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: 'fd00::/8' }, 'http://[fd12::1]/', ''],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: 'fd00::/8,10.0.0.0/8' }, 'http://[fe80::1]/', 'http://p:1'],
    // A range does not match a name, and an invalid range matches nothing.
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: '0.0.0.0/0' }, 'http://a.example/', 'http://p:1'],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: '10.0.0.0/33,10/8,/8' }, 'http://10.0.0.1/', 'http://p:1'],
    [{ HTTP_PROXY: 'http://p:1', NO_PROXY: '10.0.0.0/8', no_proxy: 'b' }, 'http://10.0.0.1/', 'http://p:1'],
  ])('%j: %s is requested through %j', async (environment, address, expected) => {
    expect(await chosen(environment, address)).toBe(expected);
  });

  it('are replaced by those of the configuration', async () => {
    const environment = { ALL_PROXY: 'http://x', HTTPS_PROXY: 'http://x', NO_PROXY: '*', no_proxy: '*' };
    const ranges = { ...environment, ...proxyVariables({ url: 'http://p:1', noProxy: ['10.0.0.0/8'] }) };
    expect(await chosen(ranges, 'https://10.0.0.1/')).toBe('');
    const direct = { ...environment, ...proxyVariables({ url: 'http://p:1', noProxy: [] }) };
    expect(await chosen(direct, 'https://a.example/')).toBe('http://p:1');
    expect(await chosen(direct, 'http://a.example/')).toBe('http://p:1');
    const excepted = proxyVariables({ url: 'http://p:1', noProxy: ['a.example', '.b'] });
    expect(await chosen({ ...environment, ...excepted }, 'https://a.example/')).toBe('');
    expect(await chosen({ ...environment, ...excepted }, 'https://x.b/')).toBe('');
    expect(await chosen({ ...environment, ...excepted }, 'https://b.example/')).toBe('http://p:1');
  });

  it('may have any character in the password', () => {
    const { authorization } = parseProxy(`http://fleet:${encodeURIComponent(secret)}@p:1`);
    expect(authorization).toBe(`Basic ${Buffer.from(`fleet:${secret}`).toString('base64')}`);
    expect(parseProxy('http://fleet:100%@p:1').authorization).toBe(
      `Basic ${Buffer.from('fleet:100%').toString('base64')}`,
    );
  });
});
